/* Refcounted immutable bytes: the one thing besides the published status that threads share.
 *
 * A log entry's payload is encoded once into a blob and then shared by the write-ahead log, every
 * peer connection and the state machine; a frame from a peer is one blob that all its entries
 * point into.  Whoever makes a blob fills it before anybody else sees it. */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

struct blob {
    _Atomic uint32_t refs;
    uint32_t len;
    uint8_t bytes[];
};

/* Gives one reference; NULL when memory is out, for the size is a client's or a peer's choice. */
static inline struct blob *blob_try(uint32_t len)
{
    struct blob *b = mem_try(sizeof(*b) + len);

    if (b == NULL)
        return NULL;
    atomic_init(&b->refs, 1);
    b->len = len;
    return b;
}

static inline struct blob *blob_ref(struct blob *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

static inline void blob_unref(struct blob *b) /* NULL is fine */
{
    if (b != NULL && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

#endif
