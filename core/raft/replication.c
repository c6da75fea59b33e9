/* The leader's half of replication (dissertation 3.5, 3.6, 10.2.1): proposals, replies, the commit
 * rule, and what each peer is sent at the end of a loop turn. */
#include "raft/core.h"

#include "base/blob.h"

void raft__append_own(struct raft *r, uint32_t type, const struct raft_payload *p)
{
    struct raft_entry e = {.index = r->tail.last + 1, .term = r->hard.term, .type = type};

    if (p != NULL) {
        e.data = p->len == 0 ? NULL : p->data;
        e.len = p->len;
        e.owner = p->len == 0 ? NULL : p->owner;
    }
    raft__tail_append(&r->tail, &e);
    if (type == RAFT_ENTRY_DATA)
        r->uncommitted_bytes += raft__entry_bytes(&e);
}

int raft__propose(struct raft *r, const struct raft_event *event)
{
    uint64_t bytes = 0;

    if (r->role != RAFT_LEADER)
        return RAFT_ENOTLEADER;
    if (r->transfer_target != 0)
        return RAFT_EBUSY;
    if (event->propose.count == 0)
        return DKV_EINVAL;
    for (uint32_t i = 0; i < event->propose.count; i++) {
        const struct raft_payload *p = &event->propose.payloads[i];

        if (p->len > 0 && (p->data == NULL || p->owner == NULL))
            return DKV_EINVAL;
        bytes += p->len + sizeof(struct raft_entry);
    }
    if (r->uncommitted_bytes > 0 && r->uncommitted_bytes + bytes > r->config.uncommitted_bytes_max)
        return RAFT_ELIMIT;
    if (event->propose.first_out != NULL)
        *event->propose.first_out = r->tail.last + 1;
    if (event->propose.term_out != NULL)
        *event->propose.term_out = r->hard.term;
    for (uint32_t i = 0; i < event->propose.count; i++)
        raft__append_own(r, RAFT_ENTRY_DATA, &event->propose.payloads[i]);
    return DKV_OK;
}

/* Where to probe after a refusal.  The follower says where its log has a term we may have too; we
 * skip our own entries of later terms below that.  At most one probe per term on either side. */
static void on_append_refused(struct raft *r, struct raft_peer *p, const struct raft_message *m)
{
    raft_index next;

    if (p->state == RAFT_PEER_SNAPSHOT || m->index <= p->match)
        return;
    if (p->state == RAFT_PEER_PROBE && m->index != p->next - 1)
        return; /* to an older probe */
    if (m->hint_index >= m->index)
        return; /* would not converge; no honest follower says so */
    next = raft__tail_find(&r->tail, m->hint_index, m->log_term) + 1;
    if (m->hint_index < r->tail.base)
        next = m->hint_index + 1;
    if (next <= p->match)
        next = p->match + 1;
    raft__peer_probe(p, next);
}

void raft__on_append_reply(struct raft *r, const struct raft_message *m)
{
    struct raft_peer *p = raft__peer(r, m->from);
    bool is_news;

    if (r->role != RAFT_LEADER || p == NULL)
        return;
    p->contact_us = r->now_us;
    if ((m->flags & RAFT_REJECT) != 0) {
        on_append_refused(r, p, m);
        return;
    }
    if (m->index > r->tail.last)
        return; /* not from our log */
    is_news = m->index > p->match;
    if (is_news || MUTANT(17))
        p->match = m->index;
    if (p->next <= p->match)
        p->next = p->match + 1;
    switch (p->state) {
    case RAFT_PEER_PROBE:
        if (is_news || m->index == p->next - 1)
            raft__peer_replicate(p);
        break;
    case RAFT_PEER_REPLICATE:
        if (is_news)
            p->progress_us = r->now_us;
        raft__peer_inflight_free(r, p, m->index);
        break;
    case RAFT_PEER_SNAPSHOT:
        if (p->match >= r->tail.base) { /* it can go on from the log after all */
            if (p->snapshot_asked)
                RAFT_PUSH(&r->snapshot_abort, p->id);
            raft__peer_replicate(p);
        }
        break;
    }
}

static void send_append(struct raft *r, struct raft_peer *p, uint32_t count,
                        const struct raft_entry *entries)
{
    raft__send(r, (struct raft_message){
                      .type = RAFT_MSG_APPEND,
                      .to = p->id,
                      .index = p->next - 1,
                      .log_term = raft__tail_term(&r->tail, p->next - 1),
                      .commit = r->commit,
                      .read_seq = r->read_seq,
                      .count = count,
                      .entries = entries,
                  });
    p->commit_sent = r->commit;
    p->heartbeat_seq = r->read_seq;
}

void raft__on_heartbeat_reply(struct raft *r, const struct raft_message *m)
{
    struct raft_peer *p = raft__peer(r, m->from);
    uint32_t slot = raft__slot(r, m->from);

    if (r->role != RAFT_LEADER || p == NULL)
        return;
    p->contact_us = r->now_us;
    if (m->read_seq <= r->read_seq && m->read_seq > r->read_acked[slot])
        r->read_acked[slot] = m->read_seq;
    if (p->state == RAFT_PEER_PROBE)
        p->probe_sent = false;

    /* It lives but has not answered for a while: if messages were lost, an empty one finds out. */
    if (p->state == RAFT_PEER_REPLICATE && p->inflight_count > 0 &&
        r->now_us >= p->progress_us + r->config.heartbeat_us) {
        p->progress_us = r->now_us;
        send_append(r, p, 0, NULL);
    }
}

bool raft__commit_is_current(const struct raft *r)
{
    return raft__tail_term(&r->tail, r->commit) == r->hard.term;
}

/* Only entries of the own term are counted (Figure 3.7 of the dissertation); older ones are
 * committed with them.  Our own disk is one voice among the others, and none if we are no voter. */
void raft__leader_commit(struct raft *r)
{
    uint64_t match[RAFT_MEMBERS_MAX];
    raft_index index;

    for (uint32_t i = 0; i < r->peers_count; i++)
        match[i] = i == r->self_slot ? r->durable : r->peers[i].match;
    if (MUTANT(5) && r->self_slot < RAFT_MEMBERS_MAX)
        match[r->self_slot] = r->tail.last;
    index = raft__quorum_value(r->quorum, match);
    if (index <= r->commit)
        return;
    if (raft__tail_term(&r->tail, index) != r->hard.term && !MUTANT(1))
        return;
    for (raft_index i = r->commit + 1; i <= index && r->uncommitted_bytes > 0; i++) {
        const struct raft_entry *e = i > r->term_start ? raft__tail_at(&r->tail, i) : NULL;

        if (e != NULL && e->type == RAFT_ENTRY_DATA)
            r->uncommitted_bytes -= raft__entry_bytes(e);
    }
    r->commit = index;
}

/* Answers are used only if nothing has moved meanwhile (R-R24). */
int raft__on_fetched(struct raft *r, const struct raft_event *event)
{
    const struct raft_entry *e = event->fetched.entries;
    struct raft_peer *p;

    for (uint32_t i = 0; i < event->fetched.count; i++) {
        if (e[i].index != event->fetched.first + i || (e[i].owner == NULL && e[i].len > 0) ||
            e[i].term != raft__tail_term(&r->tail, e[i].index))
            return RAFT_ESTALE;
    }
    if (event->fetched.peer == r->config.self) {
        if (r->apply_fetch_first != event->fetched.first)
            return RAFT_ESTALE;
        r->apply_fetch_first = 0;
        if (event->fetched.count == 0)
            r->apply_retry_us = r->now_us + r->config.heartbeat_us;
        else
            raft__stash_copy(&r->apply_stash, e, event->fetched.count);
        return DKV_OK;
    }
    p = raft__peer(r, event->fetched.peer);
    if (r->role != RAFT_LEADER || p == NULL || p->fetch_first != event->fetched.first)
        return RAFT_ESTALE;
    p->fetch_first = 0;
    if (event->fetched.count == 0)
        p->paused_until_us = r->now_us + r->config.heartbeat_us;
    else if (p->next == event->fetched.first)
        raft__stash_copy(&p->fetched, e, event->fetched.count);
    return DKV_OK;
}

/* How many entries from p->next on, read back or in memory, go into one message, and their bytes;
 * at least one. */
static uint32_t count_for_message(const struct raft *r, const struct raft_peer *p,
                                  uint32_t *bytes_out)
{
    const struct raft_stash *s = &p->fetched;
    uint64_t max = s->count > 0 ? s->count : r->tail.last + 1 - p->next;
    uint64_t bytes = 0;
    uint32_t count = 0;

    while (count < max && count < UINT32_MAX) {
        uint64_t size = raft__entry_bytes(s->count > 0 ? &s->entries[count]
                                                       : raft__tail_at(&r->tail, p->next + count));

        if (count > 0 && bytes + size > r->config.msg_bytes_max)
            break;
        bytes += size;
        count++;
    }
    *bytes_out = bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes;
    return count;
}

static void send_fetched(struct raft *r, struct raft_peer *p)
{
    struct raft_stash s = p->fetched;
    uint32_t bytes, count = count_for_message(r, p, &bytes);

    send_append(r, p, count, s.entries);
    p->fetched = (struct raft_stash){0};
    RAFT_PUSH(&r->retired, s); /* its entries are referred to until the next step */
    if (p->state == RAFT_PEER_PROBE) {
        p->probe_sent = true;
        return;
    }
    if (count < s.count)
        raft__stash_copy(&p->fetched, s.entries + count, s.count - count);
    p->next += count;
    raft__peer_inflight_add(r, p, p->next - 1, bytes);
}

static void ask_for_entries(struct raft *r, struct raft_peer *p)
{
    p->fetch_first = p->next;
    RAFT_PUSH(&r->want_fetch, ((struct raft_want_fetch){
                                  .peer = p->id,
                                  .first = p->next,
                                  .last = r->tail.ring_first - 1,
                                  .bytes_max = r->config.msg_bytes_max,
                              }));
}

/* Sends one APPEND if the peer may have one; false when it may not, or has everything. */
static bool send_next(struct raft *r, struct raft_peer *p)
{
    bool is_probe = p->state == RAFT_PEER_PROBE;
    uint32_t count, bytes;

    if (p->state == RAFT_PEER_SNAPSHOT)
        return false; /* until it is over */
    if (p->fetch_first != 0 || r->now_us < p->paused_until_us || (is_probe && p->probe_sent) ||
        (!is_probe && p->next > r->tail.last) || (!is_probe && raft__peer_window_is_full(r, p)))
        return false;
    if (p->next <= r->tail.base) {
        raft__peer_snapshot(p);
        return false;
    }
    if (p->fetched.count > 0 && p->fetched.entries[0].index != p->next)
        raft__stash_free(&p->fetched); /* an acknowledgement was faster */
    if (p->fetched.count > 0) {
        send_fetched(r, p);
        return !is_probe;
    }
    if (p->next < r->tail.ring_first && p->next <= r->tail.last) {
        ask_for_entries(r, p);
        return false;
    }
    count = count_for_message(r, p, &bytes);
    send_append(r, p, count, NULL);
    if (is_probe) {
        p->probe_sent = true;
        return false;
    }
    p->next += count;
    raft__peer_inflight_add(r, p, p->next - 1, bytes);
    return true;
}

static void send_heartbeat(struct raft *r, struct raft_peer *p)
{
    raft_index commit = p->match < r->commit ? p->match : r->commit;

    raft__send(r, (struct raft_message){
                      .type = RAFT_MSG_HEARTBEAT,
                      .to = p->id,
                      .commit = commit,
                      .read_seq = r->read_seq,
                  });
    p->heartbeat_due = false;
    p->heartbeat_seq = r->read_seq;
    if (p->match >= r->commit)
        p->commit_sent = r->commit;
}

static void ask_for_snapshot(struct raft *r, struct raft_peer *p)
{
    if (p->snapshot_asked || r->now_us < p->paused_until_us ||
        p->contact_us + r->config.election_timeout_us <= r->now_us)
        return;
    p->snapshot_asked = true;
    RAFT_PUSH(&r->want_snapshot, p->id);
}

void raft__leader_send(struct raft *r)
{
    uint64_t voters = raft__voters(r);

    for (uint32_t i = 0; i < r->peers_count; i++) {
        struct raft_peer *p = &r->peers[i];
        bool wants_round = (voters >> i & 1) != 0 && p->heartbeat_seq < r->read_seq;
        bool idle_behind = p->state == RAFT_PEER_REPLICATE && p->inflight_count == 0 &&
                           p->commit_sent < r->commit && p->match >= r->commit;

        if (p->id == r->config.self)
            continue;
        while (send_next(r, p))
            continue;
        if (p->state == RAFT_PEER_SNAPSHOT)
            ask_for_snapshot(r, p);
        wants_round = wants_round && p->heartbeat_seq < r->read_seq;
        idle_behind = idle_behind && p->inflight_count == 0 && p->commit_sent < r->commit;
        if (p->heartbeat_due || wants_round || idle_behind)
            send_heartbeat(r, p);
    }
}
