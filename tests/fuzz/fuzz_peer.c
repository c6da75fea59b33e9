/* Any bytes as what a peer sends: the first says which kind of payload the rest is.  Whatever is
 * accepted must come back the same when it is sent on. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/mem.h"
#include "net/frame.h"
#include "net/hello.h"
#include "net/relay.h"
#include "net/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct raft_entry *entry(void *ctx, const struct raft_message *m, uint32_t i)
{
    (void)ctx;
    return &m->entries[i];
}

static void read_header(const uint8_t *data, size_t size)
{
    struct frame_header header;
    const char *why = NULL;

    if (size < FRAME_HEADER_BYTES)
        return;
    if (frame_decode_header(data, &header, &why) != DKV_OK) {
        dkv_assert(why != NULL && why[0] != '\0');
        return;
    }
    dkv_assert(header.payload_len <= FRAME_PAYLOAD_MAX);
    if (header.payload_len <= size - FRAME_HEADER_BYTES)
        (void)frame_payload_is_intact(&header, data + FRAME_HEADER_BYTES);
}

static void read_message(const uint8_t *data, size_t size)
{
    struct blob *payload = blob_try((uint32_t)size);
    struct wire_entries entries = {0};
    struct raft_message m;
    struct buf again = {0};

    memcpy(payload->bytes, data, size);
    if (wire_decode(payload, 2, 1, &entries, &m) == DKV_OK) {
        for (uint32_t i = 0; i < m.count; i++)
            dkv_assert(m.entries[i].len <= size &&
                       (m.entries[i].len == 0 || m.entries[i].owner == payload));
        wire_encode(&again, &m, entry, NULL);
        /* Bytes behind the fields that are known are a later version's. */
        dkv_assert(again.len <= size && memcmp(again.data, data, again.len) == 0);
    }
    buf_fini(&again);
    wire_entries_fini(&entries);
    blob_unref(payload);
}

static void read_hello(const uint8_t *data, size_t size)
{
    struct net_hello hello, same;
    struct buf again = {0};

    if (net_hello_decode(data, size, &hello) == DKV_OK) {
        net_hello_encode(&again, &hello);
        dkv_assert(net_hello_decode(again.data, again.len, &same) == DKV_OK);
        dkv_assert(same.from == hello.from && strcmp(same.name, hello.name) == 0 &&
                   strcmp(same.http, hello.http) == 0 && strcmp(same.storage, hello.storage) == 0);
    }
    buf_fini(&again);
}

static void read_answer(const uint8_t *data, size_t size)
{
    struct net_hello_answer answer;

    if (net_hello_answer_decode(data, size, &answer) == DKV_OK)
        dkv_assert(strlen(answer.why) < NET_WHY_MAX);
}

static void read_writes(const uint8_t *data, size_t size)
{
    struct decoder d;
    struct relay_write write;
    struct relay_result result;

    decoder_init(&d, data, size);
    while (relay_write_next(&d, &write))
        dkv_assert(write.command >= data && write.command + write.command_len <= data + size);
    decoder_init(&d, data, size);
    while (relay_result_next(&d, &result))
        continue;
}

static void read_chunk(const uint8_t *data, size_t size)
{
    struct relay_chunk chunk;
    struct relay_chunk_ack ack;
    struct relay_node_info info;

    if (relay_chunk_decode(data, size, &chunk) == DKV_OK)
        dkv_assert(chunk.data >= data && chunk.data + chunk.len <= data + size);
    (void)relay_chunk_ack_decode(data, size, &ack);
    if (relay_node_info_decode(data, size, &info) == DKV_OK)
        dkv_assert(strlen(info.http) < sizeof(info.http));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const READERS[])(const uint8_t *, size_t) = {
        read_header, read_message, read_hello, read_answer, read_writes, read_chunk};

    if (size > 0)
        READERS[data[0] % (sizeof(READERS) / sizeof(READERS[0]))](data + 1, size - 1);
    return 0;
}
