/* What the storage plugin holds: a record for each key, and the machine's own state.
 *
 * Plugins see opaque bytes.  Stored keys begin with a name-space byte, user values with a header:
 *
 *   u8 version (1) | u8 flags (0) | u16 zero | u32 changes | u64 create_revision
 *   | u64 revision | value
 *
 * A revision is the Raft index of the entry that last changed the key. */
#ifndef KV_RECORD_H
#define KV_RECORD_H

#include <stdint.h>

#include "dkv/types.h"

#define KV_SPACE_USER          'k'
#define KV_SPACE_META          'm'
#define KV_RECORD_HEADER_BYTES 24u

struct kv_record {
    uint32_t changes; /* writes since the key was created, 1 for a new key */
    uint64_t create_revision;
    uint64_t revision;
    struct dkv_slice value;
};

/* Writes KV_RECORD_HEADER_BYTES; the value follows them. */
void kv_record_put_header(void *to, const struct kv_record *record);

/* Borrows from data.  DKV_ECORRUPT if this is no record of this version. */
int kv_record_decode(struct dkv_slice data, struct kv_record *record_out);

/* 128-bit sum over all records, independent of their order: equal on replicas whose state is
 * equal.  All zero for no records. */
struct kv_digest {
    uint64_t low, high;
};

/* The part of one record in the digest; stored is header and value. */
struct kv_digest kv_digest_of(struct dkv_slice user_key, struct dkv_slice stored);
void kv_digest_add(struct kv_digest *sum, struct kv_digest part);
void kv_digest_subtract(struct kv_digest *sum, struct kv_digest part);

#endif
