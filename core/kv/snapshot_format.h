/* Private to kv/snapshot_*.c: constants of the file, and the reader they share. */
#ifndef KV_SNAPSHOT_FORMAT_H
#define KV_SNAPSHOT_FORMAT_H

#include "base/buf.h"
#include "kv/snapshot.h"

#define SNAPSHOT__MAGIC "DKVSNAP\n"

enum {
    SNAPSHOT__HEADER_FIXED = 8 + 2 + 2 + 4 + 16 + 8 * 5 + 4 + 4,
    SNAPSHOT__CHUNK_HEADER = 16,
    SNAPSHOT__RECORD_HEADER = 8,
    SNAPSHOT__END = 32,
    SNAPSHOT__CHUNK_TARGET = 256 << 10,
    SNAPSHOT__CHUNK_MAX = 32 << 20 /* one record of the largest value, with room */
};
#define SNAPSHOT__CHUNK_MAGIC 0x4b4e4843u /* "CHNK" */
#define SNAPSHOT__END_MAGIC   0x0a444e45u /* "END\n" */

/* Gets every chunk's payload in turn; borrows.  Non-zero stops and is returned. */
typedef int snapshot__chunk_fn(void *ctx, const uint8_t *payload, size_t len);

/* Reads all chunks and the end, checking every checksum and the counts of chunks. */
int snapshot__walk(struct fs_file *file, const struct kv_snapshot_info *info, uint64_t header_len,
                   snapshot__chunk_fn *each, void *ctx, uint64_t *records_out,
                   struct dkv_error *err);
int snapshot__read_header(struct fs_file *file, struct kv_snapshot_info *info_out,
                          uint64_t *header_len_out, struct dkv_error *err);

/* Takes the next record off a payload.  False at the end; sets *bad_out when it does not fit. */
bool snapshot__next_record(const uint8_t **at, const uint8_t *end, struct dkv_slice *key_out,
                           struct dkv_slice *value_out, bool *bad_out);

#endif
