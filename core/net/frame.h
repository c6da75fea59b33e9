/* Frames between nodes: a fixed header, then a payload.
 *
 *   u16 magic | u8 version (1) | u8 type | u32 payload_len | u16 group (0) | u16 zero | u32 zero
 *   | u64 xxh3 of the payload, seeded with the xxh3 of the 16 bytes before
 *
 * Little-endian.  `group` is for several Raft groups on one connection and is 0 today.  A receiver
 * closes the connection on any header that does not fit, before it allocates anything. */
#ifndef NET_FRAME_H
#define NET_FRAME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

struct evbuffer;

#define FRAME_HEADER_BYTES 24u
#define FRAME_PAYLOAD_MAX  (9u << 20) /* the largest value, its entry and its message */

enum frame_type { /* append-only: on the wire */
                  FRAME_HELLO = 1,
                  FRAME_HELLO_ANSWER = 2,
                  FRAME_RAFT = 3,
                  FRAME_FORWARD = 4, /* writes on their way to the leader */
                  FRAME_FORWARD_RESULT = 5,
                  FRAME_NODE_INFO = 6, /* what a member tells about itself */
                  FRAME_CLUSTER_QUERY = 7,
                  FRAME_CLUSTER_ANSWER = 8,
                  FRAME_SNAPSHOT_CHUNK = 9,
                  FRAME_SNAPSHOT_ACK = 10
};

struct frame_header {
    uint8_t type;
    uint32_t payload_len;
    uint64_t sum;
    uint64_t seed;
};

/* Adds a header for the payload that is the whole of `payload`, and the payload itself. */
void frame_add(struct evbuffer *to, enum frame_type type, const struct buf *payload);

/* bytes: FRAME_HEADER_BYTES of them.  DKV_EINVAL if this is no frame; *why_out says why. */
int frame_decode_header(const uint8_t *bytes, struct frame_header *header_out,
                        const char **why_out);
bool frame_payload_is_intact(const struct frame_header *header, const uint8_t *payload);

#endif
