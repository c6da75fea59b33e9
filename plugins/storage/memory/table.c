#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
    CHAIN_BITS = 9,
    CHAINS = 1 << CHAIN_BITS,
    SEGMENT_MAX = CHAINS + CHAINS / 2, /* entries, before it is split */
    DEPTH_MAX = 40
};

struct segment {
    unsigned depth; /* bits of the hash that its entries have in common */
    unsigned count;
    struct entry *chains[CHAINS];
};

static inline uint64_t rotl(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-1-3: clients choose the keys, and must not be able to choose their chains. */
static uint64_t hash_of(const struct table *t, struct dkv_slice key)
{
    uint64_t v[4] = {t->hash_key[0] ^ 0x736f6d6570736575u, t->hash_key[1] ^ 0x646f72616e646f6du,
                     t->hash_key[0] ^ 0x6c7967656e657261u, t->hash_key[1] ^ 0x7465646279746573u};
    const unsigned char *p = key.data;
    size_t left = key.len;
    uint64_t word;

    for (; left >= 8; left -= 8, p += 8) {
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    word = (uint64_t)key.len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)p[i] << (8 * i);
    v[3] ^= word;
    sip_round(v);
    v[0] ^= word;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static inline uint64_t top_bits(uint64_t hash, unsigned bits)
{
    return bits == 0 ? 0 : hash >> (64 - bits);
}

static inline struct segment *segment_of(const struct table *t, uint64_t hash)
{
    return t->directory[top_bits(hash, t->depth)];
}

static inline size_t chain_of(const struct segment *s, uint64_t hash)
{
    return (size_t)(hash << s->depth >> (64 - CHAIN_BITS));
}

struct table *table_new(void)
{
    struct table *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->refs = 1;
    t->directory = malloc(sizeof(struct segment *));
    if (t->directory != NULL)
        t->directory[0] = calloc(1, sizeof(struct segment));
    if (t->directory == NULL || t->directory[0] == NULL ||
        getrandom(t->hash_key, sizeof(t->hash_key), 0) != sizeof(t->hash_key)) {
        if (t->directory != NULL)
            free(t->directory[0]);
        free(t->directory);
        free(t);
        return NULL;
    }
    return t;
}

void table_entries_free(struct entry *list)
{
    while (list != NULL) {
        struct entry *next = list->next;

        free(list);
        list = next;
    }
}

static void entry_free_all(struct entry *entry)
{
    while (entry != NULL) {
        struct entry *older = entry->older;

        free(entry);
        entry = older;
    }
}

static void segment_free(struct segment *s)
{
    for (size_t i = 0; i < CHAINS; i++) {
        for (struct entry *e = s->chains[i], *next; e != NULL; e = next) {
            next = e->next;
            entry_free_all(e);
        }
    }
    free(s);
}

void table_free(struct table *t)
{
    size_t size = (size_t)1 << t->depth;

    for (size_t i = 0; i < size;) {
        size_t shared = (size_t)1 << (t->depth - t->directory[i]->depth);

        segment_free(t->directory[i]);
        i += shared;
    }
    free(t->directory);
    free(t->history);
    free(t);
}

struct entry *table_entry_new(struct dkv_slice key, struct dkv_slice value, uint64_t index)
{
    struct entry *entry = malloc(sizeof(*entry) + key.len + value.len);

    if (entry == NULL)
        return NULL;
    *entry = (struct entry){
        .index = index, .key_len = (uint16_t)key.len, .value_len = (uint32_t)value.len};
    if (key.len > 0)
        memcpy(entry->bytes, key.data, key.len);
    if (value.len > 0)
        memcpy(entry->bytes + key.len, value.data, value.len);
    return entry;
}

static size_t entry_size(const struct entry *entry)
{
    return sizeof(*entry) + entry->key_len + entry->value_len;
}

static inline bool has_key(const struct entry *entry, struct dkv_slice key)
{
    return entry->key_len == key.len &&
           (key.len == 0 || memcmp(entry->bytes, key.data, key.len) == 0);
}

const struct entry *table_find(const struct table *t, struct dkv_slice key)
{
    uint64_t hash = hash_of(t, key);
    const struct segment *s = segment_of(t, hash);

    for (const struct entry *e = s->chains[chain_of(s, hash)]; e != NULL; e = e->next) {
        if (has_key(e, key))
            return e->is_tombstone ? NULL : e;
    }
    return NULL;
}

bool table_reserve(struct table *t, size_t count)
{
    size_t cap = t->history_cap == 0 ? 256 : t->history_cap;
    uint64_t *grown;

    while (cap < t->history_count + count)
        cap *= 2;
    if (cap == t->history_cap)
        return true;
    grown = reallocarray(t->history, cap, sizeof(*grown));
    if (grown == NULL)
        return false;
    t->history = grown;
    t->history_cap = cap;
    return true;
}

static bool double_directory(struct table *t)
{
    size_t size = (size_t)1 << t->depth;
    struct segment **grown;

    if (t->depth >= DEPTH_MAX)
        return false;
    grown = reallocarray(t->directory, size * 2, sizeof(struct segment *));
    if (grown == NULL)
        return false;
    for (size_t i = size; i-- > 0;)
        grown[2 * i] = grown[2 * i + 1] = grown[i];
    t->directory = grown;
    t->depth++;
    return true;
}

/* Without memory for it the chains just get longer. */
static void split(struct table *t, uint64_t hash)
{
    struct segment *old = segment_of(t, hash), *low, *high;
    size_t first, shared;

    if (old->depth == t->depth && !double_directory(t))
        return;
    low = calloc(1, sizeof(*low));
    high = calloc(1, sizeof(*high));
    if (low == NULL || high == NULL) {
        free(low);
        free(high);
        return;
    }
    low->depth = high->depth = old->depth + 1;
    for (size_t i = 0; i < CHAINS; i++) {
        for (struct entry *e = old->chains[i], *next; e != NULL; e = next) {
            uint64_t h = hash_of(t, entry_key(e));
            struct segment *to = i < CHAINS / 2 ? low : high;
            struct entry **chain = &to->chains[chain_of(to, h)];

            next = e->next;
            e->next = *chain;
            *chain = e;
            to->count++;
        }
    }
    shared = (size_t)1 << (t->depth - old->depth);
    first = (size_t)top_bits(hash, old->depth) * shared;
    for (size_t i = 0; i < shared; i++)
        t->directory[first + i] = i < shared / 2 ? low : high;
    free(old);
}

static void discard(struct table *t, struct entry *entry, struct entry **garbage)
{
    t->entries--;
    t->bytes -= entry_size(entry);
    entry->next = *garbage;
    *garbage = entry;
}

static void unlink_entry(struct segment *s, struct entry **at)
{
    *at = (*at)->next;
    s->count--;
}

/* Puts what `entry` replaces behind it, or away if no view can see it. */
static void keep_history(struct table *t, struct entry *entry, struct entry *old, uint64_t hash,
                         struct entry **garbage)
{
    if (t->views > 0 && t->newest_view >= old->index) {
        entry->older = old;
    } else {
        entry->older = old->older;
        discard(t, old, garbage);
    }
    if (entry->older != NULL)
        t->history[t->history_count++] = hash;
}

void table_set(struct table *t, struct entry *entry, struct entry **garbage)
{
    struct dkv_slice key = entry_key(entry);
    uint64_t hash = hash_of(t, key);
    struct segment *s = segment_of(t, hash);
    struct entry **at = &s->chains[chain_of(s, hash)];

    t->entries++;
    t->bytes += entry_size(entry);
    while (*at != NULL && !has_key(*at, key))
        at = &(*at)->next;
    if (*at != NULL) {
        struct entry *old = *at;

        unlink_entry(s, at);
        keep_history(t, entry, old, hash, garbage);
    }
    if (entry->is_tombstone && entry->older == NULL) {
        discard(t, entry, garbage);
        return;
    }
    at = &s->chains[chain_of(s, hash)];
    entry->next = *at;
    *at = entry;
    if (++s->count > SEGMENT_MAX)
        split(t, hash);
}

static void prune_chain(struct table *t, uint64_t hash, struct entry **garbage)
{
    struct segment *s = segment_of(t, hash);
    struct entry **at = &s->chains[chain_of(s, hash)];

    while (*at != NULL) {
        struct entry *e = *at;

        while (e->older != NULL) {
            struct entry *old = e->older;

            e->older = old->older;
            discard(t, old, garbage);
        }
        if (e->is_tombstone) {
            unlink_entry(s, at);
            discard(t, e, garbage);
        } else {
            at = &e->next;
        }
    }
}

bool table_prune(struct table *t, size_t count, struct entry **garbage)
{
    if (t->views > 0)
        return false;
    for (; t->history_count > 0 && count > 0; count--)
        prune_chain(t, t->history[--t->history_count], garbage);
    return t->history_count > 0;
}

static size_t visit_chain(const struct entry *e, uint64_t index,
                          void (*visit)(void *ctx, const struct entry *entry), void *ctx)
{
    size_t visited = 0;

    for (; e != NULL; e = e->next) {
        const struct entry *seen = e;

        while (seen != NULL && seen->index > index)
            seen = seen->older;
        if (seen != NULL && !seen->is_tombstone) {
            visit(ctx, seen);
            visited++;
        }
    }
    return visited;
}

bool table_walk(const struct table *t, uint64_t index, uint64_t *hash_io, size_t count,
                void (*visit)(void *ctx, const struct entry *entry), void *ctx)
{
    size_t visited = 0;

    while (visited < count) {
        const struct segment *s = segment_of(t, *hash_io);
        uint64_t range = (uint64_t)1 << (64 - CHAIN_BITS - s->depth);
        uint64_t start = *hash_io & ~(range - 1);

        visited += visit_chain(s->chains[chain_of(s, *hash_io)], index, visit, ctx);
        *hash_io = start + range;
        if (*hash_io == 0)
            return false;
    }
    return true;
}
