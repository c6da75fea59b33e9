/* Any storage plugin, alone: how fast it applies, reads, scans, makes and restores snapshots, and
 * what a key costs in memory.  One JSON object on standard output.
 *
 *     storage_bench [--keys N] [--key-size B] [--value-size B] [--seconds S] [--seed N]
 *                   PLUGIN [option=value...]
 *
 * The plugin is loaded as the daemon does it, from DKV_PLUGIN_PATH, and works in a new folder below
 * TEST_TMP (/var/tmp), which is removed.  Everything happens on one thread.  Writes are random puts
 * to keys that exist; their time includes a sync() at the end, so that what a store only puts off
 * is not counted as done.  A restore gets its keys in a random order. */
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/rng.h"
#include "conf/conf.h"
#include "plugin/storage.h"

extern char **environ;

enum {
    BATCH_MAX = 4096,
    FILL_BATCH = 256,
    PAGE = 1000,
    CHUNK_BYTES = 256 << 10,
    KEY_MIN = 16, /* a number, without collisions */
    KEY_MAX = 500,
    VALUE_MAX = 1 << 20
};
static const size_t batch_sizes[] = {1, 16, 256, 4096};

struct options {
    const char *plugin;
    char **settings; /* option=value */
    int settings_count;
    uint64_t keys, seed;
    size_t key_size, value_size;
    double seconds;
};

struct bench {
    struct options options;
    struct rng rng;
    struct event_base *base;
    struct conf *conf;
    struct storage *storage;
    struct dkv_store *store;
    struct dkv_reader *reader;
    uint64_t index; /* of the last batch */
    struct dkv_mutation *batch;
    char *keys; /* BATCH_MAX of them */
    char *value;
    char folder[256];
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "storage_bench: %s: %s\n", what, why);
    exit(1);
}

static void need(int status, const char *what)
{
    if (status != DKV_OK)
        die(what, status_text(status));
}

/* --- answers that come later --- */

static struct {
    bool is_here;
    int status;
} answer;

static void on_done(struct dkv_op *op, int status)
{
    (void)op;
    answer.is_here = true;
    answer.status = status;
}

static int settle(struct bench *b, int status)
{
    if (status != DKV_PENDING)
        return status;
    while (!answer.is_here)
        (void)event_base_loop(b->base, EVLOOP_ONCE);
    answer.is_here = false;
    return answer.status;
}

/* --- keys: number i is the i-th of a fixed order that looks random --- */

static uint64_t scramble(uint64_t i)
{
    i = (i ^ (i >> 30)) * 0xbf58476d1ce4e5b9u;
    i = (i ^ (i >> 27)) * 0x94d049bb133111ebu;
    return i ^ (i >> 31);
}

static void write_key(const struct bench *b, uint64_t number, char *to)
{
    static const char digits[] = "0123456789abcdef";
    uint64_t bits = scramble(number);
    size_t size = b->options.key_size;

    memset(to, '-', size);
    for (size_t i = 0; i < KEY_MIN; i++)
        to[i] = digits[bits >> (60 - 4 * i) & 15];
}

static struct dkv_slice batch_key(const struct bench *b, size_t slot)
{
    return (struct dkv_slice){b->keys + slot * b->options.key_size, b->options.key_size};
}

static uint64_t any_key(struct bench *b)
{
    return rng_below(&b->rng, b->options.keys);
}

static void set_put(struct bench *b, size_t slot, uint64_t number)
{
    write_key(b, number, b->keys + slot * b->options.key_size);
    b->batch[slot] = (struct dkv_mutation){
        .kind = DKV_PUT, .key = batch_key(b, slot), .value = {b->value, b->options.value_size}};
}

static void apply_batch(struct bench *b, size_t count)
{
    struct dkv_apply apply = {
        .op = {.done = on_done}, .index = ++b->index, .mutations = b->batch, .count = count};

    need(settle(b, b->store->ops->apply(b->store, &apply)), "apply");
}

static void sync_all(struct bench *b)
{
    struct dkv_index index = {.op = {.done = on_done}};

    if (b->store->ops->sync != NULL)
        need(settle(b, b->store->ops->sync(b->store, &index)), "sync");
}

/* --- figures --- */

static double seconds_since(uint64_t start_us)
{
    return (double)(clock_now_us() - start_us) / 1e6;
}

/* The memory of this process that no file backs, in bytes. */
static uint64_t anonymous_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");

    (void)malloc_trim(0);
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (sscanf(line, "RssAnon: %llu kB", &kib) == 1)
            break;
    }
    if (status != NULL)
        (void)fclose(status);
    return kib * 1024;
}

static void bench_fill(struct bench *b)
{
    uint64_t before = anonymous_bytes(), start = clock_now_us(), used;
    size_t count = 0;
    double seconds;

    for (uint64_t i = 0; i < b->options.keys; i++) {
        set_put(b, count++, i);
        if (count == FILL_BATCH || i + 1 == b->options.keys) {
            apply_batch(b, count);
            count = 0;
        }
    }
    sync_all(b);
    seconds = seconds_since(start);
    used = anonymous_bytes();
    printf("  \"fill_keys_per_s\": %.0f,\n", (double)b->options.keys / seconds);
    printf("  \"memory_bytes_per_key\": %.1f,\n",
           used < before ? 0.0 : (double)(used - before) / (double)b->options.keys);
}

static void bench_apply(struct bench *b)
{
    size_t sizes = sizeof(batch_sizes) / sizeof(batch_sizes[0]);

    fputs("  \"apply\": [\n", stdout);
    for (size_t i = 0; i < sizes; i++) {
        size_t size = batch_sizes[i];
        uint64_t start = clock_now_us(), batches = 0;
        double seconds;

        while (seconds_since(start) < b->options.seconds) {
            for (size_t slot = 0; slot < size; slot++)
                set_put(b, slot, any_key(b));
            apply_batch(b, size);
            batches++;
        }
        sync_all(b);
        seconds = seconds_since(start);
        printf("    {\"batch\": %zu, \"batches_per_s\": %.0f, \"keys_per_s\": %.0f}%s\n", size,
               (double)batches / seconds, (double)(batches * size) / seconds,
               i + 1 < sizes ? "," : "");
    }
    fputs("  ],\n", stdout);
}

/* --- reading --- */

struct counted_get {
    struct dkv_get get;
    uint64_t found, bytes;
};

static int count_value(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct counted_get *c = container_of(read, struct counted_get, get.read);

    (void)key;
    c->found++;
    c->bytes += value.len;
    return 0;
}

/* Keys from `first` on exist or do not, as wanted. */
static void bench_get(struct bench *b, const char *name, uint64_t first, int wanted)
{
    struct counted_get c = {.get = {.read = {.op = {.done = on_done}, .emit = count_value}}};
    uint64_t start = clock_now_us(), reads = 0;

    while (reads % 64 != 0 || seconds_since(start) < b->options.seconds) {
        write_key(b, first + any_key(b), b->keys);
        c.get.key = batch_key(b, 0);
        if (settle(b, b->store->ops->get(b->reader, &c.get)) != wanted)
            die(name, "a key is not as it should be");
        reads++;
    }
    if (c.found != (wanted == DKV_OK ? reads : 0))
        die(name, "keys are missing");
    printf("  \"%s\": %.0f,\n", name, (double)reads / seconds_since(start));
}

struct counted_scan {
    struct dkv_scan scan;
    uint64_t keys;
    size_t last_len;
    char last[KEY_MAX];
};

static int count_key(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct counted_scan *c = container_of(read, struct counted_scan, scan.read);

    (void)value;
    c->keys++;
    c->last_len = key.len;
    memcpy(c->last, key.data, key.len);
    return 0;
}

static uint64_t scan_once(struct bench *b, struct counted_scan *c, uint64_t limit)
{
    uint64_t before = c->keys;
    char after[KEY_MAX];

    memcpy(after, c->last, c->last_len);
    c->scan = (struct dkv_scan){.read = {.op = {.done = on_done}, .emit = count_key},
                                .after = {after, c->last_len},
                                .limit = limit};
    need(settle(b, b->store->ops->scan(b->reader, &c->scan)), "scan");
    return c->keys - before;
}

static void bench_scan(struct bench *b, const char *name, uint64_t limit)
{
    struct counted_scan c = {.last_len = 0};
    uint64_t start = clock_now_us();

    do {
        if (scan_once(b, &c, limit) < limit || limit == 0)
            c.last_len = 0; /* from the start again */
    } while (seconds_since(start) < b->options.seconds);
    if (limit == 0 && c.keys % b->options.keys != 0)
        die(name, "keys are missing");
    printf("  \"%s\": %.0f,\n", name, (double)c.keys / seconds_since(start));
}

/* --- snapshots and restores --- */

struct counted_snapshot {
    struct dkv_snapshot_read read;
    uint64_t keys, bytes;
};

static int count_record(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct counted_snapshot *c = container_of(read, struct counted_snapshot, read.read);

    c->keys++;
    c->bytes += key.len + value.len;
    return 0;
}

static void bench_snapshot(struct bench *b)
{
    const struct dkv_storage_ops *ops = b->store->ops;
    uint64_t start = clock_now_us(), opened, bytes = 0, open_us = 0, views = 0;

    do {
        struct counted_snapshot c = {
            .read = {.read = {.emit = count_record}, .bytes_max = CHUNK_BYTES}};
        struct dkv_snapshot *view;

        opened = clock_now_us();
        need(ops->snapshot_open(b->store, NULL, &view), "snapshot_open");
        open_us += clock_now_us() - opened;
        while (!c.read.end)
            need(ops->snapshot_read(view, &c.read), "snapshot_read");
        ops->snapshot_close(view);
        if (c.keys != b->options.keys)
            die("snapshot", "keys are missing");
        bytes += c.bytes;
        views++;
    } while (seconds_since(start) < b->options.seconds);
    printf("  \"snapshot_open_us\": %.1f,\n", (double)open_us / (double)views);
    printf("  \"snapshot_mb_per_s\": %.1f,\n", (double)bytes / 1e6 / seconds_since(start));
}

static void bench_restore(struct bench *b)
{
    const struct dkv_storage_ops *ops = b->store->ops;
    size_t record = b->options.key_size + b->options.value_size;
    uint64_t start = clock_now_us();
    struct dkv_restore *restore;
    struct dkv_op op = {.done = NULL};

    need(ops->restore_open(b->store, ++b->index, &restore), "restore_open");
    for (uint64_t i = 0; i < b->options.keys;) {
        struct dkv_restore_write write = {.puts = b->batch};

        while (write.count < BATCH_MAX && write.count * record < CHUNK_BYTES && i < b->options.keys)
            set_put(b, write.count++, i++);
        need(ops->restore_write(restore, &write), "restore_write");
    }
    need(ops->restore_commit(restore, &op), "restore_commit");
    printf("  \"restore_mb_per_s\": %.1f\n",
           (double)(b->options.keys * record) / 1e6 / seconds_since(start));
}

/* --- beginning and end --- */

static void usage(FILE *to)
{
    fputs(
        "usage: storage_bench [--keys N] [--key-size B] [--value-size B] [--seconds S] [--seed N]\n"
        "                     PLUGIN [option=value...]\n"
        "\n"
        "Measures a storage plugin; one JSON object on standard output.\n"
        "\n"
        "  --keys N        keys in the store (100000)\n"
        "  --key-size B    16 to 500 (16)\n"
        "  --value-size B  0 to 1048576 (100)\n"
        "  --seconds S     for each figure (2)\n"
        "  --seed N        of the random choice of keys (1)\n"
        "\n"
        "PLUGIN is a name in the plugin folder (DKV_PLUGIN_PATH); the options are its own.\n",
        to);
}

static bool number(const char *text, uint64_t min, uint64_t max, uint64_t *value_out)
{
    char *end;

    errno = 0;
    *value_out = strtoull(text, &end, 10);
    return errno == 0 && end != text && *end == '\0' && text[0] != '-' && *value_out >= min &&
           *value_out <= max;
}

static bool parse_one(int letter, const char *text, struct options *o)
{
    uint64_t value = 0;
    char *end;
    bool is_good = false;

    switch (letter) {
    case 'n':
        return number(text, 1, (uint64_t)1 << 31, &o->keys);
    case 'k':
        is_good = number(text, KEY_MIN, KEY_MAX, &value);
        o->key_size = (size_t)value;
        return is_good;
    case 'v':
        is_good = number(text, 0, VALUE_MAX, &value);
        o->value_size = (size_t)value;
        return is_good;
    case 's':
        o->seconds = strtod(text, &end);
        return *end == '\0' && o->seconds > 0 && o->seconds < 3600;
    case 'r':
        return number(text, 0, UINT64_MAX, &o->seed);
    default:
        return false;
    }
}

static void parse(int argc, char **argv, struct options *o)
{
    static const struct option table[] = {{"keys", required_argument, NULL, 'n'},
                                          {"key-size", required_argument, NULL, 'k'},
                                          {"value-size", required_argument, NULL, 'v'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int letter;

    while ((letter = getopt_long(argc, argv, "+", table, NULL)) != -1) {
        if (letter == 'h') {
            usage(stdout);
            exit(0);
        }
        if (!parse_one(letter, optarg, o)) {
            if (letter != '?')
                fprintf(stderr, "storage_bench: %s is not a value that it takes\n", optarg);
            usage(stderr);
            exit(64);
        }
    }
    if (optind == argc) {
        usage(stderr);
        exit(64);
    }
    o->plugin = argv[optind];
    o->settings = argv + optind + 1;
    o->settings_count = argc - optind - 1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static char *folder_to_remove;

static void remove_folder(void)
{
    (void)nftw(folder_to_remove, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void make_folder(struct bench *b)
{
    const char *tmp = getenv("TEST_TMP");
    char path[300];

    (void)snprintf(b->folder, sizeof(b->folder), "%s/dkv-bench.XXXXXX",
                   tmp == NULL || tmp[0] == '\0' ? "/var/tmp" : tmp);
    if (mkdtemp(b->folder) == NULL)
        die(b->folder, strerror(errno));
    folder_to_remove = b->folder;
    (void)atexit(remove_folder);
    (void)snprintf(path, sizeof(path), "%s/store", b->folder);
    if (mkdir(path, 0700) != 0)
        die(path, strerror(errno));
}

static void load_conf(struct bench *b)
{
    char path[300];
    struct conf_input input = {
        .path = path, .environment = (const char *const *)environ, .host_name = "bench"};
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/dkv.conf", b->folder);
    file = fopen(path, "w");
    if (file == NULL)
        die(path, strerror(errno));
    fprintf(file, "[node]\ndata_dir = %s\n[storage \"%s\"]\n", b->folder, b->options.plugin);
    for (int i = 0; i < b->options.settings_count; i++)
        fprintf(file, "%s\n", b->options.settings[i]);
    if (fclose(file) != 0)
        die(path, strerror(errno));
    b->conf = conf_load(&input);
}

static void open_all(struct bench *b)
{
    struct storage_config config = {.name = b->options.plugin,
                                    .key_max = (uint32_t)b->options.key_size,
                                    .value_max = b->options.value_size};
    struct dkv_error err = {0};

    rng_init(&b->rng, b->options.seed);
    make_folder(b);
    load_conf(b);
    b->base = event_base_new();
    b->batch = xcalloc(BATCH_MAX, sizeof(*b->batch));
    b->keys = xcalloc(BATCH_MAX, b->options.key_size);
    b->value = xcalloc(1, b->options.value_size + 1);
    for (size_t i = 0; i < b->options.value_size; i++)
        b->value[i] = (char)rng_below(&b->rng, 256);
    config.conf = b->conf;
    config.home = b->base;
    if (b->base == NULL || storage_open(&config, &b->storage, &err) != DKV_OK)
        die("open", err.text);
    b->store = storage_store(b->storage);
    if (b->store->ops->reader_open(b->store, b->base, &b->reader, &err) != DKV_OK)
        die("reader_open", err.text);
}

static void close_all(struct bench *b)
{
    b->store->ops->reader_close(b->reader);
    storage_close(&b->storage);
    conf_free(&b->conf);
    event_base_free(b->base);
    free(b->batch);
    free(b->keys);
    free(b->value);
}

int main(int argc, char **argv)
{
    static struct bench b = {
        .options = {.keys = 100000, .key_size = 16, .value_size = 100, .seconds = 2, .seed = 1}};
    uint32_t ordered = DKV_CAP_SCAN | DKV_CAP_ORDERED;

    parse(argc, argv, &b.options);
    open_all(&b);
    printf("{\n  \"plugin\": \"%s\",\n  \"keys\": %llu,\n  \"key_size\": %zu,\n"
           "  \"value_size\": %zu,\n",
           b.options.plugin, (unsigned long long)b.options.keys, b.options.key_size,
           b.options.value_size);
    bench_fill(&b);
    bench_apply(&b);
    bench_get(&b, "gets_per_s", 0, DKV_OK);
    bench_get(&b, "gets_of_absent_keys_per_s", b.options.keys, DKV_ENOENT);
    if ((b.store->caps & DKV_CAP_SCAN) != 0)
        bench_scan(&b, "scan_keys_per_s", 0);
    if ((b.store->caps & ordered) == ordered)
        bench_scan(&b, "scan_by_pages_of_1000_keys_per_s", PAGE);
    if ((b.store->caps & DKV_CAP_SNAPSHOT) != 0)
        bench_snapshot(&b);
    bench_restore(&b);
    puts("}");
    close_all(&b);
    return 0;
}
