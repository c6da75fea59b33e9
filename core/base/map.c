#include "base/map.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/siphash.h"

#define SLOTS_MIN      16u
#define ARENA_MIN      256u
#define DEAD_BYTES_MIN 4096u

struct slot {
    uint64_t hash;
    size_t key_at; /* in the arena; the arena moves when it grows */
    void *value;
    uint32_t key_len;
    bool is_used;
};

struct map {
    uint64_t key[2];
    struct slot *slots;
    size_t slots_count; /* a power of two */
    size_t count;
    uint8_t *arena;
    size_t arena_len, arena_cap, arena_dead;
};

struct map *map_new(const uint64_t key[2])
{
    struct map *m = xcalloc(1, sizeof(*m));

    memcpy(m->key, key, sizeof(m->key));
    m->slots_count = SLOTS_MIN;
    m->slots = xcalloc(m->slots_count, sizeof(*m->slots));
    m->arena_cap = ARENA_MIN;
    m->arena = xmalloc(ARENA_MIN);
    return m;
}

void map_free(struct map *m)
{
    if (m == NULL)
        return;
    free(m->slots);
    free(m->arena);
    free(m);
}

size_t map_count(const struct map *m)
{
    return m->count;
}

void map_clear(struct map *m)
{
    if (m->count > 0)
        memset(m->slots, 0, m->slots_count * sizeof(*m->slots));
    m->count = 0;
    m->arena_len = m->arena_dead = 0;
}

static size_t next_slot(const struct map *m, size_t i)
{
    return (i + 1) & (m->slots_count - 1);
}

static bool slot_has(const struct map *m, const struct slot *s, uint64_t hash, struct dkv_slice key)
{
    return s->hash == hash && s->key_len == key.len &&
           (key.len == 0 || memcmp(m->arena + s->key_at, key.data, key.len) == 0);
}

/* The key's slot, or the free one where it would go. */
static struct slot *find(const struct map *m, uint64_t hash, struct dkv_slice key)
{
    size_t i = (size_t)hash & (m->slots_count - 1);

    while (m->slots[i].is_used && !slot_has(m, &m->slots[i], hash, key))
        i = next_slot(m, i);
    return &m->slots[i];
}

void **map_get(const struct map *m, struct dkv_slice key)
{
    struct slot *s;

    if (m->count == 0)
        return NULL;
    s = find(m, siphash13(key.data, key.len, m->key), key);
    return s->is_used ? &s->value : NULL;
}

static void grow(struct map *m)
{
    struct slot *old = m->slots;
    size_t old_count = m->slots_count;

    m->slots_count *= 2;
    m->slots = xcalloc(m->slots_count, sizeof(*m->slots));
    for (size_t i = 0; i < old_count; i++) {
        size_t to = (size_t)old[i].hash & (m->slots_count - 1);

        if (!old[i].is_used)
            continue;
        while (m->slots[to].is_used)
            to = next_slot(m, to);
        m->slots[to] = old[i];
    }
    free(old);
}

static void compact_arena(struct map *m)
{
    size_t live = m->arena_len - m->arena_dead;
    uint8_t *arena = xmalloc(m->arena_cap);
    size_t used = 0;

    for (size_t i = 0; i < m->slots_count; i++) {
        struct slot *s = &m->slots[i];

        if (!s->is_used || s->key_len == 0)
            continue;
        memcpy(arena + used, m->arena + s->key_at, s->key_len);
        s->key_at = used;
        used += s->key_len;
    }
    dkv_assert(used == live);
    free(m->arena);
    m->arena = arena;
    m->arena_len = used;
    m->arena_dead = 0;
}

static size_t arena_add(struct map *m, struct dkv_slice key)
{
    size_t at, need;

    if (m->arena_dead > DEAD_BYTES_MIN && m->arena_dead > m->arena_len / 2)
        compact_arena(m);
    at = m->arena_len;
    dkv_assert(!__builtin_add_overflow(at, key.len, &need));
    if (need > m->arena_cap) {
        size_t cap = m->arena_cap;

        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        m->arena = xrealloc(m->arena, cap);
        m->arena_cap = cap;
    }
    if (key.len > 0)
        memcpy(m->arena + at, key.data, key.len);
    m->arena_len = need;
    return at;
}

void **map_put(struct map *m, struct dkv_slice key)
{
    uint64_t hash = siphash13(key.data, key.len, m->key);
    struct slot *s = find(m, hash, key);

    dkv_assert(key.len <= UINT32_MAX);
    if (s->is_used)
        return &s->value;
    if (m->count >= m->slots_count / 4 * 3) {
        grow(m);
        s = find(m, hash, key);
    }
    /* The arena first: it may be compacted, and this slot has nothing in it yet. */
    *s = (struct slot){.key_at = arena_add(m, key), .hash = hash, .is_used = true};
    s->key_len = (uint32_t)key.len;
    m->count++;
    return &s->value;
}

/* Moves later entries of the run back, so that no tombstones pile up. */
static void close_gap(struct map *m, size_t gap)
{
    for (size_t i = next_slot(m, gap); m->slots[i].is_used; i = next_slot(m, i)) {
        size_t home = (size_t)m->slots[i].hash & (m->slots_count - 1);
        size_t mask = m->slots_count - 1;

        if (((i - home) & mask) >= ((i - gap) & mask)) {
            m->slots[gap] = m->slots[i];
            gap = i;
        }
    }
    m->slots[gap] = (struct slot){0};
}

bool map_remove(struct map *m, struct dkv_slice key, void **value_out)
{
    struct slot *s = find(m, siphash13(key.data, key.len, m->key), key);

    if (!s->is_used)
        return false;
    if (value_out != NULL)
        *value_out = s->value;
    m->arena_dead += s->key_len;
    m->count--;
    close_gap(m, (size_t)(s - m->slots));
    return true;
}

bool map_next(const struct map *m, size_t *at, struct dkv_slice *key_out, void ***value_out)
{
    while (*at < m->slots_count) {
        struct slot *s = &m->slots[(*at)++];

        if (!s->is_used)
            continue;
        if (key_out != NULL)
            *key_out = (struct dkv_slice){m->arena + s->key_at, s->key_len};
        if (value_out != NULL)
            *value_out = &s->value;
        return true;
    }
    return false;
}
