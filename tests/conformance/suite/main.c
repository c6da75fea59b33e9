/* storage_suite PLUGIN [option=value...]: does this storage keep what include/dkv/storage.h says? */
#include <errno.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "db.h"
#include "disk.h"
#include "suite_run.h"

enum { CASE_SECONDS = 120, LONG_CASE_SECONDS = 1800 };

static const struct suite_case *const groups[] = {
    basic_cases, scan_cases,     thread_cases,  async_cases, durable_cases,
    leak_cases,  snapshot_cases, restore_cases, NULL,
};

struct request {
    const char *only; /* numbers, or NULL for all */
    char **options;   /* option=value of the outermost, or NAME.option=value */
    int options_count;
};

static const struct suite_case *running;

static void usage(FILE *to)
{
    fputs("usage: storage_suite [--only N[,N...]] [--seed N] [--long] PLUGIN [option=value...]\n"
          "\n"
          "Checks a storage plugin against include/dkv/storage.h; prints TAP.\n"
          "PLUGIN is a name in DKV_PLUGIN_PATH, or a decorator around one: delay(lmdb).\n"
          "option=value goes to PLUGIN, NAME.option=value to one of those inside.\n"
          "With --long ten times the work.\n",
          to);
}

static void write_options(FILE *conf, const struct request *request, const char *name,
                          bool is_outermost)
{
    size_t len = strlen(name);

    for (int i = 0; i < request->options_count; i++) {
        const char *option = request->options[i], *equals = strchr(option, '=');
        const char *dot = memchr(option, '.', (size_t)(equals - option));

        if (dot == NULL && is_outermost)
            fprintf(conf, "%s\n", option);
        else if (dot != NULL && (size_t)(dot - option) == len && memcmp(option, name, len) == 0)
            fprintf(conf, "%s\n", dot + 1);
    }
}

/* A section for each link of "a(b(c))". */
static void write_conf(const struct request *request)
{
    char *names = xstrdup(suite.spec), *rest = names, *name;
    FILE *conf = fopen(suite.conf_path, "w");
    bool is_outermost = true;

    if (conf == NULL) {
        fprintf(stderr, "%s: %s\n", suite.conf_path, strerror(errno));
        exit(1);
    }
    fprintf(conf, "[node]\ndata_dir = %s\n", suite.folder);
    names[strcspn(names, ")")] = '\0';
    while ((name = strsep(&rest, "(")) != NULL) {
        fprintf(conf, "\n[storage \"%s\"]\n", name);
        if (rest != NULL)
            fprintf(conf, "wraps = %.*s\n", (int)strcspn(rest, "("), rest);
        write_options(conf, request, name, is_outermost);
        is_outermost = false;
    }
    fclose(conf);
    free(names);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void folder_remove(void)
{
    (void)nftw(suite.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void folder_make(void)
{
    char path[4200];

    (void)snprintf(path, sizeof(path), "%s/store", suite.folder);
    if (mkdir(suite.folder, 0700) != 0 || mkdir(path, 0700) != 0) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
}

struct probed {
    uint32_t caps;
    uint32_t is_slow;
};

static uint64_t now_us(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static void probe(void)
{
    enum { WRITES = 50, SLOW_US = 400 };
    struct dkv_error err = {0};
    struct probed probed;
    uint64_t started;
    struct db db;

    if (db_try_open(&db, &err) != DKV_OK) {
        suite_note("%s", err.text);
        _exit(RUN_FAILED);
    }
    started = now_us();
    for (uint64_t i = 1; i <= WRITES; i++)
        (void)db_put(&db, i, "k", "v");
    probed.is_slow = now_us() - started > WRITES * SLOW_US;
    probed.caps = db.store->caps;
    run_report(&probed, sizeof(probed));
    db_close(&db);
}

static bool probe_store(void)
{
    struct run_result result;
    struct probed probed;

    folder_make();
    run_child(probe, CASE_SECONDS, &result);
    folder_remove();
    memcpy(&probed, result.reason, sizeof(probed));
    suite.caps = probed.caps;
    suite.is_slow = probed.is_slow != 0;
    return result.outcome == RUN_OK;
}

static const char *lacking(uint32_t caps)
{
    return (caps & DKV_CAP_DURABLE) != 0    ? "DURABLE"
           : (caps & DKV_CAP_SCAN) != 0     ? "SCAN"
           : (caps & DKV_CAP_ORDERED) != 0  ? "ORDERED"
           : (caps & DKV_CAP_SNAPSHOT) != 0 ? "SNAPSHOT"
                                            : "ASYNC";
}

static void run_running(void)
{
    uint32_t lacks = running->caps & ~suite.caps;

    if (lacks != 0)
        suite_skip("the store does not say %s", lacking(lacks));
    running->run();
}

static bool is_wanted(const struct request *request, unsigned number)
{
    const char *at = request->only;

    while (at != NULL && *at != '\0') {
        char *end;

        if (strtoul(at, &end, 10) == number)
            return true;
        at = *end == '\0' ? NULL : end + 1;
    }
    return request->only == NULL;
}

static bool run_case(const struct suite_case *c, unsigned at)
{
    struct run_result result;

    running = c;
    disk_count();
    folder_make();
    run_child(run_running, suite.is_long ? LONG_CASE_SECONDS : CASE_SECONDS, &result);
    folder_remove();
    if (result.outcome == RUN_SKIPPED) {
        printf("ok %u - %u: %s # SKIP %s\n", at, c->number, c->sentence, result.reason);
        return true;
    }
    if (result.outcome != RUN_OK && result.reason[0] != '\0')
        suite_note("%s", result.reason);
    printf("%s %u - %u: %s\n", result.outcome == RUN_OK ? "ok" : "not ok", at, c->number,
           c->sentence);
    return result.outcome == RUN_OK;
}

static int run_all(const struct request *request)
{
    unsigned count = 0, failed = 0;

    printf("# %s, seed %" PRIu64 "\n", suite.spec, suite.seed);
    write_conf(request);
    if (!probe_store()) {
        printf("Bail out! %s does not open\n", suite.spec);
        return 1;
    }
    for (size_t g = 0; groups[g] != NULL; g++)
        for (const struct suite_case *c = groups[g]; c->sentence != NULL; c++)
            if (is_wanted(request, c->number))
                failed += !run_case(c, ++count);
    printf("1..%u\n", count);
    return failed != 0;
}

static bool parse(int argc, char **argv, struct request *request)
{
    static const struct option options[] = {{"only", required_argument, NULL, 'o'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"long", no_argument, NULL, 'l'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;

    suite.seed = 20240229;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'o')
            request->only = optarg;
        else if (option == 's')
            suite.seed = strtoull(optarg, NULL, 10);
        else if (option == 'l')
            suite.is_long = true;
        else
            return false;
    }
    if (optind == argc)
        return false;
    suite.spec = argv[optind];
    request->options = argv + optind + 1;
    request->options_count = argc - optind - 1;
    for (int i = 0; i < request->options_count; i++)
        if (strchr(request->options[i], '=') == NULL)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    struct request request = {.only = NULL};
    char scratch[] = "/var/tmp/dkv-suite-XXXXXX", folder[64], conf[64];
    struct rlimit files;
    int failed;

    if (!parse(argc, argv, &request)) {
        usage(stderr);
        return 64;
    }
    /* The loader keeps a library's file open, once for each time a case opens the store. */
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    if (mkdtemp(scratch) == NULL) {
        fprintf(stderr, "%s: %s\n", scratch, strerror(errno));
        return 1;
    }
    (void)snprintf(folder, sizeof(folder), "%s/data", scratch);
    (void)snprintf(conf, sizeof(conf), "%s/dkv.conf", scratch);
    suite.folder = folder;
    suite.conf_path = conf;
    disk_init();
    failed = run_all(&request);
    (void)unlink(conf);
    (void)rmdir(scratch);
    return failed;
}
