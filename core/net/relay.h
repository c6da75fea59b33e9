/* What nodes tell each other besides Raft: forwarded writes and their results, snapshot chunks,
 * the leader's view of the cluster, and what a member says about itself.
 *
 * Encoders append to a buffer that becomes one frame's payload; decoders borrow from the payload
 * and accept bytes after the fields they know (a later version's). */
#ifndef NET_RELAY_H
#define NET_RELAY_H

#include "base/buf.h"
#include "base/codec.h"
#include "net/hello.h"

/* --- FRAME_FORWARD: many writes; FRAME_FORWARD_RESULT: many results --- */

struct relay_write {
    uint64_t ticket; /* the sender's; comes back with the result */
    const uint8_t *command;
    uint32_t command_len;
};

struct relay_result {
    uint64_t ticket;
    int32_t status; /* of api_write: DKV_OK, DKV_EUNAVAIL, ... */
    uint32_t outcome;
    uint64_t revision;
};
enum { RELAY_RESULT_BYTES = 24 };

void relay_write_encode(struct buf *to, uint64_t ticket, const void *command, uint32_t len);
/* The next one; false at the end or when the rest makes no sense (d->failed). */
bool relay_write_next(struct decoder *d, struct relay_write *write_out);
void relay_result_encode(struct buf *to, const struct relay_result *result);
bool relay_result_next(struct decoder *d, struct relay_result *result_out);

/* --- FRAME_NODE_INFO --- */

struct relay_node_info {
    uint64_t applied_index;
    char http[NET_ADDRESS_MAX];
    char storage[NET_STORAGE_MAX];
    bool has_space; /* takes entries; false also if the sender did not say */
};

void relay_node_info_encode(struct buf *to, const struct relay_node_info *info);
int relay_node_info_decode(const uint8_t *data, size_t len, struct relay_node_info *info_out);

/* --- FRAME_SNAPSHOT_CHUNK and its acknowledgement --- */

struct relay_chunk {
    uint64_t term;          /* the sender's */
    uint64_t index;         /* of the snapshot */
    uint64_t snapshot_term; /* of the entry at index */
    uint64_t offset, total; /* bytes of the file */
    const uint8_t *data;
    uint32_t len;
};

struct relay_chunk_ack {
    uint64_t term;
    uint64_t index;
    uint64_t offset;  /* all bytes below are written; total = complete and verified */
    uint32_t refused; /* 1: start again from offset 0, or not at all */
};

void relay_chunk_encode(struct buf *to, const struct relay_chunk *chunk);
int relay_chunk_decode(const uint8_t *data, size_t len, struct relay_chunk *chunk_out);
void relay_chunk_ack_encode(struct buf *to, const struct relay_chunk_ack *ack);
int relay_chunk_ack_decode(const uint8_t *data, size_t len, struct relay_chunk_ack *ack_out);

#endif
