/* The network: packets are copied, lost, doubled and delayed one by one, so they also overtake each
 * other.  Snapshots travel as a few chunks of which any may be lost. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dkv/types.h"
#include "tests/sim/world.h"

#define CHUNKS             3
#define SENDING_TIMEOUT_US 300000

static uint64_t delay(struct world *w)
{
    return w->config.delay_min_us +
           rng_below(&w->rng, w->config.delay_max_us - w->config.delay_min_us + 1);
}

static bool chance(struct world *w, uint32_t ppm)
{
    return ppm != 0 && rng_below(&w->rng, 1000000) < ppm;
}

static struct raft_entry *copy_entries(const struct raft *r, const struct raft_message *m)
{
    struct raft_entry *entries = xcalloc(m->count, sizeof(*entries));

    for (uint32_t i = 0; i < m->count; i++) {
        entries[i] = *raft_message_entry(r, m, i);
        if (entries[i].owner != NULL)
            blob_ref(entries[i].owner);
    }
    return entries;
}

static void send_packet(struct world *w, uint32_t n, const struct raft_message *m)
{
    struct event e = {.at_us = w->now_us + delay(w), .type = EV_PACKET, .message = *m};

    if (m->to == 0 || m->to > w->config.nodes || m->from != ID(n))
        world__fail(w, "a message to nowhere", n);
    e.node = (uint32_t)m->to - 1;
    if (w->cut[n][e.node] || chance(w, w->loss_ppm))
        return;
    if (w->slow_us[n][e.node] > 0)
        e.at_us += rng_below(&w->rng, w->slow_us[n][e.node]);
    e.entries = copy_entries(w->nodes[n].raft, m);
    world__schedule(w, e);
}

void world__send_packets(struct world *w, uint32_t n, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->messages_count; i++) {
        check__message(w, n, &out->messages[i]);
        send_packet(w, n, &out->messages[i]);
        if (chance(w, w->duplicate_ppm))
            send_packet(w, n, &out->messages[i]);
    }
}

static void schedule_chunk(struct world *w, uint32_t n, uint32_t to, uint32_t i,
                           const struct snapshot *s, raft_term term)
{
    struct event e = {.at_us = w->now_us + (i + 1) * w->config.delay_max_us + delay(w),
                      .type = i + 1 < CHUNKS ? EV_CHUNK : EV_SNAPSHOT,
                      .node = to,
                      .a = ID(n),
                      .b = term,
                      .c = w->nodes[n].sending[to].number};

    if (i + 1 == CHUNKS) {
        e.snapshot = xmalloc(sizeof(*s));
        *e.snapshot = *s;
    }
    world__schedule(w, e);
}

static void send_snapshot(struct world *w, uint32_t n, raft_id peer, raft_term term)
{
    struct node *node = &w->nodes[n];
    uint32_t to = (uint32_t)peer - 1;
    struct raft_event event = {.type = RAFT_SNAPSHOT_STARTED};
    bool is_lost = false;

    node->sending[to] = (struct sending){true, ++w->sending_last, node->snapshot.index};
    event.sent.peer = peer;
    event.sent.index = node->snapshot.index;
    world__step(w, n, &event);
    for (uint32_t i = 0; i < CHUNKS && !is_lost; i++) {
        is_lost = w->cut[n][to] || chance(w, w->loss_ppm);
        if (!is_lost)
            schedule_chunk(w, n, to, i, &node->snapshot, term);
    }
    world__schedule(w, (struct event){.at_us = w->now_us + SENDING_TIMEOUT_US,
                                      .type = EV_SENT,
                                      .node = n,
                                      .epoch = node->epoch,
                                      .a = peer,
                                      .b = node->sending[to].number});
}

void world__send_snapshots(struct world *w, uint32_t n, const struct raft_output *out)
{
    raft_id want[NODES_MAX];
    uint32_t count = out->want_snapshot_count;
    raft_term term = out->term;

    for (uint32_t i = 0; i < out->snapshot_abort_count; i++)
        w->nodes[n].sending[out->snapshot_abort[i] - 1].is_active = false;
    for (uint32_t i = 0; i < count; i++)
        want[i] = out->want_snapshot[i];
    if (count > 0 && w->nodes[n].role == RAFT_LEADER) {
        struct event e = {.at_us = w->now_us, .type = EV_SENT, .node = n, .epoch = 0};

        for (uint32_t i = 0; i < count; i++) {
            e.a = want[i];
            e.b = 0; /* begin */
            e.c = term;
            e.epoch = w->nodes[n].epoch;
            world__schedule(w, e);
        }
    }
}

static void received(struct world *w, struct event *e)
{
    struct node *node = &w->nodes[e->node];
    struct raft_event event = {.type = RAFT_SNAPSHOT_RECEIVED};
    int rc;

    event.snapshot.from = e->a;
    event.snapshot.term = e->b;
    event.snapshot.snapshot_index = e->snapshot->index;
    event.snapshot.snapshot_term = e->snapshot->term;
    event.snapshot.members = &e->snapshot->members;
    rc = world__step(w, e->node, &event);
    if (rc == DKV_OK) {
        if (node->incoming != NULL)
            world__fail(w, "R-S10: two installs at once", e->node);
        node->incoming = e->snapshot;
        e->snapshot = NULL;
        node->commit_seen = node->incoming->index;
        node->applying_last = node->incoming->index; /* what is being applied becomes void */
    }
    if (rc == DKV_OK || rc == RAFT_ESTALE)
        world__schedule(w, (struct event){.at_us = w->now_us + delay(w),
                                          .type = EV_SENT,
                                          .node = (uint32_t)e->a - 1,
                                          .a = ID(e->node),
                                          .b = e->c,
                                          .c = 1});
}

static void sent(struct world *w, struct event *e)
{
    struct sending *s = &w->nodes[e->node].sending[e->a - 1];
    struct raft_event event = {.type = RAFT_SNAPSHOT_SENT};

    if (e->b == 0) {
        if (w->nodes[e->node].role == RAFT_LEADER)
            send_snapshot(w, e->node, e->a, (raft_term)e->c);
        return;
    }
    if (!s->is_active || s->number != e->b)
        return;
    s->is_active = false;
    event.sent.peer = e->a;
    event.sent.index = s->index;
    event.sent.ok = e->c != 0;
    world__step(w, e->node, &event);
}

void world__on_snapshot_event(struct world *w, struct event *e)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_CHUNK};

    switch (e->type) {
    case EV_CHUNK:
        event.snapshot.from = e->a;
        event.snapshot.term = e->b;
        world__step(w, e->node, &event);
        break;
    case EV_SNAPSHOT:
        received(w, e);
        break;
    default:
        sent(w, e);
        break;
    }
}
