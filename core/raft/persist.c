/* Tickets: what has been handed to the log and how far it is durable (D4-D6).
 *
 * A ticket's claim is the log's end at that time.  Truncation lowers the claims of all pending
 * tickets, so that the late arrival of a replaced entry on disk says nothing about its successor. */
#include <stdlib.h>

#include "base/mem.h"
#include "raft/core.h"

static struct raft_ticket *ticket_at(const struct raft *r, uint32_t i)
{
    return &r->tickets[(r->tickets_head + i) % r->tickets_max];
}

static void push_ticket(struct raft *r, struct raft_ticket t)
{
    if (r->tickets_count == r->tickets_max) {
        uint32_t max = r->tickets_max == 0 ? 16 : r->tickets_max * 2;
        struct raft_ticket *tickets = xcalloc(max, sizeof(*tickets));

        for (uint32_t i = 0; i < r->tickets_count; i++)
            tickets[i] = *ticket_at(r, i);
        free(r->tickets);
        r->tickets = tickets;
        r->tickets_max = max;
        r->tickets_head = 0;
    }
    r->tickets_count++;
    *ticket_at(r, r->tickets_count - 1) = t;
}

/* Reports the end of entries, one range per term. */
void raft__drop_range(struct raft *r, raft_index first, raft_index last, uint32_t why)
{
    while (first <= last) {
        raft_term term = raft__tail_term(&r->tail, first);
        raft_index end = raft__tail_find(&r->tail, last, term);

        RAFT_PUSH(&r->dropped, ((struct raft_dropped){first, end, term, why}));
        first = end + 1;
    }
}

void raft__truncate(struct raft *r, raft_index from)
{
    dkv_assert(from > r->commit);       /* R-R4, I-7 */
    dkv_assert(r->role != RAFT_LEADER); /* I-2 */
    dkv_assert(from <= r->tail.last && from > r->tail.base);
    raft__drop_range(r, from, r->tail.last, RAFT_WHY_TRUNCATED);
    raft__tail_truncate(&r->tail, from);
    raft__conf_truncate(r, from);
    if (from < r->persist_next) {
        if (r->truncate_from == 0 || from < r->truncate_from)
            r->truncate_from = from;
        r->persist_next = from;
    }
    if (r->durable >= from)
        r->durable = from - 1;
    for (uint32_t i = 0; i < r->tickets_count && !MUTANT(13); i++) {
        struct raft_ticket *t = ticket_at(r, i);

        if (t->claim >= from)
            t->claim = from - 1;
    }
}

void raft__issue_ticket(struct raft *r, struct raft_output *out)
{
    out->hard_changed = r->hard.term != r->hard_handed.term || r->hard.vote != r->hard_handed.vote;
    if (!r->installing) {
        out->truncate_from = r->truncate_from;
        if (r->persist_next <= r->tail.last) {
            out->append_first = r->persist_next;
            out->append_count = (uint32_t)(r->tail.last + 1 - r->persist_next);
        }
        r->truncate_from = 0;
        r->persist_next = r->tail.last + 1;
    }
    if (!out->hard_changed && out->truncate_from == 0 && out->append_count == 0)
        return;
    r->hard_handed = r->hard;
    out->ticket = ++r->ticket_last;
    push_ticket(r, (struct raft_ticket){
                       .number = out->ticket,
                       .claim = r->installing ? 0 : r->tail.last,
                       .hard = r->hard,
                       .issued_us = r->now_us,
                   });
}

void raft__on_persisted(struct raft *r, uint64_t ticket)
{
    while (r->tickets_count > 0 && ticket_at(r, 0)->number <= ticket) {
        const struct raft_ticket *t = ticket_at(r, 0);

        if (t->claim > r->durable)
            r->durable = t->claim < r->tail.last || !MUTANT(13) ? t->claim : r->tail.last;
        r->hard_durable = t->hard;
        r->tickets_head = (r->tickets_head + 1) % r->tickets_max;
        r->tickets_count--;
    }
    raft__election_persisted(r);
}

uint64_t raft__disk_deadline(const struct raft *r)
{
    if (r->tickets_count == 0)
        return RAFT_NEVER;
    return ticket_at(r, 0)->issued_us + r->config.disk_stall_us;
}

bool raft__disk_is_stalled(const struct raft *r)
{
    return raft__disk_deadline(r) <= r->now_us;
}
