/* Portable snapshot files: the state of one node, readable by any storage plugin.
 *
 *   header | chunk* | end              all numbers little-endian
 *   header: "DKVSNAP\n" | u16 major | u16 minor | u32 header_len | cluster_id[16] | u64 index
 *           | u64 term | u64 digest low | u64 digest high | u64 keys | u32 zero | u32 members_len
 *           | members | u64 xxh3 of all before
 *   chunk:  u32 "CHNK" | u32 payload_len | u64 xxh3 of the payload, seeded with its ordinal
 *           | payload: { u16 key_len | u16 zero | u32 value_len | key | value }*
 *   end:    u32 "END\n" | u32 zero | u64 chunks | u64 records | u64 xxh3 of the chunks' checksums
 *
 * Keys and values are those of the storage plugin (kv/record.h), the machine's state among them.
 * A file is complete only with its end; readers verify every checksum, the counts and the digest
 * before anything is replaced.  All calls block: env jobs or start only, except that
 * kv_snapshot_restore runs on the home thread. */
#ifndef KV_SNAPSHOT_H
#define KV_SNAPSHOT_H

#include "base/fs.h"
#include "dkv/storage.h"
#include "kv/record.h"
#include "raft/types.h"

#define KV_SNAPSHOT_MEMBERS_MAX (16u << 10)
#define KV_SNAPSHOT_MAJOR       1

struct kv_snapshot_info {
    uint8_t cluster_id[16];
    raft_index index;
    raft_term term;
    struct kv_digest digest;
    uint64_t keys;
    uint64_t bytes; /* size of the file; out only */
    uint32_t members_len;
    uint8_t members[KV_SNAPSHOT_MEMBERS_MAX]; /* raft's, opaque here */
};

/* Writes and syncs a new file; the caller renames it into place and syncs the directory.  The
 * view stays the caller's.  DKV_ENOSPC and other errors leave a partial file behind. */
int kv_snapshot_save(struct fs *fs, const char *path, const struct kv_snapshot_info *info,
                     struct dkv_snapshot *view, struct dkv_error *err);

/* DKV_ECORRUPT names what does not fit; DKV_ENOTSUP: written by a newer version. */
int kv_snapshot_read_info(struct fs *fs, const char *path, struct kv_snapshot_info *info_out,
                          struct dkv_error *err);
/* Reads the whole file: checksums, counts, digest. */
int kv_snapshot_verify(struct fs *fs, const char *path, struct kv_snapshot_info *info_out,
                       struct dkv_error *err);

/* Replaces the store's content.  The file has been verified, and is verified again on the way:
 * the store keeps its old content unless everything fits. */
int kv_snapshot_restore(struct fs *fs, const char *path, struct dkv_store *store,
                        struct dkv_error *err);

#endif
