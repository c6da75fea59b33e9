/* The follower's half of replication: what an APPEND changes, and what is answered when.
 *
 * A receipt (HEARTBEAT_REPLY) leaves at once and says only "you were heard"; it serves reads and
 * check-quorum.  An APPEND_REPLY promises, so it is computed from what is durable, at the end of
 * the loop turn: one for all appends that one sync covered (D5). */
#include "raft/core.h"

/* A peer's entries are input: everything is checked before anything is changed. */
static bool entries_are_valid(const struct raft_message *m)
{
    raft_term term = m->log_term;

    if (m->index > RAFT_NUMBER_MAX || m->log_term > m->term || (m->count > 0 && m->entries == NULL))
        return false;
    for (uint32_t i = 0; i < m->count; i++) {
        const struct raft_entry *e = &m->entries[i];

        if (e->index != m->index + 1 + i || e->term < term || e->term > m->term || e->term == 0)
            return false;
        if (e->len > 0 && (e->data == NULL || e->owner == NULL))
            return false;
        if (e->type == RAFT_ENTRY_CONFIG) {
            struct raft_members members;

            if (raft_members_decode(e->data, e->len, &members) != DKV_OK)
                return false;
        } else if (e->type != RAFT_ENTRY_DATA && e->type != RAFT_ENTRY_NOOP) {
            return false;
        }
        term = e->term;
    }
    return true;
}

/* An honest leader contradicts neither the committed prefix nor what it has sent before. */
static bool contradicts(const struct raft *r, const struct raft_message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct raft_entry *e = &m->entries[i];

        if (e->index <= r->commit)
            continue;
        if (e->term < raft__tail_term(&r->tail, r->commit))
            return true;
        if (e->index > r->matched)
            return false;
        if (e->term != raft__tail_term(&r->tail, e->index) && !MUTANT(3))
            return true;
    }
    return false;
}

static void refuse(struct raft *r, const struct raft_message *m)
{
    raft_index hint = raft__tail_find(&r->tail, m->index - 1, m->log_term);

    raft__send(r, (struct raft_message){
                      .type = RAFT_MSG_APPEND_REPLY,
                      .flags = RAFT_REJECT,
                      .to = m->from,
                      .index = m->index,
                      .hint_index = hint,
                      .log_term = raft__tail_term(&r->tail, hint),
                  });
}

/* Everything up to commit equals every later leader's log, so a previous entry below it needs no
 * comparison, even if it was compacted away (R-R19). */
static bool previous_matches(const struct raft *r, const struct raft_message *m)
{
    if (m->index <= r->commit)
        return true;
    return m->index <= r->tail.last && raft__tail_term(&r->tail, m->index) == m->log_term;
}

static void take_entries(struct raft *r, const struct raft_message *m)
{
    for (uint32_t i = 0; i < m->count; i++) {
        const struct raft_entry *e = &m->entries[i];

        if (e->index <= r->commit && !MUTANT(4))
            continue;
        if (e->index <= r->tail.last) {
            if (raft__tail_term(&r->tail, e->index) == e->term && !(MUTANT(4) && i == 0))
                continue;
            if (MUTANT(4) && e->index <= r->commit)
                continue;
            raft__truncate(r, e->index);
        }
        raft__tail_append(&r->tail, e);
        if (e->type == RAFT_ENTRY_CONFIG)
            raft__conf_append(r, &r->tail.ring[e->index & (r->tail.ring_max - 1)]);
    }
}

int raft__on_append(struct raft *r, const struct raft_message *m)
{
    raft_index verified = m->index + m->count;

    if (!entries_are_valid(m))
        return DKV_EINVAL;
    raft__hear_leader(r, m->from);
    if (m->read_seq > r->receipt_seq)
        r->receipt_seq = m->read_seq;
    if (r->receipt_seq > r->receipt_sent)
        r->receipt_due = true;
    if (!previous_matches(r, m)) {
        refuse(r, m);
        return DKV_OK;
    }
    if (contradicts(r, m))
        return DKV_EINVAL;
    take_entries(r, m);
    if (verified < r->commit) /* the committed prefix is verified by being committed */
        verified = r->commit;
    if (MUTANT(3))
        verified = r->tail.last;
    if (verified > r->matched)
        r->matched = verified;
    r->ack_due = true;
    verified = m->commit < r->matched ? m->commit : r->matched;
    if (MUTANT(14))
        verified = m->commit < r->tail.last ? m->commit : r->tail.last;
    if (verified > r->commit)
        r->commit = verified;
    return DKV_OK;
}

/* The leader never names a commit index above what it knows us to have. */
void raft__on_heartbeat(struct raft *r, const struct raft_message *m)
{
    raft_index commit = m->commit < r->tail.last ? m->commit : r->tail.last;

    raft__hear_leader(r, m->from);
    if (commit > r->commit)
        r->commit = commit;
    if (r->matched < r->commit)
        r->matched = r->commit;
    if (m->read_seq > r->receipt_seq)
        r->receipt_seq = m->read_seq;
    r->receipt_due = true;
}

static raft_index durable_match(const struct raft *r)
{
    if (MUTANT(5))
        return r->matched;
    return r->durable < r->matched ? r->durable : r->matched;
}

void raft__follower_send(struct raft *r)
{
    raft_index ack = durable_match(r);
    bool term_is_durable = r->hard_durable.term == r->hard.term;

    if (r->role != RAFT_FOLLOWER || r->leader == 0)
        return;
    if (r->receipt_due) {
        r->receipt_due = false;
        r->receipt_sent = r->receipt_seq;
        raft__send(r, (struct raft_message){.type = RAFT_MSG_HEARTBEAT_REPLY,
                                            .to = r->leader,
                                            .read_seq = r->receipt_seq});
    }
    if ((!term_is_durable && !MUTANT(5)) || r->installing)
        return;
    if (ack > r->acked || (r->ack_due && ack == r->matched)) {
        r->acked = ack;
        if (ack == r->matched)
            r->ack_due = false;
        raft__send(
            r, (struct raft_message){.type = RAFT_MSG_APPEND_REPLY, .to = r->leader, .index = ack});
    }
}
