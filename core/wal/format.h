/* Private to core/wal: what is on disk, byte for byte.  Numbers are little-endian and types are only
 * ever added.
 *
 * Segment: superheader A (4 KiB), superheader B (4 KiB), header zone (1/4 of the file), data zone.
 * A batch begins on a 4 KiB block of the data zone: { record header 64 B | payload | pad to 8 }*.
 * The header zone holds a copy of every record header, in order: two identities of every entry,
 * physically apart, so that a damaged payload still has a name. */
#ifndef WAL_FORMAT_H
#define WAL_FORMAT_H

#include <stdbool.h>

#include "raft/types.h"
#include "wal/wal.h"

enum {
    WAL__BLOCK = 4096,
    WAL__RECORD_HEADER = 64,
    WAL__ZONE_OFFSET = 2 * WAL__BLOCK,
    WAL__ZONE_SHARE = 4, /* a header for each 256 bytes of file: entries are small */
    WAL__SUPER_BYTES = 136,
    WAL__MAJOR = 1,
    WAL__MINOR = 0
};

#define WAL__PAYLOAD_MAX (9u << 20)
#define WAL__RECORD_MARK 250u /* no entry: carries a durable mark */
#define WAL__RECORD_SEAL 251u /* no entry: the log was closed in order */

struct wal__super {
    struct wal_identity identity;
    uint64_t seq;         /* of the segment */
    uint64_t first_index; /* entries of earlier segments from here on are void */
    uint64_t salt;        /* mixed into every checksum of the file */
    uint64_t vote_gen;    /* of the vote file when the segment was opened */
    uint64_t durable;     /* everything up to here was on disk then */
    uint64_t file_bytes;
};

struct wal__record {
    uint8_t type; /* enum raft_entry_type, or WAL__RECORD_* */
    uint16_t batch_pos, batch_count;
    uint32_t batch_seq;
    uint32_t data_len;
    uint64_t index, term;
    uint64_t durable_mark;
    uint32_t data_offset; /* of the header in the data zone's file, in 8-byte units */
    uint32_t chain;       /* of all headers of the segment up to this one */
    uint64_t data_sum;
};

/* Block-sized; the rest is zero. */
void wal__super_encode(uint8_t *block, const struct wal__super *super);
/* DKV_ECORRUPT, or DKV_ENOTSUP for a newer format. */
int wal__super_decode(const uint8_t *block, struct wal__super *super_out);

/* offset is where this copy of the header stands in the file. */
void wal__record_encode(uint8_t *to, const struct wal__record *record, uint64_t salt,
                        uint64_t offset);
bool wal__record_decode(const uint8_t *from, uint64_t salt, uint64_t offset,
                        struct wal__record *record_out);
uint64_t wal__payload_sum(const void *data, uint32_t len, uint64_t index, uint64_t term,
                          uint64_t salt);
uint32_t wal__chain(uint32_t before, const struct wal__record *record);

static inline uint64_t wal__pad8(uint64_t n)
{
    return (n + 7) & ~(uint64_t)7;
}

static inline uint64_t wal__pad_block(uint64_t n)
{
    return (n + WAL__BLOCK - 1) & ~(uint64_t)(WAL__BLOCK - 1);
}

/* Where the data zone of a file of this size begins. */
static inline uint64_t wal__data_offset(uint64_t file_bytes)
{
    return WAL__ZONE_OFFSET + wal__pad_block(file_bytes / WAL__ZONE_SHARE);
}

static inline uint32_t wal__slots(uint64_t file_bytes)
{
    return (uint32_t)(wal__pad_block(file_bytes / WAL__ZONE_SHARE) / WAL__RECORD_HEADER);
}

#endif
