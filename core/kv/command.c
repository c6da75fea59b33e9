#include "kv/command.h"

#include <string.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/codec.h"

enum { COMMAND_VERSION = 1, COMMAND_HEADER_BYTES = 24 };

struct blob *kv_command_encode(const struct kv_command *command)
{
    size_t len = COMMAND_HEADER_BYTES + command->key.len + command->value.len;
    struct blob *blob;
    uint8_t *at;

    dkv_assert(command->key.len > 0 && command->key.len <= KV_KEY_BYTES_MAX);
    dkv_assert(command->value.len <= KV_VALUE_BYTES_MAX);
    blob = blob_try((uint32_t)len);
    if (blob == NULL)
        return NULL;
    at = blob->bytes;
    at[0] = COMMAND_VERSION;
    at[1] = (uint8_t)command->op;
    put_u16(at + 2, (uint16_t)command->flags);
    put_u16(at + 4, (uint16_t)command->key.len);
    put_u16(at + 6, 0);
    put_u32(at + 8, (uint32_t)command->value.len);
    put_u32(at + 12, 0);
    put_u64(at + 16, command->match);
    memcpy(at + COMMAND_HEADER_BYTES, command->key.data, command->key.len);
    if (command->value.len > 0)
        memcpy(at + COMMAND_HEADER_BYTES + command->key.len, command->value.data,
               command->value.len);
    return blob;
}

static bool condition_is_known(uint32_t flags)
{
    return (flags & ~KV_IF_ALL) == 0 && (flags & (flags - 1)) == 0;
}

int kv_command_decode(const void *data, size_t len, struct kv_command *command_out)
{
    struct decoder d;
    struct kv_command c;
    uint8_t version, op;

    decoder_init(&d, data, len);
    version = decoder_u8(&d);
    op = decoder_u8(&d);
    c.flags = decoder_u16(&d);
    c.key.len = decoder_u16(&d);
    (void)decoder_u16(&d);
    c.value.len = decoder_u32(&d);
    (void)decoder_u32(&d);
    c.match = decoder_u64(&d);
    c.key.data = decoder_bytes(&d, c.key.len);
    c.value.data = decoder_bytes(&d, c.value.len);
    if (d.failed || decoder_left(&d) != 0 || version != COMMAND_VERSION)
        return DKV_EINVAL;
    if ((op != KV_OP_PUT && op != KV_OP_DELETE) || !condition_is_known(c.flags))
        return DKV_EINVAL;
    if (c.key.len == 0 || c.key.len > KV_KEY_BYTES_MAX || c.value.len > KV_VALUE_BYTES_MAX)
        return DKV_EINVAL;
    if (op == KV_OP_DELETE && c.value.len != 0)
        return DKV_EINVAL;
    c.op = (enum kv_op)op;
    *command_out = c;
    return DKV_OK;
}
