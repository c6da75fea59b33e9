#include "wal/format.h"

#include <string.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/codec.h"

static const char super_magic[8] = "DKVWAL\r\n";

void wal__super_encode(uint8_t *block, const struct wal__super *super)
{
    memset(block, 0, WAL__BLOCK);
    memcpy(block, super_magic, 8);
    put_u16(block + 8, WAL__MAJOR);
    put_u16(block + 10, WAL__MINOR);
    put_u32(block + 12, 0); /* incompatible features */
    memcpy(block + 16, super->identity.cluster_id, 16);
    put_u64(block + 32, super->identity.node_id);
    put_u64(block + 40, super->identity.incarnation);
    put_u64(block + 48, super->seq);
    put_u64(block + 56, super->first_index);
    put_u64(block + 64, super->salt);
    put_u64(block + 72, super->vote_gen);
    put_u64(block + 80, super->durable);
    put_u64(block + 88, super->file_bytes);
    put_u64(block + WAL__SUPER_BYTES - 8, XXH3_64bits(block, WAL__SUPER_BYTES - 8));
}

int wal__super_decode(const uint8_t *block, struct wal__super *super_out)
{
    if (memcmp(block, super_magic, 8) != 0)
        return DKV_ECORRUPT;
    if (get_u64(block + WAL__SUPER_BYTES - 8) != XXH3_64bits(block, WAL__SUPER_BYTES - 8))
        return DKV_ECORRUPT;
    if (get_u16(block + 8) != WAL__MAJOR || get_u32(block + 12) != 0)
        return DKV_ENOTSUP;
    memcpy(super_out->identity.cluster_id, block + 16, 16);
    super_out->identity.node_id = get_u64(block + 32);
    super_out->identity.incarnation = get_u64(block + 40);
    super_out->seq = get_u64(block + 48);
    super_out->first_index = get_u64(block + 56);
    super_out->salt = get_u64(block + 64);
    super_out->vote_gen = get_u64(block + 72);
    super_out->durable = get_u64(block + 80);
    super_out->file_bytes = get_u64(block + 88);
    return DKV_OK;
}

/* A block that was written to another place, or by an earlier life of the file, never verifies. */
static uint64_t seed_of(uint64_t salt, uint64_t offset)
{
    return salt ^ (offset * 0x9e3779b97f4a7c15u);
}

void wal__record_encode(uint8_t *to, const struct wal__record *record, uint64_t salt,
                        uint64_t offset)
{
    to[8] = record->type;
    to[9] = 0;
    put_u16(to + 10, record->batch_pos);
    put_u16(to + 12, record->batch_count);
    put_u16(to + 14, 0);
    put_u32(to + 16, record->batch_seq);
    put_u32(to + 20, record->data_len);
    put_u64(to + 24, record->index);
    put_u64(to + 32, record->term);
    put_u64(to + 40, record->durable_mark);
    put_u32(to + 48, record->data_offset);
    put_u32(to + 52, record->chain);
    put_u64(to + 56, record->data_sum);
    put_u64(to, XXH3_64bits_withSeed(to + 8, WAL__RECORD_HEADER - 8, seed_of(salt, offset)));
}

bool wal__record_decode(const uint8_t *from, uint64_t salt, uint64_t offset,
                        struct wal__record *record_out)
{
    if (get_u64(from) !=
        XXH3_64bits_withSeed(from + 8, WAL__RECORD_HEADER - 8, seed_of(salt, offset)))
        return false;
    record_out->type = from[8];
    record_out->batch_pos = get_u16(from + 10);
    record_out->batch_count = get_u16(from + 12);
    record_out->batch_seq = get_u32(from + 16);
    record_out->data_len = get_u32(from + 20);
    record_out->index = get_u64(from + 24);
    record_out->term = get_u64(from + 32);
    record_out->durable_mark = get_u64(from + 40);
    record_out->data_offset = get_u32(from + 48);
    record_out->chain = get_u32(from + 52);
    record_out->data_sum = get_u64(from + 56);
    return record_out->data_len <= WAL__PAYLOAD_MAX &&
           record_out->batch_pos < record_out->batch_count;
}

uint64_t wal__payload_sum(const void *data, uint32_t len, uint64_t index, uint64_t term,
                          uint64_t salt)
{
    return XXH3_64bits_withSeed(data, len, salt ^ (index * 0x9e3779b97f4a7c15u) ^ (term << 32));
}

uint32_t wal__chain(uint32_t before, const struct wal__record *record)
{
    uint8_t bytes[36];

    put_u32(bytes, before);
    put_u64(bytes + 4, record->index);
    put_u64(bytes + 12, record->term);
    put_u64(bytes + 20, record->data_sum);
    put_u32(bytes + 28, record->data_len);
    put_u32(bytes + 32, record->type);
    return (uint32_t)XXH3_64bits(bytes, sizeof(bytes));
}
