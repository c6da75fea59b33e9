/* Numbers, log entries and the configuration of members: what other modules need to know of Raft
 * without knowing the algorithm.  Pure data and pure functions, any thread. */
#ifndef RAFT_TYPES_H
#define RAFT_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blob;

typedef uint64_t raft_index; /* 1-based; 0 is "before the log" */
typedef uint64_t raft_term;  /* 0 is "before any election" */
typedef uint64_t raft_id;    /* of a node; 0 is "nobody" */

/* Terms and indexes above this are refused wherever they come from, so that +1 never overflows. */
#define RAFT_NUMBER_MAX (UINT64_MAX / 4)

/* On disk and on the wire: append, never renumber. */
enum raft_entry_type {
    RAFT_ENTRY_DATA = 1,
    RAFT_ENTRY_CONFIG = 2, /* payload: raft_members_encode() */
    RAFT_ENTRY_NOOP = 3,   /* no payload; the first entry of every leader */
};

/* One log entry.  data lies inside owner, which the holder keeps referenced; both are NULL and len
 * is 0 when there is no payload. */
struct raft_entry {
    raft_index index;
    raft_term term;
    uint32_t type; /* enum raft_entry_type */
    uint32_t len;
    const void *data;
    struct blob *owner;
};

/* What has to survive a crash besides the log.  Both fields are written in one atomic record. */
struct raft_hard_state {
    raft_term term;
    raft_id vote; /* 0 = none in this term */
};

/* A run of entries of one term in the log: from first up to the next run or the end. */
struct raft_run {
    raft_index first;
    raft_term term;
};

#define RAFT_MEMBERS_MAX     64 /* quorums are 64-bit masks */
#define RAFT_MEMBER_INFO_MAX 512

/* Flags of a member.  Valid: VOTER, VOTER|OUTGOING, OUTGOING (leaves with the joint phase),
 * OUTGOING|LEARNER (becomes a learner with its end), LEARNER.  On disk: append, never renumber. */
enum raft_member_flags {
    RAFT_MEMBER_VOTER = 1,    /* votes in the configuration being entered */
    RAFT_MEMBER_OUTGOING = 2, /* votes in the configuration being left; any = joint */
    RAFT_MEMBER_LEARNER = 4,  /* gets the log, does not count */
};

struct raft_member {
    raft_id id;
    uint8_t flags;
    uint16_t info_len;
    uint8_t info[RAFT_MEMBER_INFO_MAX]; /* opaque here: the node keeps name and addresses in it */
};

/* A configuration, sorted by id.  A plain value: copy it by assignment.  It is about 33 KiB, so
 * keep it off deep stacks. */
struct raft_members {
    uint32_t count;
    struct raft_member member[RAFT_MEMBERS_MAX];
};

/* Adds a member or replaces the one of the same id.  DKV_EINVAL: id 0 or bad flags; DKV_ETOOBIG:
 * too many members or too much info. */
int raft_members_set(struct raft_members *m, raft_id id, uint8_t flags, const void *info,
                     size_t info_len);
const struct raft_member *raft_members_find(const struct raft_members *m, raft_id id);
bool raft_members_is_joint(const struct raft_members *m);
bool raft_members_equal(const struct raft_members *a, const struct raft_members *b);

/* DKV_OK if sorted, without duplicates, with valid flags, and with at least one VOTER. */
int raft_members_check(const struct raft_members *m);

/* Payload of a CONFIG entry: u8 version (1), u8 0, u16 count, then for each member u64 id, u8 flags,
 * u8 0, u16 length, that many bytes; little-endian.  encode writes raft_members_size() bytes and
 * returns that number.  decode checks everything; DKV_ENOTSUP: newer version, DKV_ECORRUPT: the
 * rest; members_out is untouched on failure. */
size_t raft_members_size(const struct raft_members *m);
size_t raft_members_encode(const struct raft_members *m, uint8_t *to);
int raft_members_decode(const void *data, size_t len, struct raft_members *members_out);

#endif
