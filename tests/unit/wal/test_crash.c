/* Power cuts at every change of the disk: a start always succeeds, has everything that was
 * reported durable and nothing that was never written, byte for byte, and the vote never goes back.
 * The log is appended to, truncated, cut at the front and begun anew meanwhile; the power also goes
 * during the start after the power cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/error.h"
#include "base/mem.h"
#include "env_test.h"
#include "fs_mem.h"
#include "wal/wal.h"

enum { BATCHES = 24, ENTRIES_MAX = 600, BATCH_ENTRIES = 14, PAYLOAD_MAX = 3000, SEEDS = 4 };

struct log_state {
    raft_index begins; /* what is not above it is unknown: a snapshot replaced it */
    raft_index last;
    raft_term term[ENTRIES_MAX];
    struct raft_hard_state hard;
};

/* What one run did: states[k] is the log after step k. */
struct history {
    struct log_state states[BATCHES + 1];
    uint64_t submitted, durable, reset;
    raft_index floor; /* truncated never, so the log may be cut up to here */
};

static void on_durable(void *ctx, uint64_t ticket)
{
    struct history *h = ctx;

    h->durable = ticket;
}

static void on_reset(void *ctx)
{
    struct history *h = ctx;

    if (h->durable < h->reset)
        h->durable = h->reset;
}

static int open_wal(struct env_test *e, struct history *h, struct wal **wal_out,
                    struct wal_recovery *recovery_out, struct dkv_error *err)
{
    struct wal_config config = {.env = &e->env,
                                .identity = {{1}, 1, 1},
                                .segment_bytes = 64u << 10,
                                .spare_segments = 2,
                                .is_alone = true,
                                .ctx = h,
                                .on_durable = on_durable,
                                .on_reset = on_reset};

    return wal_open(&config, wal_out, recovery_out, err);
}

static uint8_t byte_of(raft_index index, raft_term term)
{
    return (uint8_t)(index * 31 + term * 7);
}

static struct log_state *next_state(struct history *h)
{
    struct log_state *s = &h->states[h->submitted + 1];

    *s = h->states[h->submitted++];
    return s;
}

static void append(struct log_state *s, struct wal_batch *batch, struct raft_entry *entries,
                   struct rng *rng)
{
    static uint8_t payloads[BATCH_ENTRIES][PAYLOAD_MAX];

    batch->entries = entries;
    batch->count = (uint32_t)rng_below(rng, BATCH_ENTRIES);
    for (uint32_t i = 0; i < batch->count; i++) {
        uint64_t bytes_max = rng_below(rng, 5) == 0 ? PAYLOAD_MAX : 100;

        s->term[++s->last] = s->hard.term;
        memset(payloads[i], byte_of(s->last, s->hard.term), PAYLOAD_MAX);
        entries[i] = (struct raft_entry){.index = s->last,
                                         .term = s->hard.term,
                                         .type = RAFT_ENTRY_DATA,
                                         .len = (uint32_t)rng_below(rng, bytes_max),
                                         .data = payloads[i]};
    }
}

static void submit_batch(struct history *h, struct wal *w, struct rng *rng)
{
    struct raft_entry entries[BATCH_ENTRIES];
    struct log_state *s = next_state(h);
    struct wal_batch batch = {.ticket = h->submitted};
    bool truncates = s->last > h->floor + 3 && rng_below(rng, 4) == 0;

    /* What replaces an entry is of a later term. */
    if (s->hard.term == 0 || truncates || rng_below(rng, 4) == 0) {
        s->hard = (struct raft_hard_state){s->hard.term + 1, 1 + rng_below(rng, 3)};
        batch.hard = &s->hard;
    }
    if (truncates) {
        batch.truncate_from = s->last - rng_below(rng, 3);
        s->last = batch.truncate_from - 1;
    }
    append(s, &batch, entries, rng);
    wal_submit(w, &batch);
}

static raft_index common(const struct log_state *a, const struct log_state *b, raft_index limit)
{
    raft_index index = a->begins > b->begins ? a->begins : b->begins;

    while (index < limit && index < a->last && index < b->last &&
           a->term[index + 1] == b->term[index + 1])
        index++;
    return index;
}

/* As the raft core would: only what is durable, and is never truncated from then on. */
static void cut_front(struct history *h, struct wal *w, struct rng *rng)
{
    raft_index index = h->states[h->durable].last;

    for (uint64_t k = h->durable; k <= h->submitted; k++) {
        index = common(&h->states[h->durable], &h->states[k], index);
    }
    if (index < h->floor + 5 || h->reset > h->durable || wal_is_cutting(w))
        return;
    h->floor = index - rng_below(rng, 4);
    wal_compact(w, h->floor, h->states[h->submitted].term[h->floor], "members", 7);
}

static void begin_anew(struct history *h, struct wal *w)
{
    struct log_state *s = next_state(h);

    s->last = s->begins = h->floor = s->last + 20;
    s->term[s->last] = s->hard.term;
    h->reset = h->submitted;
    wal_submit_reset(w, s->last, s->hard.term, "snapshot", 8);
}

static void run_some(struct env_test *e, struct rng *rng)
{
    if (rng_below(rng, 3) == 0)
        env_test_run(e);
    for (uint64_t steps = rng_below(rng, 12); steps > 0; steps--) {
        bool is_log = rng_below(rng, 3) != 0;

        (void)env_test_work(e, is_log ? ENV_QUEUE_LOG : ENV_QUEUE_BACKGROUND);
        if (rng_below(rng, 2) == 0)
            (void)env_test_finish(e);
    }
}

/* Jobs that wait when the power goes are run into the dead disk, so that the wal can be closed. */
static void play(struct history *h, struct fs *fs, uint64_t seed, uint64_t off_at)
{
    struct env_test e;
    struct rng rng;
    struct wal *w;
    struct wal_recovery recovery;
    struct dkv_error err;
    uint64_t durable;

    memset(h, 0, sizeof(*h));
    env_test_init(&e, fs, seed);
    rng_init(&rng, seed);
    fs_mem_power_off_at(fs, off_at);
    if (open_wal(&e, h, &w, &recovery, &err) != DKV_OK)
        return;
    wal_recovery_fini(&recovery);
    while (h->submitted < BATCHES && e.exit_code == 0) {
        if (h->submitted > 0 && h->reset <= h->durable && rng_below(&rng, 12) == 0)
            begin_anew(h, w);
        else
            submit_batch(h, w, &rng);
        if (rng_below(&rng, 3) == 0)
            cut_front(h, w, &rng);
        run_some(&e, &rng);
    }
    durable = h->durable;
    if (off_at == 0)
        fs_mem_power_off_at(fs, 1);
    env_test_run(&e);
    h->durable = durable;
    wal_close(&w);
}

static raft_term term_of(const struct wal_recovery *r, raft_index index)
{
    raft_term term = r->base_term;

    for (uint32_t i = 0; i < r->runs_count && r->runs[i].first <= index; i++)
        term = r->runs[i].term;
    return term;
}

static bool is_start_of(const struct wal_recovery *r, const struct log_state *s)
{
    if (r->base_index < s->begins || r->last_index > s->last)
        return false;
    for (raft_index index = r->base_index; index <= r->last_index; index++) {
        if (index > 0 && term_of(r, index) != s->term[index])
            return false;
    }
    return true;
}

/* The start of a log from the durable one on, with all that no batch since has truncated. */
static bool log_is_allowed(const struct history *h, const struct wal_recovery *r)
{
    const struct log_state *durable = &h->states[h->durable];
    raft_index needed = durable->last;

    for (uint64_t k = h->durable; k <= h->submitted; k++) {
        needed = h->states[k].begins > durable->begins ? h->states[k].begins
                                                       : common(durable, &h->states[k], needed);
        if (r->last_index >= needed && is_start_of(r, &h->states[k]))
            return true;
    }
    return false;
}

static bool vote_is_allowed(const struct history *h, const struct wal_recovery *r)
{
    for (uint64_t k = h->durable; k <= h->submitted; k++) {
        if (h->states[k].hard.term == r->hard.term && h->states[k].hard.vote == r->hard.vote)
            return true;
    }
    return false;
}

static void on_read(struct wal_read *read)
{
    if (read->status != DKV_OK)
        fail_msg("read %llu to %llu: %s", (unsigned long long)read->first,
                 (unsigned long long)read->last, status_text(read->status));
}

static void check_payloads(struct env_test *e, struct wal *w, const struct wal_recovery *r)
{
    raft_index next = r->base_index + 1;

    while (next <= r->last_index) {
        struct wal_read read = {
            .first = next, .last = r->last_index, .bytes_max = 8000, .done = on_read};

        wal_read(w, &read);
        env_test_run(e);
        assert_true(read.count > 0);
        for (uint32_t i = 0; i < read.count; i++, next++) {
            const struct raft_entry *entry = &read.entries[i];

            assert_true(entry->index == next && entry->term == term_of(r, next));
            for (uint32_t at = 0; at < entry->len; at++)
                assert_int_equal(((const uint8_t *)entry->data)[at], byte_of(next, entry->term));
        }
        free(read.entries);
        blob_unref(read.payload);
    }
}

/* A start on what is left; the second time only half of one, until the power goes again. */
static void check_start(const struct history *h, struct fs *image, int mode, uint64_t seed)
{
    struct history unused = {.durable = 0};
    struct env_test e;
    struct wal *w;
    struct wal_recovery r;
    struct dkv_error err = {0};
    int status;

    env_test_init(&e, image, seed);
    status = open_wal(&e, &unused, &w, &r, &err);
    if (status != DKV_OK)
        fail_msg("mode %d, seed %llu: %s", mode, (unsigned long long)seed, err.text);
    if (!log_is_allowed(h, &r) || !vote_is_allowed(h, &r))
        fail_msg("mode %d, seed %llu: the log begins after %llu and ends at %llu", mode,
                 (unsigned long long)seed, (unsigned long long)r.base_index,
                 (unsigned long long)r.last_index);
    check_payloads(&e, w, &r);
    wal_recovery_fini(&r);
    env_test_run(&e);
    wal_close(&w);
}

static void half_a_start(struct fs *image, uint64_t seed)
{
    struct history unused = {.durable = 0};
    struct env_test e;
    struct wal *w;
    struct wal_recovery r;
    struct dkv_error err;

    env_test_init(&e, image, seed);
    fs_mem_power_off_at(image, 1 + seed % 17);
    if (open_wal(&e, &unused, &w, &r, &err) != DKV_OK)
        return;
    wal_recovery_fini(&r);
    env_test_run(&e);
    wal_close(&w);
}

static void check_image(const struct history *h, const struct fs *fs, enum fs_mem_crash_mode mode,
                        uint64_t seed)
{
    struct fs *image = fs_mem_crash(fs, mode, seed), *again;

    half_a_start(image, seed);
    again = fs_mem_crash(image, mode, seed + 1);
    image->ops->free(image);
    check_start(h, again, (int)mode, seed);
    again->ops->free(again);
    image = fs_mem_crash(fs, mode, seed);
    check_start(h, image, (int)mode, seed);
    image->ops->free(image);
}

static void test_r_p6_r_p11_every_power_cut_leaves_what_was_durable(void **state)
{
    struct history *h = xcalloc(1, sizeof(*h));

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct fs *fs = fs_mem_new();
        uint64_t ops;

        play(h, fs, seed, 0);
        ops = fs_mem_ops(fs);
        fs->ops->free(fs);
        for (uint64_t off_at = 1; off_at <= ops; off_at++) {
            fs = fs_mem_new();
            play(h, fs, seed, off_at);
            for (int mode = 0; mode < FS_MEM_CRASH_MODES; mode++)
                check_image(h, fs, (enum fs_mem_crash_mode)mode, seed * 1000 + off_at);
            fs->ops->free(fs);
        }
    }
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_r_p6_r_p11_every_power_cut_leaves_what_was_durable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
