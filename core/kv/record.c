#include "kv/record.h"

#include <xxhash.h>

#include "base/codec.h"

enum { RECORD_VERSION = 1 };

void kv_record_put_header(void *to, const struct kv_record *record)
{
    uint8_t *at = to;

    put_u32(at, RECORD_VERSION); /* version, flags and the two zero bytes at once */
    put_u32(at + 4, record->changes);
    put_u64(at + 8, record->create_revision);
    put_u64(at + 16, record->revision);
}

int kv_record_decode(struct dkv_slice data, struct kv_record *record_out)
{
    const uint8_t *at = data.data;

    if (data.len < KV_RECORD_HEADER_BYTES || get_u32(at) != RECORD_VERSION)
        return DKV_ECORRUPT;
    record_out->changes = get_u32(at + 4);
    record_out->create_revision = get_u64(at + 8);
    record_out->revision = get_u64(at + 16);
    record_out->value.data = at + KV_RECORD_HEADER_BYTES;
    record_out->value.len = data.len - KV_RECORD_HEADER_BYTES;
    return DKV_OK;
}

/* The key's hash seeds the record's, so that moving a value to another key changes the sum. */
struct kv_digest kv_digest_of(struct dkv_slice user_key, struct dkv_slice stored)
{
    XXH64_hash_t seed = XXH3_64bits(user_key.data, user_key.len);
    XXH128_hash_t hash = XXH3_128bits_withSeed(stored.data, stored.len, seed);

    return (struct kv_digest){.low = hash.low64, .high = hash.high64};
}

void kv_digest_add(struct kv_digest *sum, struct kv_digest part)
{
    uint64_t low = sum->low + part.low;

    sum->high += part.high + (low < part.low);
    sum->low = low;
}

void kv_digest_subtract(struct kv_digest *sum, struct kv_digest part)
{
    uint64_t borrow = sum->low < part.low;

    sum->low -= part.low;
    sum->high -= part.high + borrow;
}
