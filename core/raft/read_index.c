/* Linearizable reads without log writes (dissertation 6.4).
 *
 * The leader remembers its commit index, then proves that it still led afterwards: a number that
 * only grows, read_seq, travels in every heartbeat and append, and comes back in receipts.  When a
 * quorum has returned a number, all reads registered before that number was first sent are served.
 * A number is never used for a read that came later than its sending.  A new leader first has to
 * commit an entry of its own term, for only then does it know what is committed.
 *
 * A follower asks its leader once per loop turn for all reads of that turn. */
#include <stdlib.h>

#include "base/mem.h"
#include "raft/core.h"

static struct raft_read *read_at(const struct raft *r, uint32_t i)
{
    return &r->reads[(r->reads_head + i) % r->reads_max];
}

static void pop_read(struct raft *r)
{
    r->reads_head = (r->reads_head + 1) % r->reads_max;
    r->reads_count--;
    if (r->reads_assigned > 0)
        r->reads_assigned--;
}

static void fail_read(struct raft *r, const struct raft_read *read, uint32_t why)
{
    if (read->peer == 0)
        RAFT_PUSH(&r->reads_failed, ((struct raft_read_failed){read->context, why}));
    else
        raft__send(r, (struct raft_message){.type = RAFT_MSG_READ_REPLY,
                                            .flags = RAFT_REJECT,
                                            .to = read->peer,
                                            .seq = read->context});
}

static void push_read(struct raft *r, uint64_t context, raft_id peer)
{
    if (r->reads_count == r->config.reads_max) {
        fail_read(r, read_at(r, 0), RAFT_WHY_LIMIT);
        pop_read(r);
    }
    if (r->reads_count == r->reads_max) {
        uint32_t max = r->reads_max == 0 ? 64 : r->reads_max * 2;
        struct raft_read *reads = xcalloc(max, sizeof(*reads));

        for (uint32_t i = 0; i < r->reads_count; i++)
            reads[i] = *read_at(r, i);
        free(r->reads);
        r->reads = reads;
        r->reads_max = max;
        r->reads_head = 0;
    }
    r->reads_count++;
    *read_at(r, r->reads_count - 1) = (struct raft_read){.context = context, .peer = peer};
}

int raft__read(struct raft *r, uint64_t context)
{
    if (r->role == RAFT_LEADER) {
        push_read(r, context, 0);
        return DKV_OK;
    }
    if (r->leader == 0) {
        RAFT_PUSH(&r->reads_failed, ((struct raft_read_failed){context, RAFT_WHY_NO_LEADER}));
        return DKV_OK;
    }
    if (r->remote_reads.count == r->config.reads_max) {
        RAFT_PUSH(&r->reads_failed, ((struct raft_read_failed){context, RAFT_WHY_LIMIT}));
        return DKV_OK;
    }
    RAFT_PUSH(&r->remote_reads, ((struct raft_remote_read){context, 0}));
    r->remote_due = true;
    return DKV_OK;
}

void raft__on_read_request(struct raft *r, const struct raft_message *m)
{
    if (r->role == RAFT_LEADER) {
        push_read(r, m->seq, m->from);
        return;
    }
    raft__send(
        r, (struct raft_message){
               .type = RAFT_MSG_READ_REPLY, .flags = RAFT_REJECT, .to = m->from, .seq = m->seq});
}

void raft__reads_start(struct raft *r)
{
    bool is_ready = raft__commit_is_current(r) || MUTANT(8);

    if (!is_ready || r->reads_assigned == r->reads_count)
        return;
    if (!MUTANT(7) || r->reads_assigned == 0)
        r->read_seq++;
    for (uint32_t i = r->reads_assigned; i < r->reads_count; i++) {
        struct raft_read *read = read_at(r, i);

        read->index = r->commit;
        read->seq = r->read_seq;
    }
    r->reads_assigned = r->reads_count;
}

void raft__reads_confirm(struct raft *r)
{
    uint64_t confirmed;

    if (r->reads_assigned == 0)
        return;
    if (r->self_slot < RAFT_MEMBERS_MAX)
        r->read_acked[r->self_slot] = r->read_seq;
    confirmed = raft__quorum_value(r->quorum, r->read_acked);
    if (MUTANT(31))
        confirmed = r->read_seq;
    while (r->reads_assigned > 0 && read_at(r, 0)->seq <= confirmed) {
        const struct raft_read *read = read_at(r, 0);

        if (read->peer == 0)
            RAFT_PUSH(&r->reads_ok, ((struct raft_read_ok){read->context, read->index}));
        else
            raft__send(r, (struct raft_message){.type = RAFT_MSG_READ_REPLY,
                                                .to = read->peer,
                                                .seq = read->context,
                                                .index = read->index});
        pop_read(r);
    }
}

/* A request may get lost: asked again with a new number, whose answer serves all older ones. */
void raft__reads_remote(struct raft *r)
{
    if (r->role == RAFT_LEADER || r->leader == 0 || r->remote_reads.count == 0)
        return;
    if (!r->remote_due && r->now_us < r->remote_retry_us)
        return;
    r->remote_due = false;
    r->remote_retry_us = r->now_us + r->config.heartbeat_us;
    r->remote_seq++;
    for (uint32_t i = r->remote_reads.count; i > 0 && r->remote_reads.at[i - 1].seq == 0; i--)
        r->remote_reads.at[i - 1].seq = r->remote_seq;
    raft__send(r, (struct raft_message){
                      .type = RAFT_MSG_READ_REQUEST, .to = r->leader, .seq = r->remote_seq});
}

/* Requests carry rising numbers, so an answer also serves the reads of all earlier requests. */
void raft__on_read_reply(struct raft *r, const struct raft_message *m)
{
    uint32_t done = 0;

    if (m->from != r->leader || r->role == RAFT_LEADER || m->seq <= r->remote_base ||
        m->seq > r->remote_seq)
        return;
    for (; done < r->remote_reads.count; done++) {
        const struct raft_remote_read *read = &r->remote_reads.at[done];

        if (read->seq == 0 || read->seq > m->seq)
            break;
        if ((m->flags & RAFT_REJECT) != 0)
            RAFT_PUSH(&r->reads_failed,
                      ((struct raft_read_failed){read->context, RAFT_WHY_REFUSED}));
        else
            RAFT_PUSH(&r->reads_ok, ((struct raft_read_ok){read->context, m->index}));
    }
    r->remote_reads.count -= done;
    for (uint32_t i = 0; i < r->remote_reads.count && done > 0; i++)
        r->remote_reads.at[i] = r->remote_reads.at[i + done];
}

void raft__reads_fail(struct raft *r, uint32_t why)
{
    while (r->reads_count > 0) {
        fail_read(r, read_at(r, 0), why);
        pop_read(r);
    }
}

void raft__reads_fail_remote(struct raft *r, uint32_t why)
{
    for (uint32_t i = 0; i < r->remote_reads.count; i++)
        RAFT_PUSH(&r->reads_failed,
                  ((struct raft_read_failed){r->remote_reads.at[i].context, why}));
    r->remote_reads.count = 0;
    r->remote_due = false;
}
