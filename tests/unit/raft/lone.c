#include "tests/unit/raft/lone.h"

#include <stdlib.h>
#include <string.h>

void lone_member(struct lone *l, raft_id id, uint8_t flags)
{
    assert_int_equal(raft_members_set(&l->members, id, flags, NULL, 0), DKV_OK);
}

void lone_prepare(struct lone *l, uint32_t voters)
{
    memset(l, 0, sizeof(*l));
    l->config = (struct raft_config){.self = 1, .seed = 5, .election_timeout_us = T_US};
    l->now_us = 1000;
    for (uint32_t i = 1; i <= voters; i++)
        lone_member(l, i, RAFT_MEMBER_VOTER);
    l->start.members = &l->members;
    l->payload = blob_try(1 << 20);
    memset(l->payload->bytes, 'x', l->payload->len);
}

void lone_start(struct lone *l)
{
    struct raft_event event = {.type = RAFT_START, .start = l->start};

    l->r = raft_new(&l->config);
    lone_step(l, event);
    if (l->rc == DKV_OK)
        lone_poll(l);
}

void lone_new(struct lone *l, uint32_t voters)
{
    lone_prepare(l, voters);
    lone_start(l);
    assert_int_equal(l->rc, DKV_OK);
}

void lone_free(struct lone *l)
{
    raft_free(&l->r);
    assert_int_equal(l->payload->refs, 1); /* the core gave all its references back */
    blob_unref(l->payload);
}

void lone_step(struct lone *l, struct raft_event event)
{
    event.now_us = l->now_us;
    l->rc = raft_step(l->r, &event);
}

void lone_poll(struct lone *l)
{
    raft_poll(l->r, &l->out);
    raft_status(l->r, &l->s);
    if (l->out.ticket != 0)
        l->ticket = l->out.ticket;
    if (l->out.apply_last != 0)
        l->applying = l->out.apply_last;
}

void lone_do(struct lone *l, struct raft_event event)
{
    lone_step(l, event);
    lone_poll(l);
}

void lone_receive(struct lone *l, struct raft_message m)
{
    m.to = 1;
    lone_do(l, (struct raft_event){.type = RAFT_RECEIVE, .message = &m});
}

void lone_persist(struct lone *l)
{
    lone_do(l, (struct raft_event){.type = RAFT_PERSISTED, .ticket = l->ticket});
}

void lone_wait(struct lone *l, uint64_t us)
{
    l->now_us += us;
    lone_do(l, (struct raft_event){.type = RAFT_TICK});
}

void lone_timeout(struct lone *l)
{
    uint64_t at = raft_deadline_us(l->r);

    lone_wait(l, at > l->now_us ? at - l->now_us : 0);
}

void lone_apply(struct lone *l)
{
    lone_do(l, (struct raft_event){.type = RAFT_APPLIED, .index = l->applying});
}

void lone_apply_all(struct lone *l)
{
    while (l->s.applied < l->applying)
        lone_apply(l);
}

void lone_precandidate(struct lone *l)
{
    lone_timeout(l);
    assert_int_equal(l->out.role, RAFT_PRECANDIDATE);
}

void lone_candidate(struct lone *l)
{
    uint32_t count = l->members.count;
    const struct raft_message *m;
    uint64_t seq = 0;

    lone_timeout(l);
    m = lone_sent(l, RAFT_MSG_PREVOTE, 0);
    if (m != NULL)
        seq = m->seq;
    for (raft_id id = 2; id <= count && l->out.role == RAFT_PRECANDIDATE; id++)
        lone_receive(l, (struct raft_message){.type = RAFT_MSG_PREVOTE_REPLY,
                                              .from = id,
                                              .term = l->out.term + 1,
                                              .seq = seq});
    assert_int_equal(l->out.role, RAFT_CANDIDATE);
    lone_persist(l);
}

void lone_leader(struct lone *l)
{
    uint32_t count = l->members.count;

    lone_candidate(l);
    for (raft_id id = 2; id <= count && l->out.role == RAFT_CANDIDATE; id++)
        lone_receive(
            l, (struct raft_message){.type = RAFT_MSG_VOTE_REPLY, .from = id, .term = l->out.term});
    assert_int_equal(l->out.role, RAFT_LEADER);
}

void lone_ack(struct lone *l, raft_id from, raft_index index)
{
    lone_receive(
        l, (struct raft_message){
               .type = RAFT_MSG_APPEND_REPLY, .from = from, .term = l->out.term, .index = index});
}

void lone_leader_settled(struct lone *l)
{
    uint32_t count = l->members.count;

    lone_leader(l);
    lone_persist(l);
    for (raft_id id = 2; id <= count; id++)
        lone_ack(l, id, l->s.last);
    assert_int_equal(l->s.commit, l->s.last);
}

int lone_propose(struct lone *l, uint32_t count, uint32_t len)
{
    struct raft_payload payloads[64];
    struct raft_event event = {.type = RAFT_PROPOSE};

    for (uint32_t i = 0; i < count; i++)
        payloads[i] = (struct raft_payload){l->payload->bytes, len, l->payload};
    event.propose.payloads = payloads;
    event.propose.count = count;
    lone_do(l, event);
    return l->rc;
}

void lone_append(struct lone *l, raft_id from, raft_term term, raft_index prev, raft_term prev_term,
                 raft_index commit, const raft_term *terms)
{
    struct raft_entry entries[64];
    struct raft_message m = {.type = RAFT_MSG_APPEND,
                             .from = from,
                             .term = term,
                             .index = prev,
                             .log_term = prev_term,
                             .commit = commit,
                             .entries = entries};

    for (; terms[m.count] != 0; m.count++)
        entries[m.count] = (struct raft_entry){.index = prev + 1 + m.count,
                                               .term = terms[m.count],
                                               .type = RAFT_ENTRY_DATA,
                                               .len = 10,
                                               .data = l->payload->bytes,
                                               .owner = l->payload};
    lone_receive(l, m);
}

void lone_append_config(struct lone *l, raft_term term, raft_index prev, raft_term prev_term,
                        const struct raft_members *m)
{
    struct blob *b = blob_try((uint32_t)raft_members_size(m));
    struct raft_entry e = {.index = prev + 1,
                           .term = term,
                           .type = RAFT_ENTRY_CONFIG,
                           .len = b->len,
                           .data = b->bytes,
                           .owner = b};

    assert_int_equal(raft_members_encode(m, b->bytes), b->len);
    lone_receive(l, (struct raft_message){.type = RAFT_MSG_APPEND,
                                          .from = 2,
                                          .term = term,
                                          .index = prev,
                                          .log_term = prev_term,
                                          .count = 1,
                                          .entries = &e});
    blob_unref(b);
}

void lone_heartbeat(struct lone *l, raft_id from, raft_term term, raft_index commit, uint64_t seq)
{
    lone_receive(l, (struct raft_message){.type = RAFT_MSG_HEARTBEAT,
                                          .from = from,
                                          .term = term,
                                          .commit = commit,
                                          .read_seq = seq});
}

void lone_snapshot(struct lone *l, raft_id from, raft_term term, raft_index index, raft_term at)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_RECEIVED};

    event.snapshot.from = from;
    event.snapshot.term = term;
    event.snapshot.snapshot_index = index;
    event.snapshot.snapshot_term = at;
    event.snapshot.members = &l->members;
    lone_do(l, event);
}

void lone_read(struct lone *l, uint64_t context)
{
    lone_do(l, (struct raft_event){.type = RAFT_READ, .read.context = context});
}

const struct raft_message *lone_sent(const struct lone *l, uint32_t type, raft_id to)
{
    const struct raft_message *found = NULL;

    for (uint32_t i = 0; i < l->out.messages_count; i++) {
        if (l->out.messages[i].type == type && (to == 0 || l->out.messages[i].to == to))
            found = &l->out.messages[i];
    }
    return found;
}

uint32_t lone_sent_count(const struct lone *l, uint32_t type, raft_id to)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < l->out.messages_count; i++)
        count += l->out.messages[i].type == type && (to == 0 || l->out.messages[i].to == to);
    return count;
}
