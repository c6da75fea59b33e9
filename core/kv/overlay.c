#include "kv/overlay.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/siphash.h"

void overlay_init(struct overlay *o, const uint64_t hash_key[2])
{
    *o = (struct overlay){.hash_key = {hash_key[0], hash_key[1]}};
}

void overlay_fini(struct overlay *o)
{
    free(o->items);
    free(o->slots);
    *o = (struct overlay){0};
}

void overlay_reset(struct overlay *o, size_t keys_max)
{
    if (keys_max > o->cap) {
        size_t slots_count = 16;

        while (slots_count < keys_max * 2)
            slots_count *= 2;
        o->items = xreallocarray(o->items, keys_max, sizeof(*o->items));
        o->slots = xreallocarray(o->slots, slots_count, sizeof(*o->slots));
        o->cap = keys_max;
        o->slots_count = slots_count;
    }
    if (o->slots_count > 0)
        memset(o->slots, 0, o->slots_count * sizeof(*o->slots));
    o->count = 0;
}

static bool is_key_of(const struct overlay_item *item, uint64_t hash, struct dkv_slice key)
{
    return item->hash == hash && item->key.len == key.len &&
           memcmp(item->key.data, key.data, key.len) == 0;
}

struct overlay_item *overlay_touch(struct overlay *o, struct dkv_slice key, bool *is_new_out)
{
    uint64_t hash = siphash13(key.data, key.len, o->hash_key);
    size_t mask = o->slots_count - 1;
    size_t at = (size_t)hash & mask;
    struct overlay_item *item;

    while (o->slots[at] != 0) {
        item = &o->items[o->slots[at] - 1];
        if (is_key_of(item, hash, key)) {
            *is_new_out = false;
            return item;
        }
        at = (at + 1) & mask;
    }
    dkv_assert(o->count < o->cap);
    item = &o->items[o->count++];
    *item = (struct overlay_item){.key = key, .hash = hash};
    o->slots[at] = (uint32_t)o->count;
    *is_new_out = true;
    return item;
}
