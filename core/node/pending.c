#include "node/pending.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

void pending_fini(struct pending *p)
{
    free(p->slots);
    *p = (struct pending){0};
}

static void grow(struct pending *p)
{
    size_t cap = p->cap == 0 ? 256 : p->cap * 2;
    struct pending_slot *slots = xcalloc(cap, sizeof(*slots));

    for (size_t i = 0; i < p->count; i++)
        slots[i] = p->slots[(p->head + i) & (p->cap - 1)];
    free(p->slots);
    p->slots = slots;
    p->cap = cap;
    p->head = 0;
}

struct pending_slot *pending_at(struct pending *p, size_t i)
{
    dkv_assert(i < p->count);
    return &p->slots[(p->head + i) & (p->cap - 1)];
}

void pending_push(struct pending *p, raft_index index, raft_term term, struct api_write *write)
{
    dkv_assert(p->count == 0 || pending_at(p, p->count - 1)->index < index);
    if (p->count == p->cap)
        grow(p);
    p->count++;
    *pending_at(p, p->count - 1) = (struct pending_slot){index, term, write};
}

struct pending_slot *pending_first(struct pending *p)
{
    return p->count == 0 ? NULL : pending_at(p, 0);
}

struct pending_slot *pending_last(struct pending *p)
{
    return p->count == 0 ? NULL : pending_at(p, p->count - 1);
}

void pending_pop_last(struct pending *p)
{
    dkv_assert(p->count > 0);
    p->count--;
}

void pending_pop(struct pending *p)
{
    dkv_assert(p->count > 0);
    p->head = (p->head + 1) & (p->cap - 1);
    p->count--;
}
