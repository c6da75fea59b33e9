/* Raft messages as bytes: the payload of a FRAME_RAFT.
 *
 *   u8 type | u8 flags | u64 term | the fields that the type has (raft/message.h), u64 each
 *   APPEND: ... | u32 count | { u8 entry_type | u32 len | u64 entry_term | payload }*
 *
 * Little-endian.  Sender and receiver are known from the connection and are not repeated. */
#ifndef NET_WIRE_H
#define NET_WIRE_H

#include "base/blob.h"
#include "base/buf.h"
#include "raft/message.h"

/* Gives entry i of an APPEND that is to be sent. */
typedef const struct raft_entry *wire_entry_fn(void *ctx, const struct raft_message *m, uint32_t i);

void wire_encode(struct buf *to, const struct raft_message *m, wire_entry_fn *entry, void *ctx);

/* Entries of a decoded APPEND; kept from message to message.  Zero-initialised is empty. */
struct wire_entries {
    struct raft_entry *items;
    size_t cap;
};
void wire_entries_fini(struct wire_entries *entries);

/* Entries point into payload and name it as their owner without taking a reference; the message
 * points into entries.  DKV_EINVAL: not a message of this version. */
int wire_decode(struct blob *payload, raft_id from, raft_id to, struct wire_entries *entries,
                struct raft_message *message_out);

#endif
