#include "tests/unit/wal/log_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/mem.h"

static void on_durable(void *ctx, uint64_t ticket)
{
    struct fixture *f = ctx;

    assert_true(ticket > f->durable);
    f->durable = ticket;
}

static void on_reset(void *ctx)
{
    struct fixture *f = ctx;

    f->resets++;
}

int log_try_open(struct fixture *f)
{
    struct wal_config config = {.env = &f->e.env,
                                .identity = f->identity,
                                .segment_bytes = SEGMENT,
                                .spare_segments = 2,
                                .is_alone = f->is_alone,
                                .was_used = f->was_used,
                                .ctx = f,
                                .on_durable = on_durable,
                                .on_reset = on_reset};
    int status = wal_open(&config, &f->wal, &f->found, &f->err);

    if (status == DKV_OK) {
        f->last = f->found.last_index;
        env_test_run(&f->e);
    }
    return status;
}

void log_open(struct fixture *f)
{
    if (log_try_open(f) != DKV_OK)
        fail_msg("%s", f->err.text);
}

void log_close(struct fixture *f)
{
    wal_recovery_fini(&f->found);
    if (f->wal != NULL)
        wal_close(&f->wal);
}

void log_reopen(struct fixture *f)
{
    log_close(f);
    env_test_init(&f->e, f->fs, 99);
    log_open(f);
}

int log_setup(void **state)
{
    struct fixture *f = xcalloc(1, sizeof(*f));

    f->fs = fs_mem_new();
    f->is_alone = true;
    f->term = 1;
    f->identity = (struct wal_identity){{1, 2, 3}, 7, 8};
    env_test_init(&f->e, f->fs, 1);
    log_open(f);
    *state = f;
    return 0;
}

int log_teardown(void **state)
{
    struct fixture *f = *state;

    env_test_run(&f->e);
    log_close(f);
    f->fs->ops->free(f->fs);
    free(f);
    return 0;
}

static void fill(uint8_t *to, raft_index i)
{
    memset(to, (int)(uint8_t)i, i % 200);
}

void log_submit(struct fixture *f, uint32_t count, raft_index truncate_from)
{
    struct raft_entry *entries = xcalloc(count + 1, sizeof(*entries));
    uint8_t *bytes = xcalloc(count + 1, 200);
    struct raft_hard_state hard = {f->term, 1};
    struct wal_batch batch = {.ticket = ++f->ticket,
                              .hard = f->ticket == 1 || truncate_from != 0 ? &hard : NULL,
                              .truncate_from = truncate_from,
                              .entries = entries,
                              .count = count};

    if (truncate_from != 0)
        f->last = truncate_from - 1;
    for (uint32_t i = 0; i < count; i++) {
        raft_index index = ++f->last;

        fill(bytes + i * 200, index);
        entries[i] = (struct raft_entry){.index = index,
                                         .term = f->term,
                                         .type = RAFT_ENTRY_DATA,
                                         .len = (uint32_t)(index % 200),
                                         .data = bytes + i * 200};
    }
    wal_submit(f->wal, &batch);
    free(entries);
    free(bytes);
}

void log_write(struct fixture *f, uint32_t count)
{
    log_submit(f, count, 0);
    env_test_run(&f->e);
    assert_true(f->durable == f->ticket);
}

struct reader {
    struct wal_read read;
    bool is_done;
};

static void on_read(struct wal_read *read)
{
    ((struct reader *)read)->is_done = true;
}

static size_t disk_bytes(const struct wal_read *read)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < read->count; i++)
        bytes += 64 + (read->entries[i].len + 7u) / 8 * 8;
    return bytes;
}

void log_assert_readable(struct fixture *f, raft_index first, raft_index last)
{
    while (first <= last) {
        struct reader r = {
            .read = {.first = first, .last = last, .bytes_max = 3000, .done = on_read}};

        wal_read(f->wal, &r.read);
        env_test_run(&f->e);
        assert_true(r.is_done);
        assert_int_equal(r.read.status, DKV_OK);
        assert_true(r.read.count > 0);
        assert_true(r.read.count == 1 || disk_bytes(&r.read) <= r.read.bytes_max);
        for (uint32_t i = 0; i < r.read.count; i++) {
            const struct raft_entry *entry = &r.read.entries[i];
            uint8_t expected[200];

            assert_true(entry->index == first + i);
            assert_int_equal(entry->len, entry->index % 200);
            fill(expected, entry->index);
            if (entry->len > 0)
                assert_memory_equal(entry->data, expected, entry->len);
        }
        first += r.read.count;
        free(r.read.entries);
        blob_unref(r.read.payload);
    }
}

struct listing {
    const char *ending;
    struct names *names;
};

static int note_file(void *ctx, const char *name)
{
    const struct listing *listing = ctx;
    size_t len = strlen(name), ending = strlen(listing->ending);

    if (len >= ending && strcmp(name + len - ending, listing->ending) == 0) {
        assert_true(listing->names->count < NAMES_MAX);
        strcpy(listing->names->items[listing->names->count++], name);
    }
    return 0;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

struct names log_files(struct fixture *f, const char *ending)
{
    struct names names = {.count = 0};
    struct listing listing = {ending, &names};

    assert_int_equal(f->fs->ops->list(f->fs, "wal", note_file, &listing), DKV_OK);
    qsort(names.items, (size_t)names.count, sizeof(names.items[0]), by_text);
    return names;
}
