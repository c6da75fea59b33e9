/* One generation of the overlay: what was applied and is not yet in LMDB, tombstones included.
 *
 * A generation is filled by the home thread while it is the current one and never changes again
 * once the committer has taken it.  Entries are immutable from the moment they are published and
 * live in an arena that is freed as a whole, so a pointer to an entry is good for as long as its
 * generation is referenced: overwriting a key adds an entry and turns the table's slot to it.
 *
 * Two ways in.  The hash table answers generation_find(); it may be read only under the gate of
 * gate.h, or when the generation is sealed.  The list that starts at `newest` runs backwards
 * through everything ever published and needs no lock at all: who has noted `newest` under the gate
 * and holds a reference sees exactly the state of that moment, whatever is applied later. */
#ifndef LMDB_OVERLAY_H
#define LMDB_OVERLAY_H

#include <endian.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "dkv/storage.h"

struct entry {
    const struct entry *previous; /* published before this one, in the same generation */
    uint64_t hash;
    uint64_t sequence; /* grows with every mutation of the store */
    size_t value_len;
    uint32_t key_len;
    uint32_t kind;         /* DKV_PUT or DKV_DELETE */
    unsigned char bytes[]; /* key, value */
};

struct slot {
    uint64_t hash;
    const struct entry *entry;
};

struct chunk;

struct generation {
    atomic_uint refs;
    uint64_t index;   /* the newest applied index in it */
    uint64_t born_ms; /* when the first mutation came; 0 = none yet */
    struct slot *slots;
    size_t capacity; /* a power of two, or 0 */
    size_t used;     /* distinct keys */
    size_t count;    /* published mutations */
    size_t bytes;    /* of memory, roughly */
    const struct entry *newest;
    const struct entry *staged; /* what generation_publish() will make visible */
    size_t staged_count;
    size_t staged_bytes;
    struct slot *grown; /* the table to be turned to then, if the old one is too small */
    size_t grown_capacity;
    struct chunk *chunks;
};

struct generation *generation_new(uint64_t index); /* NULL: out of memory; one reference */
struct generation *generation_ref(struct generation *generation);
void generation_unref(struct generation *generation); /* NULL is allowed */

/* Memory that staging these mutations will take, roughly. */
size_t generation_cost(const struct dkv_mutation *mutations, size_t count);

/* Copies the mutations where no reader finds them yet.  DKV_ENOMEM leaves the generation as it was.
 * Sequence numbers first_sequence, +1, ... are given in order. */
int generation_stage(struct generation *generation, const uint64_t hash_key[2],
                     uint64_t first_sequence, const struct dkv_mutation *mutations, size_t count);

/* Makes what was staged visible, as the state after index.  Cannot fail. */
void generation_publish(struct generation *generation, uint64_t index);

/* The newest entry of the key, or NULL. */
const struct entry *generation_find(const struct generation *generation, uint64_t hash,
                                    struct dkv_slice key);

uint64_t key_hash(struct dkv_slice key, const uint64_t hash_key[2]); /* SipHash-1-3 */

static inline struct dkv_slice entry_key(const struct entry *entry)
{
    return (struct dkv_slice){entry->bytes, entry->key_len};
}

static inline struct dkv_slice entry_value(const struct entry *entry)
{
    return (struct dkv_slice){entry->bytes + entry->key_len, entry->value_len};
}

/* The first bytes of a key as a number that sorts like them: saves most calls of memcmp(). */
static inline uint64_t key_head(struct dkv_slice key)
{
    uint64_t head = 0;

    memcpy(&head, key.data, key.len < sizeof(head) ? key.len : sizeof(head));
    return be64toh(head);
}

static inline int key_compare(struct dkv_slice left, struct dkv_slice right)
{
    size_t shorter = left.len < right.len ? left.len : right.len;
    int order = shorter != 0 ? memcmp(left.data, right.data, shorter) : 0;

    return order != 0 ? order : (left.len > right.len) - (left.len < right.len);
}

#endif
