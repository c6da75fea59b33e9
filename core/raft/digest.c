/* One number for the whole state, to compare runs of the simulator.  It takes field after field, so
 * that neither padding nor addresses count. */
#include "raft/core.h"

static void mix(uint64_t *h, uint64_t v)
{
    *h ^= v;
    *h *= UINT64_C(0xff51afd7ed558ccd);
    *h ^= *h >> 32;
}

static void mix_bytes(uint64_t *h, const uint8_t *bytes, uint64_t len)
{
    mix(h, len);
    for (uint64_t i = 0; i < len; i++)
        mix(h, bytes[i]);
}

static void mix_entry(uint64_t *h, const struct raft_entry *e)
{
    mix(h, e->index);
    mix(h, e->term);
    mix(h, e->type);
    mix_bytes(h, e->data, e->len);
}

static void mix_tail(uint64_t *h, const struct raft_tail *t)
{
    mix(h, t->base);
    mix(h, t->base_term);
    mix(h, t->last);
    for (uint32_t i = 0; i < t->runs_count; i++) {
        mix(h, t->runs[i].first);
        mix(h, t->runs[i].term);
    }
    for (raft_index i = t->ring_first; i <= t->last; i++)
        mix_entry(h, raft__tail_at(t, i));
}

static void mix_stash(uint64_t *h, const struct raft_stash *s)
{
    mix(h, s->count);
    for (uint32_t i = 0; i < s->count; i++)
        mix_entry(h, &s->entries[i]);
}

static void mix_peer(uint64_t *h, const struct raft *r, const struct raft_peer *p)
{
    mix(h, p->id);
    mix(h, p->state);
    mix(h, p->match);
    mix(h, p->next);
    mix(h, p->probe_sent);
    mix(h, p->paused_until_us);
    for (uint32_t i = 0; i < p->inflight_count; i++) {
        uint32_t at = (p->inflight_head + i) % r->config.inflight_msgs_max;

        mix(h, p->inflight[at]);
        mix(h, p->inflight_sizes[at]);
    }
    mix(h, p->progress_us);
    mix(h, p->commit_sent);
    mix(h, p->contact_us);
    mix(h, p->heartbeat_seq);
    mix(h, p->heartbeat_due);
    mix(h, p->snapshot_asked);
    mix(h, p->snapshot_index);
    mix(h, p->fetch_first);
    mix_stash(h, &p->fetched);
}

static void mix_members(uint64_t *h, const struct raft_members *m)
{
    mix(h, m->count);
    for (uint32_t i = 0; i < m->count; i++) {
        mix(h, m->member[i].id);
        mix(h, m->member[i].flags);
        mix_bytes(h, m->member[i].info, m->member[i].info_len);
    }
}

static void mix_reads(uint64_t *h, const struct raft *r)
{
    for (uint32_t i = 0; i < r->reads_count; i++) {
        const struct raft_read *read = &r->reads[(r->reads_head + i) % r->reads_max];

        mix(h, read->context);
        mix(h, read->peer);
        mix(h, read->index);
        mix(h, read->seq);
    }
    for (uint32_t i = 0; i < r->remote_reads.count; i++) {
        mix(h, r->remote_reads.at[i].context);
        mix(h, r->remote_reads.at[i].seq);
    }
    for (uint32_t i = 0; i < r->peers_count; i++)
        mix(h, r->read_acked[i]);
    mix(h, r->read_seq);
    mix(h, r->remote_seq);
    mix(h, r->remote_retry_us);
    mix(h, r->remote_due);
}

static void mix_tickets(uint64_t *h, const struct raft *r)
{
    for (uint32_t i = 0; i < r->tickets_count; i++) {
        const struct raft_ticket *t = &r->tickets[(r->tickets_head + i) % r->tickets_max];

        mix(h, t->number);
        mix(h, t->claim);
        mix(h, t->hard.term);
        mix(h, t->hard.vote);
        mix(h, t->issued_us);
    }
    mix(h, r->ticket_last);
}

static void mix_election(uint64_t *h, const struct raft *r)
{
    mix(h, r->hard.term);
    mix(h, r->hard.vote);
    mix(h, r->hard_durable.term);
    mix(h, r->hard_durable.vote);
    mix(h, r->role);
    mix(h, r->leader);
    mix(h, r->election_at_us);
    mix(h, r->leader_contact_us);
    mix(h, r->leader_gone);
    mix(h, r->round);
    mix(h, r->granted);
    mix(h, r->refused);
    mix(h, r->campaign_forced);
    mix(h, r->vote_requested);
    mix(h, r->vote_reply_to);
}

uint64_t raft_digest(const struct raft *r)
{
    uint64_t h = 1;

    for (uint32_t i = 0; i < 4; i++)
        mix(&h, r->rng.s[i]);
    mix(&h, r->now_us);
    mix(&h, r->fatal);
    mix_election(&h, r);
    mix_tail(&h, &r->tail);
    mix(&h, r->commit);
    mix(&h, r->applied);
    mix(&h, r->apply_handed);
    mix(&h, r->durable);
    mix(&h, r->persist_next);
    mix(&h, r->truncate_from);
    mix_stash(&h, &r->apply_stash);
    mix(&h, r->apply_fetch_first);
    mix_tickets(&h, r);
    mix(&h, r->matched);
    mix(&h, r->acked);
    mix(&h, r->ack_due);
    mix(&h, r->receipt_due);
    mix(&h, r->receipt_seq);
    mix(&h, r->receipt_sent);
    for (uint32_t i = 0; i < r->confs_count; i++) {
        mix(&h, r->confs[i].index);
        mix_members(&h, r->confs[i].members);
    }
    for (uint32_t i = 0; i < r->peers_count; i++)
        mix_peer(&h, r, &r->peers[i]);
    mix(&h, r->term_start);
    mix(&h, r->heartbeat_at_us);
    mix(&h, r->uncommitted_bytes);
    mix_reads(&h, r);
    mix(&h, r->transfer_target);
    mix(&h, r->transfer_at_us);
    mix(&h, r->transfer_sent);
    mix(&h, r->installing);
    mix(&h, r->install.index);
    return h;
}
