/* Any damage to the files of a log: each four bytes of the input change one byte, wipe a block,
 * exchange two blocks or remove a file.  A start must end, with a log or with a refusal, and every
 * entry that it gives must be one that was written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/blob.h"
#include "env_test.h"
#include "fs_mem.h"
#include "wal/wal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SEGMENT = 64 << 10, BATCHES = 60, BATCH = 5, BLOCK = 4096, FILES_MAX = 16 };

static const struct wal_identity identity = {{1, 2, 3}, 7, 8};

struct files {
    char path[FILES_MAX][64];
    unsigned count;
};

static void ignore_ticket(void *ctx, uint64_t ticket)
{
    (void)ctx;
    (void)ticket;
}

static void ignore_reset(void *ctx)
{
    (void)ctx;
}

static int open_wal(struct env_test *e, struct wal **wal_out, struct wal_recovery *recovery_out)
{
    struct wal_config config = {.env = &e->env,
                                .identity = identity,
                                .segment_bytes = SEGMENT,
                                .spare_segments = 2,
                                .is_alone = true,
                                .on_durable = ignore_ticket,
                                .on_reset = ignore_reset};
    struct dkv_error err = {0};
    int status = wal_open(&config, wal_out, recovery_out, &err);

    dkv_assert(status == DKV_OK || err.text[0] != '\0');
    return status;
}

static uint8_t byte_of(raft_index index, raft_term term)
{
    return (uint8_t)(index * 31 + term * 7);
}

static uint32_t length_of(raft_index index)
{
    return (uint32_t)(index * 37 % 300);
}

/* A log of several segments, truncated and cut, closed in order. */
static struct fs *make_image(void)
{
    struct fs *fs = fs_mem_new();
    struct env_test e;
    struct wal *w;
    struct wal_recovery r;
    static uint8_t payloads[BATCH][300];
    raft_index last = 0;

    env_test_init(&e, fs, 1);
    dkv_assert(open_wal(&e, &w, &r) == DKV_OK);
    wal_recovery_fini(&r);
    for (uint64_t b = 1; b <= BATCHES; b++) {
        struct raft_hard_state hard = {1 + b / 10, 1};
        struct raft_entry entries[BATCH];
        struct wal_batch batch = {
            .ticket = b, .hard = b % 10 <= 1 ? &hard : NULL, .entries = entries, .count = BATCH};

        if (b % 20 == 0) {
            batch.truncate_from = last - 3;
            last = batch.truncate_from - 1;
        }
        for (uint32_t i = 0; i < BATCH; i++) {
            last++;
            memset(payloads[i], byte_of(last, hard.term), length_of(last));
            entries[i] = (struct raft_entry){.index = last,
                                             .term = hard.term,
                                             .type = RAFT_ENTRY_DATA,
                                             .len = length_of(last),
                                             .data = payloads[i]};
        }
        wal_submit(w, &batch);
        env_test_run(&e);
    }
    wal_compact(w, 30, 1, "members", 7);
    env_test_run(&e);
    wal_close(&w);
    return fs;
}

static int note_file(void *ctx, const char *name)
{
    struct files *files = ctx;

    if (files->count < FILES_MAX && strstr(name, ".spare") == NULL)
        (void)snprintf(files->path[files->count++], sizeof(files->path[0]), "wal/%.50s", name);
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void damage(struct fs *fs, const struct files *files, const uint8_t edit[4])
{
    const char *path = files->path[(edit[0] >> 3) % files->count];
    uint8_t *bytes, saved[BLOCK];
    size_t len = 0, at, other;

    bytes = fs_mem_bytes(fs, path, &len);
    if (bytes == NULL || len < 2 * BLOCK)
        return;
    /* What is written stands at the starts of blocks; the zone of headers is packed. */
    at = (edit[1] % (len / BLOCK)) * BLOCK + edit[2];
    other = (edit[2] % (len / BLOCK)) * BLOCK;
    switch (edit[0] & 7) {
    case 0:
        memset(bytes + at / BLOCK * BLOCK, 0, BLOCK);
        break;
    case 1:
        at = at / BLOCK * BLOCK;
        memcpy(saved, bytes + at, BLOCK);
        memcpy(bytes + at, bytes + other, BLOCK);
        memcpy(bytes + other, saved, BLOCK);
        break;
    case 2:
        if (edit[3] > 240)
            (void)fs->ops->remove(fs, path);
        break;
    default:
        bytes[at] ^= edit[3];
    }
}

static void on_read(struct wal_read *read)
{
    (void)read;
}

static raft_term term_of(const struct wal_recovery *r, raft_index index)
{
    raft_term term = r->base_term;

    for (uint32_t i = 0; i < r->runs_count && r->runs[i].first <= index; i++)
        term = r->runs[i].term;
    return term;
}

static void check_entries(struct env_test *e, struct wal *w, const struct wal_recovery *r)
{
    struct wal_read read = {
        .first = r->base_index + 1, .last = r->last_index, .bytes_max = 1 << 20, .done = on_read};

    while (read.first <= read.last) {
        wal_read(w, &read);
        env_test_run(e);
        dkv_assert(read.status == DKV_OK && read.count > 0);
        for (uint32_t i = 0; i < read.count; i++) {
            const struct raft_entry *entry = &read.entries[i];
            const uint8_t *bytes = entry->data;

            dkv_assert(entry->index == read.first + i && entry->len == length_of(entry->index));
            dkv_assert(entry->term == term_of(r, entry->index));
            for (uint32_t at = 0; at < entry->len; at++)
                dkv_assert(bytes[at] == byte_of(entry->index, entry->term));
        }
        read.first += read.count;
        free(read.entries);
        blob_unref(read.payload);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fs *image;
    struct fs *fs;
    struct files files = {.count = 0};
    struct env_test e;
    struct wal *w;
    struct wal_recovery r;

    if (image == NULL)
        image = make_image();
    fs = fs_mem_crash(image, FS_MEM_KEEP_ALL, 1);
    dkv_assert(fs->ops->list(fs, "wal", note_file, &files) == 0);
    qsort(files.path, files.count, sizeof(files.path[0]), by_text);
    for (size_t at = 0; at + 4 <= size && at < 64; at += 4)
        damage(fs, &files, data + at);
    env_test_init(&e, fs, 2);
    if (open_wal(&e, &w, &r) == DKV_OK) {
        dkv_assert(r.last_index <= BATCHES * BATCH);
        check_entries(&e, w, &r);
        wal_recovery_fini(&r);
        env_test_run(&e);
        wal_close(&w);
    }
    fs->ops->free(fs);
    return 0;
}
