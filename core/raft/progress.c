/* The leader's view of one follower (dissertation 10.2.1).
 *
 * PROBE: the leader guesses where the logs part and sends one message at a time.  REPLICATE: it
 * sends ahead of the replies, up to a window in messages and bytes; small windows make big batches.
 * SNAPSHOT: the log no longer reaches back far enough. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "raft/core.h"

static void forget_inflight(struct raft_peer *p)
{
    p->inflight_head = 0;
    p->inflight_count = 0;
    p->inflight_bytes = 0;
}

void raft__peer_fetch_drop(struct raft_peer *p)
{
    p->fetch_first = 0;
    raft__stash_free(&p->fetched);
}

void raft__peer_reset(struct raft *r, struct raft_peer *p)
{
    raft__peer_fetch_drop(p);
    forget_inflight(p);
    p->state = RAFT_PEER_PROBE;
    p->match = 0;
    p->next = r->tail.last + 1;
    p->probe_sent = false;
    p->paused_until_us = 0;
    p->progress_us = 0;
    p->commit_sent = 0;
    p->contact_us = 0;
    p->heartbeat_seq = 0;
    p->heartbeat_due = false;
    p->snapshot_asked = false;
    p->snapshot_index = 0;
}

void raft__peer_fini(struct raft_peer *p)
{
    raft__peer_fetch_drop(p);
    free(p->inflight);
    free(p->inflight_sizes);
    memset(p, 0, sizeof(*p));
}

void raft__peer_probe(struct raft_peer *p, raft_index next)
{
    dkv_assert(next > p->match || MUTANT(17));
    forget_inflight(p);
    raft__peer_fetch_drop(p);
    p->state = RAFT_PEER_PROBE;
    p->next = next;
    p->probe_sent = false;
    p->snapshot_asked = false;
    p->snapshot_index = 0;
}

void raft__peer_replicate(struct raft_peer *p)
{
    raft__peer_probe(p, p->match + 1);
    p->state = RAFT_PEER_REPLICATE;
    p->paused_until_us = 0;
}

void raft__peer_snapshot(struct raft_peer *p)
{
    forget_inflight(p);
    raft__peer_fetch_drop(p);
    p->state = RAFT_PEER_SNAPSHOT;
    p->snapshot_asked = false;
    p->snapshot_index = 0;
}

bool raft__peer_window_is_full(const struct raft *r, const struct raft_peer *p)
{
    return p->inflight_count >= r->config.inflight_msgs_max ||
           p->inflight_bytes >= r->config.inflight_bytes_max;
}

void raft__peer_inflight_add(struct raft *r, struct raft_peer *p, raft_index last, uint32_t bytes)
{
    uint32_t max = r->config.inflight_msgs_max;
    uint32_t at = (p->inflight_head + p->inflight_count) % max;

    dkv_assert(p->inflight_count < max);
    if (p->inflight == NULL) {
        p->inflight = xcalloc(max, sizeof(*p->inflight));
        p->inflight_sizes = xcalloc(max, sizeof(*p->inflight_sizes));
    }
    if (p->inflight_count == 0)
        p->progress_us = r->now_us;
    p->inflight[at] = last;
    p->inflight_sizes[at] = bytes;
    p->inflight_count++;
    p->inflight_bytes += bytes;
}

void raft__peer_inflight_free(const struct raft *r, struct raft_peer *p, raft_index upto)
{
    while (p->inflight_count > 0 && p->inflight[p->inflight_head] <= upto) {
        p->inflight_bytes -= p->inflight_sizes[p->inflight_head];
        p->inflight_head = (p->inflight_head + 1) % r->config.inflight_msgs_max;
        p->inflight_count--;
    }
}
