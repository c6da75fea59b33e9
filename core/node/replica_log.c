/* The replica's log: what Raft wants written goes to the write-ahead log in the same turn, old
 * entries come back from it. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/replica_private.h"

static void on_durable(void *ctx, uint64_t ticket)
{
    struct replica *r = ctx;
    struct raft_event event = {.type = RAFT_PERSISTED};

    (void)replica__now(r);
    event.ticket = ticket;
    (void)replica__step(r, &event);
}

static void on_reset(void *ctx)
{
    struct replica *r = ctx;

    (void)replica__now(r);
    replica__log_was_reset(r);
}

int replica__open_log(struct replica *r, struct wal_recovery *recovery_out, int *exit_code_out,
                      struct dkv_error *err)
{
    const struct replica_config *c = &r->config;
    struct wal_config config = {.env = r->env,
                                .identity = {.node_id = c->self, .incarnation = c->incarnation},
                                .segment_bytes = c->segment_bytes,
                                .spare_segments = c->spare_segments,
                                .is_volatile = c->is_volatile,
                                .is_alone = c->members_count < 2,
                                .was_used = c->has_log,
                                .ctx = r,
                                .on_durable = on_durable,
                                .on_reset = on_reset};
    int status;

    memcpy(config.identity.cluster_id, c->cluster_id, sizeof(config.identity.cluster_id));
    status = wal_open(&config, &r->wal, recovery_out, err);
    *exit_code_out = status == WAL_EFOREIGN   ? EXIT_CODE_DATA
                     : status == WAL_EDAMAGED ? EXIT_CODE_DAMAGE
                                              : EXIT_CODE_IO;
    if (status == DKV_OK && recovery_out->tail_unknown)
        log_warn("wal", "wal.torn_end",
                 "the log has a torn end, from a write that was under way, which is cut off",
                 LOG_U64("last_index", recovery_out->last_index), LOG_END);
    return status;
}

void replica__close_log(struct replica *r)
{
    if (r->wal != NULL)
        wal_close(&r->wal);
    free(r->appended);
}

static const struct raft_entry *appended_entries(struct replica *r, const struct raft_output *out)
{
    if (out->append_count > r->appended_cap) {
        r->appended = xreallocarray(r->appended, out->append_count, sizeof(*r->appended));
        r->appended_cap = out->append_count;
    }
    for (uint32_t i = 0; i < out->append_count; i++)
        r->appended[i] = *raft_entry_at(r->raft, out->append_first + i);
    return r->appended;
}

void replica__log(struct replica *r, const struct raft_output *out)
{
    struct wal_batch batch = {.ticket = out->ticket};

    if (out->ticket == 0)
        return;
    if (out->hard_changed)
        batch.hard = &out->hard;
    batch.truncate_from = out->truncate_from;
    batch.count = out->append_count;
    if (batch.count > 0)
        batch.entries = appended_entries(r, out);
    wal_submit(r->wal, &batch);
}

/* --- old entries, for a follower that lags or for the apply after a start --- */

struct fetch {
    struct wal_read read;
    struct replica *replica;
    raft_id peer;
};

static void on_fetched(struct wal_read *read)
{
    struct fetch *f = container_of(read, struct fetch, read);
    struct replica *r = f->replica;
    struct raft_event event = {.type = RAFT_FETCHED};

    r->fetches--;
    (void)replica__now(r);
    if (read->status == DKV_ECORRUPT) {
        replica__fail(
            r, EXIT_CODE_DAMAGE,
            "the log is damaged at entry %llu or after it; keep the data directory and see what "
            "dkvd --check-recovery says of it",
            (unsigned long long)read->first);
    } else {
        event.fetched.peer = f->peer;
        event.fetched.first = read->first;
        event.fetched.entries = read->entries;
        event.fetched.count = read->count;
        (void)replica__step(r, &event);
    }
    free(read->entries);
    blob_unref(read->payload);
    free(f);
}

void replica__fetch(struct replica *r, const struct raft_want_fetch *want)
{
    struct fetch *f = xcalloc(1, sizeof(*f));

    f->replica = r;
    f->peer = want->peer;
    f->read = (struct wal_read){
        .first = want->first, .last = want->last, .bytes_max = want->bytes_max, .done = on_fetched};
    r->fetches++;
    wal_read(r->wal, &f->read);
}

void replica__reset_log(struct replica *r, raft_index index, raft_term term, const void *members,
                        uint32_t members_len)
{
    wal_submit_reset(r->wal, index, term, members, members_len);
}

void replica_seal(struct replica *replica)
{
    if (!replica->is_failed)
        wal_seal(replica->wal);
}
