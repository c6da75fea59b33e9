/* What a log entry of type DATA says: one write to one key, with its condition.
 *
 * The bytes are part of the replicated log, so they are versioned and never change meaning:
 *
 *   u8 version (1) | u8 op | u16 flags | u16 key_len | u16 zero | u32 value_len | u32 zero
 *   | u64 match | key | value
 *
 * Little-endian.  A command that this version cannot read comes from a newer leader; the node
 * that meets one stops rather than guess (rule R-A7: no replica may skip an entry). */
#ifndef KV_COMMAND_H
#define KV_COMMAND_H

#include <stdint.h>

#include "dkv/types.h"

struct blob;

#define KV_KEY_BYTES_MAX   1024u /* what the format holds; the cluster's own limit is lower */
#define KV_VALUE_BYTES_MAX (8u << 20)

enum kv_op { /* append-only: on disk and on the wire */
             KV_OP_PUT = 1,
             KV_OP_DELETE = 2
};

/* Conditions, judged when the entry is applied; at most one. */
#define KV_IF_REVISION (1u << 0) /* the key's revision is `match` */
#define KV_IF_EXISTS   (1u << 1)
#define KV_IF_ABSENT   (1u << 2)
#define KV_IF_ALL      (KV_IF_REVISION | KV_IF_EXISTS | KV_IF_ABSENT)

struct kv_command {
    enum kv_op op;
    uint32_t flags;
    uint64_t match;
    struct dkv_slice key;   /* 1..KV_KEY_BYTES_MAX bytes */
    struct dkv_slice value; /* PUT only */
};

/* Gives a blob with one reference, or NULL when memory is out.  Copies key and value. */
struct blob *kv_command_encode(const struct kv_command *command);

/* Borrows from data.  DKV_EINVAL if the bytes are not a command of this version. */
int kv_command_decode(const void *data, size_t len, struct kv_command *command_out);

/* What became of it. */
enum kv_outcome {                      /* append-only: forwarded between nodes */
                  KV_OUTCOME_NONE = 0, /* not a write: no-op or configuration */
                  KV_OUTCOME_CREATED = 1,
                  KV_OUTCOME_REPLACED = 2,
                  KV_OUTCOME_DELETED = 3,
                  KV_OUTCOME_NOT_FOUND = 4, /* DELETE of an absent key */
                  KV_OUTCOME_CONDITION = 5  /* the condition does not hold; nothing changed */
};

struct kv_result {
    uint32_t outcome;
    uint64_t revision; /* of the key now; the present one after CONDITION; 0 = absent */
};

#endif
