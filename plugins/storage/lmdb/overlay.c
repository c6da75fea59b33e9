#include "overlay.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_SIZE    ((size_t)256 * 1024)
#define CHUNK_OWN     (CHUNK_SIZE / 4) /* an entry from this size on gets a chunk for itself */
#define SLOTS_FIRST   ((size_t)256)
#define ENTRY_ALIGN   (alignof(struct entry))
#define SLOT_LIMIT(n) ((n) / 2 + (n) / 8) /* linear probing stays short up to here */

/* Mapped, not malloc'ed: what a burst took goes back to the system when it is committed. */
struct chunk {
    struct chunk *next;
    size_t size;
    size_t used;
    unsigned char bytes[];
};

#define ROTL(x, b) (((x) << (b)) | ((x) >> (64 - (b))))
#define SIPROUND                                                                                   \
    do {                                                                                           \
        v0 += v1;                                                                                  \
        v2 += v3;                                                                                  \
        v1 = ROTL(v1, 13) ^ v0;                                                                    \
        v3 = ROTL(v3, 16) ^ v2;                                                                    \
        v0 = ROTL(v0, 32) + v3;                                                                    \
        v2 += v1;                                                                                  \
        v3 = ROTL(v3, 21) ^ v0;                                                                    \
        v1 = ROTL(v1, 17) ^ v2;                                                                    \
        v2 = ROTL(v2, 32);                                                                         \
    } while (0)

uint64_t key_hash(struct dkv_slice key, const uint64_t hash_key[2])
{
    uint64_t v0 = hash_key[0] ^ 0x736f6d6570736575u, v1 = hash_key[1] ^ 0x646f72616e646f6du;
    uint64_t v2 = hash_key[0] ^ 0x6c7967656e657261u, v3 = hash_key[1] ^ 0x7465646279746573u;
    const unsigned char *at = key.data;
    size_t left = key.len;
    uint64_t word;

    for (; left >= 8; at += 8, left -= 8) {
        memcpy(&word, at, 8);
        v3 ^= word;
        SIPROUND;
        v0 ^= word;
    }
    word = (uint64_t)key.len << 56;
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)at[i] << (8 * i);
    v3 ^= word;
    SIPROUND;
    v0 ^= word;
    v2 ^= 0xff;
    SIPROUND;
    SIPROUND;
    SIPROUND;
    return v0 ^ v1 ^ v2 ^ v3;
}

struct generation *generation_new(uint64_t index)
{
    struct generation *generation = calloc(1, sizeof(*generation));

    if (generation == NULL)
        return NULL;
    atomic_init(&generation->refs, 1);
    generation->index = index;
    return generation;
}

struct generation *generation_ref(struct generation *generation)
{
    (void)atomic_fetch_add_explicit(&generation->refs, 1, memory_order_relaxed);
    return generation;
}

void generation_unref(struct generation *generation)
{
    struct chunk *next;

    if (generation == NULL ||
        atomic_fetch_sub_explicit(&generation->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (struct chunk *chunk = generation->chunks; chunk != NULL; chunk = next) {
        next = chunk->next;
        (void)munmap(chunk, chunk->size);
    }
    free(generation->slots);
    free(generation->grown);
    free(generation);
}

static size_t entry_size(const struct dkv_mutation *mutation)
{
    size_t value_len = mutation->kind == DKV_PUT ? mutation->value.len : 0;

    return (sizeof(struct entry) + mutation->key.len + value_len + ENTRY_ALIGN - 1) &
           ~(ENTRY_ALIGN - 1);
}

size_t generation_cost(const struct dkv_mutation *mutations, size_t count)
{
    size_t cost = 0;

    for (size_t i = 0; i < count; i++)
        cost += entry_size(&mutations[i]) + 2 * sizeof(struct slot);
    return cost;
}

static struct chunk *chunk_add(struct generation *generation, size_t need)
{
    bool own = need >= CHUNK_OWN;
    size_t size = own ? (sizeof(struct chunk) + need + 4095) & ~(size_t)4095 : CHUNK_SIZE;
    struct chunk *chunk;

    chunk =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (chunk == MAP_FAILED)
        return NULL;
    chunk->size = size;
    /* The first of the list is the one that is being filled: a chunk of its own goes behind it. */
    if (own && generation->chunks != NULL) {
        chunk->next = generation->chunks->next;
        generation->chunks->next = chunk;
    } else {
        chunk->next = generation->chunks;
        generation->chunks = chunk;
    }
    return chunk;
}

static void *arena_take(struct generation *generation, size_t need)
{
    struct chunk *chunk = generation->chunks;
    void *bytes;

    if (chunk == NULL || need > chunk->size - sizeof(*chunk) - chunk->used) {
        chunk = chunk_add(generation, need);
        if (chunk == NULL)
            return NULL;
    }
    bytes = chunk->bytes + chunk->used;
    chunk->used += need;
    return bytes;
}

static struct slot *slot_find(struct slot *slots, size_t capacity, uint64_t hash,
                              struct dkv_slice key)
{
    size_t at = (size_t)hash & (capacity - 1);

    for (; slots[at].entry != NULL; at = (at + 1) & (capacity - 1))
        if (slots[at].hash == hash && slots[at].entry->key_len == key.len &&
            memcmp(slots[at].entry->bytes, key.data, key.len) == 0)
            break;
    return &slots[at];
}

/* Readers walk the old table meanwhile, so the new one is filled beside it; generation_publish()
 * is called under the gate, and only there the pointer is turned. */
static int table_reserve(struct generation *generation, size_t more)
{
    size_t capacity = generation->capacity != 0 ? generation->capacity : SLOTS_FIRST;
    struct slot *slots;

    while (generation->used + more > SLOT_LIMIT(capacity))
        capacity *= 2;
    if (capacity == generation->capacity)
        return DKV_OK;
    slots = calloc(capacity, sizeof(*slots));
    if (slots == NULL)
        return DKV_ENOMEM;
    for (size_t i = 0; i < generation->capacity; i++) {
        const struct slot *old = &generation->slots[i];
        size_t at = (size_t)old->hash & (capacity - 1);

        if (old->entry == NULL)
            continue;
        while (slots[at].entry != NULL)
            at = (at + 1) & (capacity - 1);
        slots[at] = *old;
    }
    generation->grown = slots;
    generation->grown_capacity = capacity;
    return DKV_OK;
}

int generation_stage(struct generation *generation, const uint64_t hash_key[2],
                     uint64_t first_sequence, const struct dkv_mutation *mutations, size_t count)
{
    const struct entry *previous = generation->newest;

    for (size_t i = 0; i < count; i++) {
        const struct dkv_mutation *mutation = &mutations[i];
        struct entry *entry = arena_take(generation, entry_size(mutation));

        if (entry == NULL)
            return DKV_ENOMEM;
        entry->previous = previous;
        entry->hash = key_hash(mutation->key, hash_key);
        entry->sequence = first_sequence + i;
        entry->value_len = mutation->kind == DKV_PUT ? mutation->value.len : 0;
        entry->key_len = (uint32_t)mutation->key.len;
        entry->kind = mutation->kind;
        memcpy(entry->bytes, mutation->key.data, mutation->key.len);
        if (entry->value_len != 0)
            memcpy(entry->bytes + entry->key_len, mutation->value.data, entry->value_len);
        previous = entry;
    }
    if (count != 0 && table_reserve(generation, count) != DKV_OK)
        return DKV_ENOMEM;
    generation->staged = previous;
    generation->staged_count = count;
    generation->staged_bytes = generation_cost(mutations, count);
    return DKV_OK;
}

/* The staged entries hang together backwards; the first one that reaches a key here is therefore
 * its newest, and an older one of the same batch must not undo it. */
static void slot_turn(struct generation *generation, const struct entry *entry)
{
    struct slot *slot =
        slot_find(generation->slots, generation->capacity, entry->hash, entry_key(entry));

    if (slot->entry == NULL) {
        generation->used++;
    } else if (slot->entry->sequence > entry->sequence) {
        return;
    }
    slot->hash = entry->hash;
    slot->entry = entry;
}

void generation_publish(struct generation *generation, uint64_t index)
{
    if (generation->grown != NULL) {
        free(generation->slots);
        generation->slots = generation->grown;
        generation->capacity = generation->grown_capacity;
        generation->grown = NULL;
    }
    for (const struct entry *entry = generation->staged; generation->staged_count != 0;
         entry = entry->previous, generation->staged_count--) {
        slot_turn(generation, entry);
        generation->count++;
    }
    generation->newest = generation->staged;
    generation->bytes += generation->staged_bytes;
    generation->index = index;
}

const struct entry *generation_find(const struct generation *generation, uint64_t hash,
                                    struct dkv_slice key)
{
    if (generation == NULL || generation->used == 0)
        return NULL;
    return slot_find(generation->slots, generation->capacity, hash, key)->entry;
}
