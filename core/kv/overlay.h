/* The keys that one batch touches: their state before the batch, then after each of its entries,
 * so that a later condition of the same batch sees what an earlier entry did.
 *
 * Home thread.  Memory is kept from batch to batch. */
#ifndef KV_OVERLAY_H
#define KV_OVERLAY_H

#include <stdbool.h>

#include "dkv/storage.h"
#include "kv/record.h"

struct overlay_item {
    struct dkv_get get;   /* fetches the state before the batch */
    void *owner;          /* the machine */
    struct dkv_slice key; /* the user's */
    uint64_t hash;
    bool exists, existed, changed;
    uint32_t changes;
    uint64_t create_revision, revision;
    struct kv_digest digest_before; /* if existed */
    struct dkv_slice stored;        /* header and value, if exists and changed */
    int fetch_status;
};

struct overlay {
    struct overlay_item *items;
    size_t count, cap;
    uint32_t *slots;    /* item number + 1; 0 = free */
    size_t slots_count; /* a power of two, at least twice cap */
    uint64_t hash_key[2];
};

void overlay_init(struct overlay *o, const uint64_t hash_key[2]);
void overlay_fini(struct overlay *o);
/* Empties it and makes room for keys_max keys, so that items do not move afterwards. */
void overlay_reset(struct overlay *o, size_t keys_max);
/* The item of the key; a new one has only get.key unset and key, hash filled in.  Borrows key. */
struct overlay_item *overlay_touch(struct overlay *o, struct dkv_slice key, bool *is_new_out);

#endif
