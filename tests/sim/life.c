/* Birth and death: of the world, and of its nodes, which start from what their disks kept. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "dkv/types.h"
#include "tests/sim/world.h"

void world_crash(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];

    if (!node->is_up)
        return;
    w->crashes++;
    node->is_up = false;
    raft_free(&node->raft);
    disk__crash(w, n);
    free(node->incoming);
    node->incoming = NULL;
    node->poll_pending = false;
    node->proposals_count = 0;
    node->reads_count = 0;
    node->role = RAFT_FOLLOWER;
    memset(node->sending, 0, sizeof(node->sending));
}

static uint32_t find_runs(const struct log *l, struct raft_run **runs_out)
{
    uint32_t count = 0;

    *runs_out = xcalloc(l->count + 1, sizeof(**runs_out));
    for (uint64_t i = 0; i < l->count; i++) {
        if (count == 0 || (*runs_out)[count - 1].term != l->at[i].term)
            (*runs_out)[count++] = (struct raft_run){l->prev + 1 + i, l->at[i].term};
    }
    return count;
}

void world_start(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];
    struct raft_config config = w->config.raft;
    struct raft_event event = {.type = RAFT_START};
    struct raft_run *runs;

    if (node->is_up)
        return;
    if (log__last(&node->wal) < node->snapshot.index) {
        log__reset(&node->wal, node->snapshot.index, node->snapshot.term);
        log__reset(&node->disk, node->snapshot.index, node->snapshot.term);
    }
    node->is_up = true;
    node->epoch++;
    node->applied = node->snapshot.index;
    node->applying_last = node->applied;
    node->state = node->snapshot.state;
    node->commit_seen = node->applied_seen = node->applied;
    if (node->disk_hard.term < log__term(&node->disk, log__last(&node->disk)))
        world__fail(w, "R-P1: a log ahead of its term", n);
    node->term_seen = node->disk_hard.term;
    config.self = ID(n);
    config.seed = rng_next(&w->rng);
    node->raft = raft_new(&config);
    event.start.hard = node->disk_hard;
    event.start.snapshot_index = node->snapshot.index;
    event.start.snapshot_term = node->snapshot.term;
    event.start.members = &node->snapshot.members;
    event.start.log_prev_index = node->wal.prev;
    event.start.log_prev_term = node->wal.prev_term;
    event.start.runs_count = find_runs(&node->wal, &runs);
    event.start.runs = runs;
    event.start.last_index = log__last(&node->wal);
    event.start.applied_index = node->applied;
    if (world__step(w, n, &event) != DKV_OK)
        world__fail(w, "the start was refused", n);
    free(runs);
    world__poll(w, n);
}

void world_heal(struct world *w)
{
    memset(w->cut, 0, sizeof(w->cut));
    w->loss_ppm = 0;
    w->duplicate_ppm = 0;
}

void world_isolate(struct world *w, uint32_t n)
{
    for (uint32_t i = 0; i < w->config.nodes; i++) {
        w->cut[i][n] = i != n;
        w->cut[n][i] = i != n;
    }
}

int world_leader(const struct world *w)
{
    int leader = -1;

    for (uint32_t i = 0; i < w->config.nodes; i++) {
        if (w->nodes[i].is_up && w->nodes[i].role == RAFT_LEADER &&
            (leader < 0 || w->nodes[i].term_seen > w->nodes[leader].term_seen))
            leader = (int)i;
    }
    return leader;
}

bool world_is_settled(const struct world *w)
{
    int leader = world_leader(w);

    if (leader < 0)
        return false;
    for (uint32_t i = 0; i < w->config.nodes; i++) {
        const struct node *node = &w->nodes[i];

        if (!node->is_up || node->applied != w->ledger_count || node->reads_count != 0 ||
            node->state != w->nodes[leader].state || node->term_seen != w->nodes[leader].term_seen)
            return false;
    }
    return true;
}

struct world *world_new(uint64_t seed, const struct world_config *config)
{
    struct world *w = xcalloc(1, sizeof(*w));

    w->seed = seed;
    w->config = *config;
    w->now_us = 1000;
    rng_init(&w->rng, seed);
    for (uint32_t i = 0; i < config->nodes; i++) {
        uint8_t flags = config->flags[i] == 0 ? RAFT_MEMBER_VOTER : config->flags[i];

        raft_members_set(&w->members, ID(i), flags, "node", 4);
        w->nodes[i].flags = flags;
    }
    for (uint32_t i = 0; i < config->nodes; i++) {
        w->nodes[i].snapshot.members = w->members;
        w->nodes[i].snapshot.state = 1;
    }
    for (uint32_t i = 0; i < config->nodes; i++)
        world_start(w, i);
    return w;
}

void world_free(struct world **world)
{
    struct world *w = *world;

    *world = NULL;
    for (uint32_t i = 0; i < w->config.nodes; i++) {
        struct node *node = &w->nodes[i];

        if (node->is_up)
            world_crash(w, i);
        log__reset(&node->wal, 0, 0);
        log__reset(&node->disk, 0, 0);
        free(node->wal.at);
        free(node->disk.at);
        free(node->ops);
        free(node->proposals);
        free(node->reads);
    }
    while (w->queue_count > 0) {
        struct event e = world__pop(w);

        world__free_event(&e);
    }
    free(w->queue);
    free(w->ledger);
    free(w->leaders);
    free(w->contents);
    free(w->votes);
    free(w);
}
