/* Committed entries on their way through the applier, one run at a time. */
#include "node/replica_private.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "base/mem.h"

static void drop_entries(struct replica *r)
{
    for (size_t i = 0; i < r->entries_job.batch.count; i++)
        blob_unref(r->entries[i].owner);
    r->entries_job.batch.count = 0;
}

/* A storage that is away comes back; anything else could make replicas differ (rule R-A7). */
static void on_failed(struct replica *r, int status)
{
    raft_index first = r->entries[0].index;
    raft_index last = r->entries[r->entries_job.batch.count - 1].index;

    if (status == DKV_ECORRUPT)
        replica__fail(
            r, EXIT_CODE_DAMAGE,
            "entries %llu to %llu cannot be applied: an entry or the stored data is damaged "
            "or of a newer version",
            (unsigned long long)first, (unsigned long long)last);
    else
        replica__fail(r, EXIT_CODE_IO, "storage failed at entries %llu to %llu: %s",
                      (unsigned long long)first, (unsigned long long)last, status_text(status));
}

bool replica__may_pass(int status)
{
    return status == DKV_EUNAVAIL || status == DKV_EUNCERTAIN || status == DKV_ENOSPC;
}

static void abandon(struct replica *r)
{
    r->retry_apply_us = 0;
    r->is_applying = r->storage_is_full = false;
    drop_entries(r);
}

void replica__abandon_retry(struct replica *r)
{
    if (r->retry_apply_us != 0)
        abandon(r);
}

static void on_applied(struct apply_job *job)
{
    struct replica *r = container_of(job, struct replica, entries_job);
    struct raft_event event = {.type = RAFT_APPLIED};

    if (replica__may_pass(job->status) && r->is_restoring) {
        abandon(r); /* the snapshot has them */
        return;
    }
    if (replica__may_pass(job->status)) {
        /* Once more: the storage answers a batch that it has already with DKV_OK. */
        r->retry_apply_us = replica__now(r) + 100000;
        r->storage_is_full = job->status == DKV_ENOSPC;
        return;
    }
    r->is_applying = false;
    if (job->status != DKV_OK) {
        on_failed(r, job->status);
        drop_entries(r);
        return;
    }
    r->storage_is_full = false;
    r->state = job->state;
    replica__answer_applied(r, &job->batch);
    drop_entries(r);
    event.index = r->state.index;
    (void)replica__step(r, &event);
    replica__release_barriers(r);
}

static void reserve_entries(struct replica *r, size_t count)
{
    if (count <= r->entries_cap)
        return;
    r->entries = xreallocarray(r->entries, count, sizeof(*r->entries));
    r->entry_results = xreallocarray(r->entry_results, count, sizeof(*r->entry_results));
    r->entries_cap = count;
}

void replica__apply(struct replica *r, raft_index first, raft_index last)
{
    size_t count = (size_t)(last - first + 1);

    dkv_assert(!r->is_applying);
    reserve_entries(r, count);
    for (size_t i = 0; i < count; i++) {
        const struct raft_entry *entry = raft_entry_at(r->raft, first + i);

        dkv_assert(entry != NULL);
        r->entries[i] = *entry;
        if (entry->owner != NULL)
            (void)blob_ref(entry->owner);
    }
    r->entries_job.kind = APPLY_ENTRIES;
    r->entries_job.done = on_applied;
    r->entries_job.batch =
        (struct kv_batch){.entries = r->entries, .count = count, .results = r->entry_results};
    r->is_applying = true;
    r->config.ops->apply(r->config.ctx, &r->entries_job);
}

void replica__retry_apply(struct replica *r)
{
    if (r->retry_apply_us == 0 || r->retry_apply_us > r->now_us)
        return;
    r->retry_apply_us = 0;
    r->config.ops->apply(r->config.ctx, &r->entries_job);
}
