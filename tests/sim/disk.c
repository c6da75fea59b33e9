/* Logs and disks.  A disk executes its operations in order; a crash keeps those that are done and,
 * by chance, some of the next ones in whole: they reached the platter without being acknowledged. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "tests/sim/world.h"

uint64_t log__last(const struct log *l)
{
    return l->prev + l->count;
}

const struct log_entry *log__at(const struct log *l, raft_index index)
{
    return index <= l->prev || index > log__last(l) ? NULL : &l->at[index - l->prev - 1];
}

raft_term log__term(const struct log *l, raft_index index)
{
    const struct log_entry *e = log__at(l, index);

    if (index == l->prev)
        return l->prev_term;
    return e == NULL ? 0 : e->term;
}

void log__append(struct log *l, const struct log_entry *e)
{
    if (l->count == l->max) {
        l->max = l->max == 0 ? 64 : l->max * 2;
        l->at = xreallocarray(l->at, l->max, sizeof(*l->at));
    }
    l->at[l->count++] = *e;
    if (e->blob != NULL)
        blob_ref(e->blob);
}

void log__truncate(struct log *l, raft_index from)
{
    while (log__last(l) >= from)
        blob_unref(l->at[--l->count].blob);
}

void log__compact(struct log *l, raft_index index)
{
    uint64_t gone = index > l->prev ? index - l->prev : 0;

    if (gone == 0 || index > log__last(l))
        return;
    l->prev_term = log__term(l, index);
    for (uint64_t i = 0; i < gone; i++)
        blob_unref(l->at[i].blob);
    memmove(l->at, l->at + gone, (l->count - gone) * sizeof(*l->at));
    l->count -= gone;
    l->prev = index;
}

void log__reset(struct log *l, raft_index index, raft_term term)
{
    if (l->count > 0)
        log__truncate(l, l->prev + 1);
    l->prev = index;
    l->prev_term = term;
}

static void free_op(struct disk_op *op)
{
    for (uint32_t i = 0; i < op->count; i++)
        blob_unref(op->entries[i].blob);
    free(op->entries);
    free(op->install);
}

static void execute(struct world *w, uint32_t n, struct disk_op *op)
{
    struct node *node = &w->nodes[n];

    if (op->install != NULL) {
        node->snapshot = *op->install;
        log__reset(&node->disk, op->install->index, op->install->term);
        return;
    }
    if (op->hard_changed) {
        node->disk_hard = op->hard;
        check__vote_durable(w, n);
    }
    if (op->truncate_from != 0)
        log__truncate(&node->disk, op->truncate_from);
    for (uint32_t i = 0; i < op->count; i++) {
        if (op->first + i != log__last(&node->disk) + 1)
            world__fail(w, "entries given to the log leave a gap or overlap", n);
        log__append(&node->disk, &op->entries[i]);
    }
}

void disk__submit(struct world *w, uint32_t n, struct disk_op op)
{
    struct node *node = &w->nodes[n];
    uint64_t start_us = w->now_us;
    uint64_t span = w->config.disk_max_us - w->config.disk_min_us + 1;

    if (node->ops_count > 0 && node->ops[node->ops_count - 1].done_us > start_us)
        start_us = node->ops[node->ops_count - 1].done_us;
    if (node->disk_busy_us > start_us)
        start_us = node->disk_busy_us;
    op.done_us = start_us + w->config.disk_min_us + rng_below(&w->rng, span);
    if (node->ops_count == node->ops_max) {
        node->ops_max = node->ops_max == 0 ? 16 : node->ops_max * 2;
        node->ops = xreallocarray(node->ops, node->ops_max, sizeof(*node->ops));
    }
    node->ops[node->ops_count++] = op;
    world__schedule(
        w, (struct event){.at_us = op.done_us, .type = EV_DISK, .node = n, .epoch = node->epoch});
}

static void pop(struct node *node)
{
    free_op(&node->ops[0]);
    node->ops_count--;
    memmove(node->ops, node->ops + 1, node->ops_count * sizeof(*node->ops));
}

static void installed(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];
    struct raft_event event = {.type = RAFT_SNAPSHOT_INSTALLED, .index = node->snapshot.index};

    node->applied = node->snapshot.index;
    node->applying_last = node->snapshot.index;
    node->state = node->snapshot.state;
    log__reset(&node->wal, node->snapshot.index, node->snapshot.term);
    w->installs++;
    if (world__step(w, n, &event) != 0)
        world__fail(w, "an install was not accepted", n);
}

/* Everything whose time has come; one PERSISTED for all of it. */
void disk__work(struct world *w, uint32_t n, bool crash)
{
    struct node *node = &w->nodes[n];
    uint64_t ticket = 0;

    while (node->ops_count > 0 && node->ops[0].done_us <= w->now_us) {
        bool is_install = node->ops[0].install != NULL;

        execute(w, n, &node->ops[0]);
        if (node->ops[0].ticket != 0)
            ticket = node->ops[0].ticket;
        pop(node);
        if (is_install && !crash)
            installed(w, n);
    }
    if (ticket != 0 && !crash) {
        struct raft_event event = {.type = RAFT_PERSISTED, .ticket = ticket};

        world__step(w, n, &event);
    }
}

void disk__crash(struct world *w, uint32_t n)
{
    struct node *node = &w->nodes[n];
    uint32_t lucky = node->ops_count > 0 ? (uint32_t)rng_below(&w->rng, node->ops_count + 1) : 0;

    for (uint32_t i = 0; i < lucky; i++) {
        execute(w, n, &node->ops[0]);
        pop(node);
    }
    while (node->ops_count > 0)
        pop(node);
    log__reset(&node->wal, node->disk.prev, node->disk.prev_term);
    for (uint64_t i = 0; i < node->disk.count; i++)
        log__append(&node->wal, &node->disk.at[i]);
}
