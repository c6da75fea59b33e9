#include "net/relay.h"

#include <string.h>

void relay_write_encode(struct buf *to, uint64_t ticket, const void *command, uint32_t len)
{
    buf_add_u64(to, ticket);
    buf_add_u32(to, len);
    buf_add(to, command, len);
}

bool relay_write_next(struct decoder *d, struct relay_write *write_out)
{
    if (decoder_left(d) == 0)
        return false;
    write_out->ticket = decoder_u64(d);
    write_out->command_len = decoder_u32(d);
    write_out->command = decoder_bytes(d, write_out->command_len);
    return !d->failed;
}

void relay_result_encode(struct buf *to, const struct relay_result *result)
{
    buf_add_u64(to, result->ticket);
    buf_add_u32(to, (uint32_t)result->status);
    buf_add_u32(to, result->outcome);
    buf_add_u64(to, result->revision);
}

bool relay_result_next(struct decoder *d, struct relay_result *result_out)
{
    if (decoder_left(d) == 0)
        return false;
    result_out->ticket = decoder_u64(d);
    result_out->status = (int32_t)decoder_u32(d);
    result_out->outcome = decoder_u32(d);
    result_out->revision = decoder_u64(d);
    return !d->failed;
}

enum { NODE_INFO_HAS_SPACE = 1 };

void relay_node_info_encode(struct buf *to, const struct relay_node_info *info)
{
    buf_add_u64(to, info->applied_index);
    net_text_encode(to, info->http);
    net_text_encode(to, info->storage);
    buf_add_u32(to, info->has_space ? NODE_INFO_HAS_SPACE : 0);
}

int relay_node_info_decode(const uint8_t *data, size_t len, struct relay_node_info *info_out)
{
    struct decoder d;

    decoder_init(&d, data, len);
    info_out->applied_index = decoder_u64(&d);
    (void)net_text_decode(&d, info_out->http, sizeof(info_out->http));
    (void)net_text_decode(&d, info_out->storage, sizeof(info_out->storage));
    info_out->has_space = decoder_left(&d) > 0 && (decoder_u32(&d) & NODE_INFO_HAS_SPACE) != 0;
    return d.failed ? DKV_EINVAL : DKV_OK;
}

void relay_chunk_encode(struct buf *to, const struct relay_chunk *chunk)
{
    buf_add_u64(to, chunk->term);
    buf_add_u64(to, chunk->index);
    buf_add_u64(to, chunk->snapshot_term);
    buf_add_u64(to, chunk->offset);
    buf_add_u64(to, chunk->total);
    buf_add_u32(to, chunk->len);
    buf_add(to, chunk->data, chunk->len);
}

int relay_chunk_decode(const uint8_t *data, size_t len, struct relay_chunk *chunk_out)
{
    struct decoder d;

    decoder_init(&d, data, len);
    chunk_out->term = decoder_u64(&d);
    chunk_out->index = decoder_u64(&d);
    chunk_out->snapshot_term = decoder_u64(&d);
    chunk_out->offset = decoder_u64(&d);
    chunk_out->total = decoder_u64(&d);
    chunk_out->len = decoder_u32(&d);
    chunk_out->data = decoder_bytes(&d, chunk_out->len);
    if (d.failed || chunk_out->offset > chunk_out->total ||
        chunk_out->len > chunk_out->total - chunk_out->offset)
        return DKV_EINVAL;
    return DKV_OK;
}

void relay_chunk_ack_encode(struct buf *to, const struct relay_chunk_ack *ack)
{
    buf_add_u64(to, ack->term);
    buf_add_u64(to, ack->index);
    buf_add_u64(to, ack->offset);
    buf_add_u32(to, ack->refused);
}

int relay_chunk_ack_decode(const uint8_t *data, size_t len, struct relay_chunk_ack *ack_out)
{
    struct decoder d;

    decoder_init(&d, data, len);
    ack_out->term = decoder_u64(&d);
    ack_out->index = decoder_u64(&d);
    ack_out->offset = decoder_u64(&d);
    ack_out->refused = decoder_u32(&d);
    return d.failed ? DKV_EINVAL : DKV_OK;
}
