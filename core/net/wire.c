#include "net/wire.h"

#include <stdlib.h>

#include "base/codec.h"
#include "base/mem.h"

enum { ENTRY_HEADER_BYTES = 13 };

/* The u64 fields of each type, in the order of the wire. */
enum field { F_END, F_INDEX, F_LOG_TERM, F_HINT, F_COMMIT, F_READ_SEQ, F_SEQ };

static const uint8_t fields[][6] = {
    [RAFT_MSG_PREVOTE] = {F_INDEX, F_LOG_TERM, F_SEQ},
    [RAFT_MSG_PREVOTE_REPLY] = {F_SEQ},
    [RAFT_MSG_VOTE] = {F_INDEX, F_LOG_TERM},
    [RAFT_MSG_VOTE_REPLY] = {F_END},
    [RAFT_MSG_APPEND] = {F_INDEX, F_LOG_TERM, F_COMMIT, F_READ_SEQ},
    [RAFT_MSG_APPEND_REPLY] = {F_INDEX, F_LOG_TERM, F_HINT},
    [RAFT_MSG_HEARTBEAT] = {F_COMMIT, F_READ_SEQ},
    [RAFT_MSG_HEARTBEAT_REPLY] = {F_READ_SEQ},
    [RAFT_MSG_READ_REQUEST] = {F_SEQ},
    [RAFT_MSG_READ_REPLY] = {F_SEQ, F_INDEX},
    [RAFT_MSG_TIMEOUT_NOW] = {F_END},
};

enum { TYPES_COUNT = sizeof(fields) / sizeof(fields[0]) };

static uint64_t *field_of(struct raft_message *m, uint8_t field)
{
    switch (field) {
    case F_INDEX:
        return &m->index;
    case F_LOG_TERM:
        return &m->log_term;
    case F_HINT:
        return &m->hint_index;
    case F_COMMIT:
        return &m->commit;
    case F_READ_SEQ:
        return &m->read_seq;
    case F_SEQ:
        return &m->seq;
    default:
        return NULL;
    }
}

static void encode_entry(struct buf *to, const struct raft_entry *entry)
{
    uint8_t *at = buf_reserve(to, ENTRY_HEADER_BYTES);

    at[0] = (uint8_t)entry->type;
    put_u32(at + 1, entry->len);
    put_u64(at + 5, entry->term);
    to->len += ENTRY_HEADER_BYTES;
    buf_add(to, entry->data, entry->len);
}

void wire_encode(struct buf *to, const struct raft_message *m, wire_entry_fn *entry, void *ctx)
{
    struct raft_message copy = *m;
    uint64_t *field;

    buf_add_u8(to, (uint8_t)m->type);
    buf_add_u8(to, (uint8_t)m->flags);
    buf_add_u64(to, m->term);
    for (const uint8_t *f = fields[m->type]; (field = field_of(&copy, *f)) != NULL; f++)
        buf_add_u64(to, *field);
    if (m->type != RAFT_MSG_APPEND)
        return;
    buf_add_u32(to, m->count);
    for (uint32_t i = 0; i < m->count; i++)
        encode_entry(to, entry(ctx, m, i));
}

void wire_entries_fini(struct wire_entries *entries)
{
    free(entries->items);
    *entries = (struct wire_entries){0};
}

static void reserve(struct wire_entries *entries, size_t count)
{
    if (count <= entries->cap)
        return;
    entries->items = xreallocarray(entries->items, count, sizeof(*entries->items));
    entries->cap = count;
}

static void decode_entries(struct decoder *d, struct blob *payload, struct wire_entries *entries,
                           struct raft_message *m)
{
    m->count = decoder_u32(d);
    /* Before memory is taken: so many entries must fit into what is left. */
    if (d->failed || m->count > decoder_left(d) / ENTRY_HEADER_BYTES) {
        d->failed = true;
        return;
    }
    reserve(entries, m->count);
    for (uint32_t i = 0; i < m->count && !d->failed; i++) {
        struct raft_entry *entry = &entries->items[i];

        entry->index = m->index + 1 + i;
        entry->type = decoder_u8(d);
        entry->len = decoder_u32(d);
        entry->term = decoder_u64(d);
        entry->data = decoder_bytes(d, entry->len);
        entry->owner = payload;
        if (entry->len == 0) {
            entry->data = NULL;
            entry->owner = NULL;
        }
    }
    m->entries = entries->items;
}

int wire_decode(struct blob *payload, raft_id from, raft_id to, struct wire_entries *entries,
                struct raft_message *message_out)
{
    struct raft_message m = {.from = from, .to = to};
    struct decoder d;
    uint64_t *field;

    decoder_init(&d, payload->bytes, payload->len);
    m.type = decoder_u8(&d);
    m.flags = decoder_u8(&d);
    m.term = decoder_u64(&d);
    if (d.failed || m.type == 0 || m.type >= TYPES_COUNT)
        return DKV_EINVAL;
    for (const uint8_t *f = fields[m.type]; (field = field_of(&m, *f)) != NULL; f++)
        *field = decoder_u64(&d);
    if (m.index > RAFT_NUMBER_MAX)
        return DKV_EINVAL;
    if (m.type == RAFT_MSG_APPEND)
        decode_entries(&d, payload, entries, &m);
    if (d.failed)
        return DKV_EINVAL;
    *message_out = m;
    return DKV_OK;
}
