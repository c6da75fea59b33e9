/* The way from the log into the state machine, and what may leave memory afterwards.
 *
 * Only what is durable here is handed out, so that after a crash the log never ends before the
 * state.  Entries that left the ring are read back by the driver. */
#include "raft/core.h"

static const struct raft_entry *stash_at(const struct raft *r, raft_index index)
{
    const struct raft_stash *s = &r->apply_stash;

    if (s->count == 0 || index < s->entries[0].index || index - s->entries[0].index >= s->count)
        return NULL;
    return &s->entries[index - s->entries[0].index];
}

const struct raft_entry *raft_entry_at(const struct raft *r, raft_index index)
{
    const struct raft_entry *e = raft__tail_at(&r->tail, index);

    return e != NULL ? e : stash_at(r, index);
}

static void ask_for_entries(struct raft *r, raft_index first, raft_index limit)
{
    if (r->apply_fetch_first != 0 || r->now_us < r->apply_retry_us)
        return;
    r->apply_fetch_first = first;
    RAFT_PUSH(&r->want_fetch,
              ((struct raft_want_fetch){
                  .peer = r->config.self,
                  .first = first,
                  .last = limit < r->tail.ring_first ? limit : r->tail.ring_first - 1,
                  .bytes_max = r->config.apply_bytes_max,
              }));
}

void raft__hand_apply(struct raft *r, struct raft_output *out)
{
    raft_index limit = r->commit < r->durable ? r->commit : r->durable;
    raft_index i = r->applied + 1;
    uint64_t bytes = 0;

    if (r->installing || r->apply_handed > r->applied || limit <= r->applied)
        return;
    for (; i <= limit; i++) {
        const struct raft_entry *e = raft_entry_at(r, i);

        if (e == NULL)
            break;
        if (bytes > 0 && bytes + raft__entry_bytes(e) > r->config.apply_bytes_max)
            break;
        bytes += raft__entry_bytes(e);
    }
    if (i == r->applied + 1) {
        ask_for_entries(r, i, limit);
        return;
    }
    out->apply_first = r->applied + 1;
    out->apply_last = i - 1;
    r->apply_handed = i - 1;
}

int raft__on_applied(struct raft *r, raft_index index)
{
    if (index > r->apply_handed)
        return DKV_EINVAL;
    if (index > r->applied)
        r->applied = index;
    if (r->apply_stash.count > 0 && stash_at(r, r->applied + 1) == NULL)
        raft__stash_free(&r->apply_stash);
    return DKV_OK;
}

int raft__on_compacted(struct raft *r, raft_index index, raft_term term)
{
    if (r->installing || index > r->applied || index > r->durable)
        return DKV_EINVAL;
    if (index < r->tail.base)
        return DKV_OK; /* an install was faster */
    if (raft__tail_term(&r->tail, index) != term)
        return DKV_EINVAL;
    raft__tail_compact(&r->tail, index);
    raft__conf_compact(r, index);
    return DKV_OK;
}

/* Applied, durable entries go first when the ring is over its limit.  If the state machine lags so
 * much that this does not help, unapplied ones go too and are read back later. */
void raft__evict(struct raft *r)
{
    raft_index settled = r->commit < r->durable ? r->commit : r->durable;

    while (r->tail.ring_bytes > r->config.ring_bytes_max && r->tail.ring_first <= settled &&
           (r->tail.ring_first <= r->applied || r->tail.ring_bytes > 2 * r->config.ring_bytes_max))
        raft__tail_evict_one(&r->tail);
}
