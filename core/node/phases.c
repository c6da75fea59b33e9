#include "node/phases.h"

#include <stdbool.h>

void phases_note(struct phases *p, enum phase phase, raft_index index, uint64_t now_us)
{
    uint32_t newest = p->of[phase].newest;
    struct phase_mark *mark = &p->of[phase].marks[newest];

    if (p->of[phase].count > 0 && index <= mark->index)
        return;
    if (p->of[phase].count == 0 || now_us >= mark->at_us + PHASE_APART_US) {
        newest = (newest + 1) % PHASE_MARKS;
        p->of[phase].newest = newest;
        p->of[phase].count += p->of[phase].count < PHASE_MARKS;
        mark = &p->of[phase].marks[newest];
        mark->at_us = now_us;
    }
    mark->index = index;
}

uint64_t phases_when(const struct phases *p, enum phase phase, raft_index index)
{
    uint64_t at_us = 0;
    uint32_t at = p->of[phase].newest;

    for (uint32_t i = 0; i < p->of[phase].count && p->of[phase].marks[at].index >= index; i++) {
        at_us = p->of[phase].marks[at].at_us;
        at = (at + PHASE_MARKS - 1) % PHASE_MARKS;
    }
    return at_us;
}

void phases_forget(struct phases *p)
{
    for (int i = 0; i < PHASE_COUNT; i++)
        p->of[i].count = 0;
}

static uint64_t since(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

void phases_explain(const struct phases *p, raft_index index, uint64_t accepted_us, uint64_t now_us,
                    struct phase_times *times_out)
{
    struct phase_times *t = times_out;
    uint64_t proposed = phases_when(p, PHASE_PROPOSED, index);
    uint64_t durable = phases_when(p, PHASE_DURABLE, index);
    uint64_t committed = phases_when(p, PHASE_COMMITTED, index);
    uint64_t agreed_us;

    proposed = proposed < accepted_us ? accepted_us : proposed;
    durable = durable == 0 ? now_us : durable;
    committed = committed == 0 ? now_us : committed;
    t->queue_us = since(accepted_us, proposed);
    t->disk_us = since(proposed, durable);
    t->commit_us = since(proposed, committed);
    t->storage_us = since(durable > committed ? durable : committed, now_us);
    agreed_us = t->disk_us > t->commit_us ? t->disk_us : t->commit_us;
    if (t->storage_us >= agreed_us && t->storage_us >= t->queue_us)
        t->waited_for = "storage";
    else if (t->queue_us >= agreed_us)
        t->waited_for = "queue";
    else
        t->waited_for = 2 * t->disk_us >= agreed_us ? "disk" : "peers";
}
