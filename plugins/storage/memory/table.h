/* The hash table of the memory storage, with the old versions that open views still need.
 *
 * Extendible hashing: the top bits of the hash choose a segment in the directory, the next bits a
 * chain in the segment.  A full segment is split alone, about a thousand entries at a time, so
 * growth never stops the writer for long.  A chain therefore always holds one contiguous range of
 * hashes, also after later splits, and a walk needs no other position than a hash.
 *
 * The table does not lock.  Who changes it, or the views of it, holds the store's lock for writing;
 * who reads holds it for reading.  Entries never change after they are linked, except for their
 * links, and an entry that a view needs is not freed before the view is closed. */
#ifndef MEMORY_TABLE_H
#define MEMORY_TABLE_H

#include <stdbool.h>

#include "dkv/types.h"

struct entry {
    struct entry *next;  /* of the chain; also links entries that wait to be used or freed */
    struct entry *older; /* what this one replaced, while a view needs it */
    uint64_t index;      /* Raft index it came with */
    uint32_t value_len;
    uint16_t key_len;
    bool is_tombstone;
    unsigned char bytes[]; /* key, value */
};

struct segment;

struct table {
    struct segment **directory; /* 2^depth */
    unsigned depth;
    unsigned refs; /* the store and each view */
    uint64_t hash_key[2];
    uint64_t applied;
    size_t entries, bytes; /* what is linked, old versions and tombstones too */
    unsigned views;
    uint64_t newest_view; /* index; means nothing without views */
    uint64_t *history;    /* hashes of keys that have old versions or a tombstone */
    size_t history_count, history_cap;
};

struct table *table_new(void); /* NULL: no memory */
void table_free(struct table *t);

struct entry *table_entry_new(struct dkv_slice key, struct dkv_slice value, uint64_t index);
void table_entries_free(struct entry *list);

/* NULL if absent or deleted. */
const struct entry *table_find(const struct table *t, struct dkv_slice key);
/* Room for the history of `count` changes; false: no memory. */
bool table_reserve(struct table *t, size_t count);
/* Takes the entry.  Replaced entries that nobody needs go to the front of *garbage. */
void table_set(struct table *t, struct entry *entry, struct entry **garbage);
/* Drops old versions of up to `count` keys if there is no view; true if some are left. */
bool table_prune(struct table *t, size_t count, struct entry **garbage);

/* Calls visit for what `index` sees, chain by chain from *hash_io on, until `count` or more were
 * visited.  False: the end was reached. */
bool table_walk(const struct table *t, uint64_t index, uint64_t *hash_io, size_t count,
                void (*visit)(void *ctx, const struct entry *entry), void *ctx);

static inline struct dkv_slice entry_key(const struct entry *entry)
{
    return (struct dkv_slice){entry->bytes, entry->key_len};
}

static inline struct dkv_slice entry_value(const struct entry *entry)
{
    return (struct dkv_slice){entry->bytes + entry->key_len, entry->value_len};
}

#endif
