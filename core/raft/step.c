/* Life of the core, and the dispatch of one event: the only switches over event and message
 * types. */
#include <stdlib.h>
#include <string.h>

#include "base/blob.h"
#include "base/mem.h"
#include "raft/core.h"

void raft__list_reserve(void **at, uint32_t *max, uint32_t count, size_t size)
{
    if (count < *max)
        return;
    *max = *max == 0 ? 16 : *max * 2;
    *at = xreallocarray(*at, *max, size);
}

void raft__stash_free(struct raft_stash *s)
{
    for (uint32_t i = 0; i < s->count; i++)
        blob_unref(s->entries[i].owner);
    free(s->entries);
    *s = (struct raft_stash){0};
}

void raft__stash_copy(struct raft_stash *s, const struct raft_entry *entries, uint32_t count)
{
    raft__stash_free(s);
    s->entries = xcalloc(count, sizeof(*entries));
    memcpy(s->entries, entries, count * sizeof(*entries));
    s->count = count;
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i].owner != NULL)
            blob_ref(entries[i].owner);
    }
}

void raft__send(struct raft *r, struct raft_message m)
{
    m.from = r->config.self;
    if (m.term == 0)
        m.term = r->hard.term;
    RAFT_PUSH(&r->messages, m);
}

static uint64_t or_default(uint64_t value, uint64_t standard)
{
    return value == 0 ? standard : value;
}

struct raft *raft_new(const struct raft_config *config)
{
    struct raft *r = xcalloc(1, sizeof(*r));
    struct raft_config *c = &r->config;

    dkv_assert(config->self != 0);
    *c = *config;
    c->election_timeout_us = or_default(c->election_timeout_us, 400 * 1000);
    c->heartbeat_us = or_default(c->heartbeat_us, c->election_timeout_us / 5);
    c->disk_stall_us = or_default(c->disk_stall_us, 5 * c->election_timeout_us);
    c->msg_bytes_max = (uint32_t)or_default(c->msg_bytes_max, 512 << 10);
    c->inflight_msgs_max = (uint32_t)or_default(c->inflight_msgs_max, 4);
    c->inflight_bytes_max = (uint32_t)or_default(c->inflight_bytes_max, 4 << 20);
    c->apply_bytes_max = (uint32_t)or_default(c->apply_bytes_max, 4 << 20);
    c->reads_max = (uint32_t)or_default(c->reads_max, 65536);
    c->uncommitted_bytes_max = or_default(c->uncommitted_bytes_max, 64 << 20);
    c->ring_bytes_max = or_default(c->ring_bytes_max, 16 << 20);
    rng_init(&r->rng, c->seed);

    /* Answers to an earlier life's requests must not pass for answers to ours. */
    r->remote_base = rng_next(&r->rng) >> 2;
    r->remote_seq = r->remote_base;
    r->round = rng_next(&r->rng) >> 2;
    raft__tail_init(&r->tail);
    r->self_slot = RAFT_MEMBERS_MAX;
    return r;
}

void raft__drop_results(struct raft *r)
{
    r->messages.count = 0;
    r->reads_ok.count = 0;
    r->reads_failed.count = 0;
    r->dropped.count = 0;
    r->want_fetch.count = 0;
    r->want_snapshot.count = 0;
    r->snapshot_abort.count = 0;
    for (uint32_t i = 0; i < r->retired.count; i++)
        raft__stash_free(&r->retired.at[i]);
    r->retired.count = 0;
    r->polled = false;
}

void raft_free(struct raft **raft)
{
    struct raft *r = *raft;

    *raft = NULL;
    if (r == NULL)
        return;
    raft__drop_results(r);
    raft__conf_fini(r);
    raft__stash_free(&r->apply_stash);
    raft__tail_fini(&r->tail);
    free(r->tickets);
    free(r->reads);
    free(r->remote_reads.at);
    free(r->messages.at);
    free(r->reads_ok.at);
    free(r->reads_failed.at);
    free(r->dropped.at);
    free(r->want_fetch.at);
    free(r->want_snapshot.at);
    free(r->snapshot_abort.at);
    free(r->retired.at);
    free(r);
}

static int start_log(struct raft *r, const struct raft_start *s)
{
    raft_index last = s->last_index;
    raft_term term = s->log_prev_term;

    if (last <= s->snapshot_index &&
        (last < s->snapshot_index || s->log_prev_index >= s->snapshot_index)) {
        raft__tail_reset(&r->tail, s->snapshot_index, s->snapshot_term);
        return DKV_OK;
    }
    if (s->log_prev_index > s->snapshot_index)
        return DKV_ECORRUPT;
    raft__tail_reset(&r->tail, s->log_prev_index, s->log_prev_term);
    for (uint32_t i = 0; i < s->runs_count; i++) {
        raft_index end = i + 1 < s->runs_count ? s->runs[i + 1].first - 1 : last;

        if (s->runs[i].first != r->tail.last + 1 || end < s->runs[i].first || end > last ||
            s->runs[i].term < term)
            return DKV_ECORRUPT;
        term = s->runs[i].term;
        raft__tail_add_run(&r->tail, s->runs[i].first, term, end);
    }
    if (r->tail.last != last || raft__tail_term(&r->tail, s->snapshot_index) != s->snapshot_term)
        return DKV_ECORRUPT;
    return DKV_OK;
}

static int start(struct raft *r, const struct raft_start *s)
{
    int rc;

    if (r->started || s->last_index > RAFT_NUMBER_MAX || s->hard.term > RAFT_NUMBER_MAX)
        return DKV_EINVAL;
    rc = start_log(r, s);
    if (rc == DKV_OK && (s->applied_index < s->snapshot_index || s->applied_index > r->tail.last ||
                         s->hard.term < raft__tail_last_term(&r->tail)))
        rc = DKV_ECORRUPT;
    if (rc == DKV_OK)
        rc = raft__conf_start(r, s);
    if (rc != DKV_OK)
        return rc;
    r->hard = s->hard;
    r->hard_durable = s->hard;
    r->hard_handed = s->hard;
    r->commit = s->applied_index;
    r->applied = s->applied_index;
    r->apply_handed = s->applied_index;
    r->durable = r->tail.last;
    r->persist_next = r->tail.last + 1;
    r->matched = r->commit;
    r->told.term = s->hard.term;
    r->started = true;
    raft__timer_reset(r);
    if (raft__voters(r) == (uint64_t)1 << r->self_slot % 64 && r->self_slot < RAFT_MEMBERS_MAX)
        r->election_at_us = r->now_us; /* nobody to wait for */
    return DKV_OK;
}

/* A message of an older term comes from somebody who does not know of the newer one.  Who asks for
 * something gets an answer in the current term, which frees it (R-E10). */
static void answer_older_term(struct raft *r, const struct raft_message *m)
{
    uint32_t type;

    switch (m->type) {
    case RAFT_MSG_PREVOTE:
        raft__on_prevote(r, m);
        return;
    case RAFT_MSG_VOTE:
        raft__on_vote(r, m);
        return;
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
        type = RAFT_MSG_APPEND_REPLY;
        break;
    case RAFT_MSG_READ_REQUEST:
        type = RAFT_MSG_READ_REPLY;
        break;
    default:
        return;
    }
    raft__send(
        r, (struct raft_message){.type = type, .flags = RAFT_REJECT, .to = m->from, .seq = m->seq});
}

/* Does a message of a higher term prove that this term exists?  A pre-vote and a granted reply to
 * one name a term that nobody has entered; a vote decides for itself. */
static bool raises_term(const struct raft_message *m)
{
    return m->type != RAFT_MSG_PREVOTE && m->type != RAFT_MSG_PREVOTE_REPLY &&
           m->type != RAFT_MSG_VOTE;
}

static int dispatch_message(struct raft *r, const struct raft_message *m)
{
    switch (m->type) {
    case RAFT_MSG_PREVOTE:
        raft__on_prevote(r, m);
        return DKV_OK;
    case RAFT_MSG_PREVOTE_REPLY:
        raft__on_prevote_reply(r, m);
        return DKV_OK;
    case RAFT_MSG_VOTE:
        raft__on_vote(r, m);
        return DKV_OK;
    case RAFT_MSG_VOTE_REPLY:
        raft__on_vote_reply(r, m);
        return DKV_OK;
    case RAFT_MSG_APPEND:
    case RAFT_MSG_HEARTBEAT:
        if (r->role == RAFT_LEADER || (r->leader != 0 && r->leader != m->from))
            return DKV_EINVAL; /* two leaders in one term: not by any honest node */
        if (m->type == RAFT_MSG_APPEND)
            return raft__on_append(r, m);
        raft__on_heartbeat(r, m);
        return DKV_OK;
    case RAFT_MSG_APPEND_REPLY:
        raft__on_append_reply(r, m);
        return DKV_OK;
    case RAFT_MSG_HEARTBEAT_REPLY:
        raft__on_heartbeat_reply(r, m);
        return DKV_OK;
    case RAFT_MSG_READ_REQUEST:
        raft__on_read_request(r, m);
        return DKV_OK;
    case RAFT_MSG_READ_REPLY:
        raft__on_read_reply(r, m);
        return DKV_OK;
    case RAFT_MSG_TIMEOUT_NOW:
        raft__on_timeout_now(r, m);
        return DKV_OK;
    default:
        return DKV_EINVAL;
    }
}

static int receive(struct raft *r, const struct raft_message *m)
{
    if (m->to != r->config.self || m->from == r->config.self || m->from == 0 ||
        m->type < RAFT_MSG_PREVOTE || m->type > RAFT_MSG_TIMEOUT_NOW)
        return DKV_EINVAL;
    if (m->term > RAFT_NUMBER_MAX || m->index > RAFT_NUMBER_MAX || m->term == 0)
        return DKV_EINVAL;
    if (m->term < r->hard.term) {
        answer_older_term(r, m);
        return DKV_OK;
    }
    if (m->term > r->hard.term && raises_term(m))
        raft__become_follower(r, m->term, 0, RAFT_WHY_HIGHER_TERM);
    return dispatch_message(r, m);
}

static void unreachable(struct raft *r, raft_id id)
{
    struct raft_peer *p = raft__peer(r, id);
    uint64_t soon;

    if (r->role == RAFT_LEADER) {
        if (p != NULL && p->state == RAFT_PEER_REPLICATE)
            raft__peer_probe(p, p->match + 1);
        return;
    }
    if (!r->config.fast_failover || id != r->leader || id == 0)
        return;
    r->leader_gone = true;
    soon = r->now_us + rng_below(&r->rng, r->config.election_timeout_us / 4 + 1);
    if (soon < r->election_at_us)
        r->election_at_us = soon;
}

static void tick(struct raft *r)
{
    if (r->role == RAFT_LEADER)
        raft__leader_tick(r);
    else
        raft__election_tick(r);
}

static int store_failed(struct raft *r)
{
    r->fatal = true;
    raft__become_follower(r, r->hard.term, 0, RAFT_WHY_STORE_FAILED);
    r->messages.count = 0;
    return DKV_OK;
}

static int dispatch(struct raft *r, const struct raft_event *event)
{
    switch (event->type) {
    case RAFT_START:
        return start(r, &event->start);
    case RAFT_TICK:
        tick(r);
        return DKV_OK;
    case RAFT_RECEIVE:
        return receive(r, event->message);
    case RAFT_PROPOSE:
        return raft__propose(r, event);
    case RAFT_READ:
        return raft__read(r, event->read.context);
    case RAFT_TRANSFER:
        return raft__transfer(r, event->transfer.target);
    case RAFT_CAMPAIGN:
        if (r->role != RAFT_LEADER)
            raft__campaign(r, RAFT_WHY_ASKED);
        return DKV_OK;
    case RAFT_PERSISTED:
        if (event->ticket > r->ticket_last)
            return DKV_EINVAL;
        raft__on_persisted(r, event->ticket);
        return DKV_OK;
    case RAFT_STORE_FAILED:
        return store_failed(r);
    case RAFT_APPLIED:
        return raft__on_applied(r, event->index);
    case RAFT_COMPACTED:
        return raft__on_compacted(r, event->compacted.index, event->compacted.term);
    case RAFT_FETCHED:
        return raft__on_fetched(r, event);
    case RAFT_UNREACHABLE:
        unreachable(r, event->peer);
        return DKV_OK;
    case RAFT_SNAPSHOT_STARTED:
        return raft__on_snapshot_started(r, event);
    case RAFT_SNAPSHOT_SENT:
        return raft__on_snapshot_sent(r, event);
    case RAFT_SNAPSHOT_CHUNK:
        return raft__on_snapshot_chunk(r, event);
    case RAFT_SNAPSHOT_RECEIVED:
        return raft__on_snapshot_received(r, event);
    case RAFT_SNAPSHOT_INSTALLED:
        return raft__on_snapshot_installed(r, event->index);
    default:
        return DKV_EINVAL;
    }
}

int raft_step(struct raft *r, const struct raft_event *event)
{
    int rc;

    if (r->fatal)
        return RAFT_EFATAL;
    if (!r->started && event->type != RAFT_START)
        return DKV_EINVAL;
    if (r->polled)
        raft__drop_results(r);
    if (event->now_us > r->now_us)
        r->now_us = event->now_us;
    rc = dispatch(r, event);
    if (r->started)
        raft__check_invariants(r);
    return rc;
}
