#include "net/frame.h"

#include <event2/buffer.h>
#include <xxhash.h>

#include "base/assert.h"
#include "base/codec.h"

enum { FRAME_MAGIC = 0x6b64, FRAME_VERSION = 1, FRAME_SUMMED_BYTES = 16 };

void frame_add(struct evbuffer *to, enum frame_type type, const struct buf *payload)
{
    uint8_t header[FRAME_HEADER_BYTES];
    uint64_t seed;

    dkv_assert(payload->len <= FRAME_PAYLOAD_MAX);
    put_u16(header, FRAME_MAGIC);
    header[2] = FRAME_VERSION;
    header[3] = (uint8_t)type;
    put_u32(header + 4, (uint32_t)payload->len);
    put_u64(header + 8, 0);
    seed = XXH3_64bits(header, FRAME_SUMMED_BYTES);
    put_u64(header + 16, XXH3_64bits_withSeed(payload->data, payload->len, seed));
    evbuffer_add(to, header, sizeof(header));
    evbuffer_add(to, payload->data, payload->len);
}

int frame_decode_header(const uint8_t *bytes, struct frame_header *header_out, const char **why_out)
{
    if (get_u16(bytes) != FRAME_MAGIC) {
        *why_out = "this is not the dkv peer protocol";
        return DKV_EINVAL;
    }
    if (bytes[2] != FRAME_VERSION) {
        *why_out = "another version of the peer protocol";
        return DKV_EINVAL;
    }
    if (get_u64(bytes + 8) != 0) {
        *why_out = "reserved bytes are in use";
        return DKV_EINVAL;
    }
    header_out->type = bytes[3];
    header_out->payload_len = get_u32(bytes + 4);
    header_out->sum = get_u64(bytes + 16);
    header_out->seed = XXH3_64bits(bytes, FRAME_SUMMED_BYTES);
    if (header_out->payload_len > FRAME_PAYLOAD_MAX) {
        *why_out = "the frame is too long";
        return DKV_EINVAL;
    }
    return DKV_OK;
}

bool frame_payload_is_intact(const struct frame_header *header, const uint8_t *payload)
{
    return XXH3_64bits_withSeed(payload, header->payload_len, header->seed) == header->sum;
}
