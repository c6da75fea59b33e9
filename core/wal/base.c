/* The file `base`: where the log begins.  Two copies, written and synced one after the other, in
 * place, the newest good one last: a torn write always leaves a good one, and the first sync is the
 * one atomic step of a compaction and of a reset.  No new space is needed for it: a log must be cut
 * above all when the disk is full.
 *
 *   "DKVBASE\n" | u16 major | u16 minor | u32 zero | cluster id 16 | u64 node | u64 incarnation
 *   | u64 generation | u64 index | u64 term | u64 first_seq | u32 data_len | u32 zero | data
 *   | u64 xxh3 of all that, seeded with the number of the copy */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "wal/internal.h"

#define BASE_TMP WAL__BASE_PATH ".tmp"
static const char base_magic[8] = "DKVBASE\n";
enum {
    BASE_COPIES = 2,
    BASE_FIXED = 88,
    BASE_COPY_BYTES = 5 * WAL__BLOCK /* holds the largest data */
};

static int decode(const uint8_t *at, uint64_t number, const struct wal_identity *identity,
                  struct wal__base *base_out)
{
    uint32_t data_len = get_u32(at + 80);

    if (memcmp(at, base_magic, 8) != 0 || data_len > WAL_BASE_DATA_MAX ||
        get_u64(at + BASE_FIXED + data_len) !=
            XXH3_64bits_withSeed(at, BASE_FIXED + data_len, number))
        return DKV_ECORRUPT;
    if (get_u16(at + 8) != WAL__MAJOR || get_u32(at + 12) != 0)
        return DKV_ENOTSUP;
    if (memcmp(at + 16, identity->cluster_id, 16) != 0 || get_u64(at + 32) != identity->node_id ||
        get_u64(at + 40) != identity->incarnation)
        return WAL_EFOREIGN;
    base_out->gen = get_u64(at + 48);
    base_out->index = get_u64(at + 56);
    base_out->term = get_u64(at + 64);
    base_out->first_seq = get_u64(at + 72);
    base_out->data_len = data_len;
    base_out->data = xmalloc(data_len);
    memcpy(base_out->data, at + BASE_FIXED, data_len);
    return DKV_OK;
}

static int explain(int status, struct dkv_error *err)
{
    if (status == DKV_ECORRUPT || status == DKV_ENOENT)
        return dkv_error_set(err, WAL_EDAMAGED,
                             WAL__BASE_PATH
                             ": %s; it says where the log begins. Keep the data directory, and "
                             "put this file back or set the node up anew",
                             status == DKV_ENOENT ? "missing" : "both copies are damaged");
    if (status == DKV_ENOTSUP)
        return dkv_error_set(err, WAL_EFOREIGN,
                             WAL__BASE_PATH ": written by a newer dkvd; use that one");
    if (status == WAL_EFOREIGN)
        return dkv_error_set(err, WAL_EFOREIGN,
                             WAL__BASE_PATH ": belongs to another node or cluster");
    return dkv_error_set(err, status, WAL__BASE_PATH ": %s", status_text(status));
}

/* A copy that cannot be read is as bad as one that is damaged. */
static int read_copies(struct fs_file *file, const struct wal_identity *identity,
                       struct wal__base *base_out)
{
    uint8_t bytes[BASE_COPY_BYTES];
    unsigned good = 0;

    for (uint64_t number = 0; number < BASE_COPIES; number++) {
        struct wal__base copy = {0};
        size_t len = 0;
        int status = file->fs->ops->read(file, bytes, sizeof(bytes), number * sizeof(bytes), &len);

        if (status == DKV_OK)
            status = len == sizeof(bytes) ? decode(bytes, number, identity, &copy) : DKV_ECORRUPT;
        if (status == DKV_ENOTSUP || status == WAL_EFOREIGN) {
            free(base_out->data);
            return status;
        }
        if (status != DKV_OK)
            continue;
        base_out->is_whole = good > 0 && copy.gen == base_out->gen;
        good++;
        if (copy.gen >= base_out->gen) {
            free(base_out->data);
            copy.is_whole = base_out->is_whole;
            copy.newest = number;
            *base_out = copy;
        } else {
            free(copy.data);
        }
    }
    return good > 0 ? DKV_OK : DKV_ECORRUPT;
}

int wal__base_read(struct fs *fs, const struct wal_identity *identity, struct wal__base *base_out,
                   struct dkv_error *err)
{
    struct fs_file *file;
    int status = fs->ops->open(fs, WAL__BASE_PATH, FS_READ, &file);

    *base_out = (struct wal__base){0};
    if (status == DKV_OK) {
        status = read_copies(file, identity, base_out);
        (void)fs->ops->close(file);
    }
    return status == DKV_OK ? DKV_OK : explain(status, err);
}

static int write_copy(struct fs_file *file, const struct wal_identity *identity,
                      const struct wal__base *base, uint64_t number)
{
    uint8_t at[BASE_COPY_BYTES] = {0};
    int status;

    memcpy(at, base_magic, 8);
    put_u16(at + 8, WAL__MAJOR);
    put_u16(at + 10, WAL__MINOR);
    memcpy(at + 16, identity->cluster_id, 16);
    put_u64(at + 32, identity->node_id);
    put_u64(at + 40, identity->incarnation);
    put_u64(at + 48, base->gen);
    put_u64(at + 56, base->index);
    put_u64(at + 64, base->term);
    put_u64(at + 72, base->first_seq);
    put_u32(at + 80, base->data_len);
    if (base->data_len > 0)
        memcpy(at + BASE_FIXED, base->data, base->data_len);
    put_u64(at + BASE_FIXED + base->data_len,
            XXH3_64bits_withSeed(at, BASE_FIXED + base->data_len, number));
    status = wal__write(file, at, sizeof(at), number * sizeof(at));
    return status == DKV_OK ? file->fs->ops->sync(file) : status;
}

static int write_copies(struct fs *fs, const char *path, unsigned flags,
                        const struct wal_identity *identity, const struct wal__base *base)
{
    struct fs_file *file;
    int closed, status = fs->ops->open(fs, path, FS_WRITE | flags, &file);

    if (status != DKV_OK)
        return status;
    for (uint64_t i = 1; i <= BASE_COPIES && status == DKV_OK; i++)
        status = write_copy(file, identity, base, (base->newest + i) % BASE_COPIES);
    closed = fs->ops->close(file);
    return status == DKV_OK ? closed : status;
}

int wal__base_write(struct fs *fs, const struct wal_identity *identity,
                    const struct wal__base *base)
{
    struct wal__base next = *base, before;
    struct dkv_error err;
    int status = wal__base_read(fs, identity, &before, &err);

    if (status != DKV_OK)
        return status == WAL_EDAMAGED ? DKV_EIO : status;
    next.gen = before.gen + 1;
    next.newest = before.newest;
    free(before.data);
    return write_copies(fs, WAL__BASE_PATH, 0, identity, &next);
}

int wal__base_create(struct fs *fs, const struct wal_identity *identity)
{
    const struct wal__base nothing = {.gen = 1};
    int status;

    (void)fs->ops->remove(fs, BASE_TMP);
    status = write_copies(fs, BASE_TMP, FS_CREATE, identity, &nothing);
    if (status == DKV_OK)
        status = fs->ops->rename(fs, BASE_TMP, WAL__BASE_PATH);
    return status == DKV_OK ? fs->ops->sync_dir(fs, WAL__DIR) : status;
}
