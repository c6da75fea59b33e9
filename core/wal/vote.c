#include "wal/vote.h"

#include <string.h>
#include <xxhash.h>

#include "base/codec.h"
#include "base/error.h"
#include "wal/format.h"

#define VOTE_TMP WAL__VOTE_PATH ".tmp"
static const char vote_magic[8] = "DKVVOTE\n";
enum { VOTE_BYTES = 88, COPIES = 2 };

struct copy {
    struct wal_identity identity;
    uint64_t gen;
    struct raft_hard_state hard;
};

static void encode(uint8_t *block, const struct wal_identity *identity, uint64_t gen,
                   const struct raft_hard_state *hard, int number)
{
    memset(block, 0, WAL__BLOCK);
    memcpy(block, vote_magic, 8);
    put_u16(block + 8, WAL__MAJOR);
    put_u16(block + 10, WAL__MINOR);
    put_u32(block + 12, 0);
    memcpy(block + 16, identity->cluster_id, 16);
    put_u64(block + 32, identity->node_id);
    put_u64(block + 40, identity->incarnation);
    put_u64(block + 48, gen);
    put_u64(block + 56, hard->term);
    put_u64(block + 64, hard->vote);
    put_u64(block + 72, 0);
    put_u64(block + 80, XXH3_64bits_withSeed(block, 80, (uint64_t)number));
}

static int decode(const uint8_t *block, int number, struct copy *copy_out)
{
    if (memcmp(block, vote_magic, 8) != 0 ||
        get_u64(block + 80) != XXH3_64bits_withSeed(block, 80, (uint64_t)number))
        return DKV_ECORRUPT;
    if (get_u16(block + 8) != WAL__MAJOR || get_u32(block + 12) != 0)
        return DKV_ENOTSUP;
    memcpy(copy_out->identity.cluster_id, block + 16, 16);
    copy_out->identity.node_id = get_u64(block + 32);
    copy_out->identity.incarnation = get_u64(block + 40);
    copy_out->gen = get_u64(block + 48);
    copy_out->hard.term = get_u64(block + 56);
    copy_out->hard.vote = get_u64(block + 64);
    return DKV_OK;
}

static int write_copy(struct wal__vote *vote, const uint8_t *block, int number)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)block, .iov_len = WAL__BLOCK};
    const struct fs_ops *ops = vote->file->fs->ops;
    int status = ops->write(vote->file, &iov, 1, (uint64_t)number * WAL__BLOCK);

    return status == DKV_OK ? ops->sync(vote->file) : status;
}

int wal__vote_write(struct wal__vote *vote, const struct wal_identity *identity,
                    const struct raft_hard_state *hard)
{
    uint8_t block[WAL__BLOCK];

    for (int i = 0; i < COPIES; i++) {
        int number = (vote->older + i) % COPIES, status;

        encode(block, identity, vote->gen + 1, hard, number);
        status = write_copy(vote, block, number);
        if (status != DKV_OK)
            return status;
    }
    vote->gen++;
    vote->hard = *hard;
    return DKV_OK;
}

static int create(struct fs *fs, const struct wal_identity *identity, struct wal__vote *vote)
{
    const struct raft_hard_state nobody = {0, 0};
    int status;

    (void)fs->ops->remove(fs, VOTE_TMP);
    status = fs->ops->open(fs, VOTE_TMP, FS_READ | FS_WRITE | FS_CREATE, &vote->file);
    if (status != DKV_OK)
        return status;
    status = fs->ops->allocate(vote->file, COPIES * WAL__BLOCK);
    if (status == DKV_OK)
        status = wal__vote_write(vote, identity, &nobody);
    if (status == DKV_OK)
        status = fs->ops->rename(fs, VOTE_TMP, WAL__VOTE_PATH);
    if (status == DKV_OK)
        status = fs->ops->sync_dir(fs, "wal");
    if (status != DKV_OK)
        wal__vote_close(vote);
    return status;
}

static int choose(struct wal__vote *vote, const struct wal_identity *identity,
                  struct dkv_error *err)
{
    uint8_t block[WAL__BLOCK];
    const struct fs_ops *ops = vote->file->fs->ops;
    bool found = false;

    for (int number = 0; number < COPIES; number++) {
        struct copy copy;
        size_t len = 0;
        int status =
            ops->read(vote->file, block, sizeof(block), (uint64_t)number * WAL__BLOCK, &len);

        if (status == DKV_OK)
            status = len == sizeof(block) ? decode(block, number, &copy) : DKV_ECORRUPT;
        if (status == DKV_ENOTSUP)
            return dkv_error_set(err, WAL_EFOREIGN,
                                 WAL__VOTE_PATH ": written by a newer dkvd; use that one");
        if (status != DKV_OK)
            continue;
        if (identity != NULL && (memcmp(copy.identity.cluster_id, identity->cluster_id, 16) != 0 ||
                                 copy.identity.node_id != identity->node_id ||
                                 copy.identity.incarnation != identity->incarnation))
            return dkv_error_set(err, WAL_EFOREIGN,
                                 WAL__VOTE_PATH ": belongs to another node or cluster");
        if (!found || copy.gen > vote->gen) {
            vote->gen = copy.gen;
            vote->hard = copy.hard;
            vote->older = (number + 1) % COPIES;
        }
        found = true;
    }
    if (found)
        return DKV_OK;
    return dkv_error_set(err, WAL_EDAMAGED,
                         WAL__VOTE_PATH
                         ": both copies are damaged; without them this node could vote "
                         "twice. Put the file back, or set the node up anew");
}

int wal__vote_open(struct fs *fs, const struct wal_identity *identity, bool may_create,
                   bool may_write, struct wal__vote *vote_out, struct dkv_error *err)
{
    unsigned flags = FS_READ | (may_write ? FS_WRITE : 0);
    int status;

    *vote_out = (struct wal__vote){.gen = 0};
    status = fs->ops->open(fs, WAL__VOTE_PATH, flags, &vote_out->file);
    if (status == DKV_ENOENT && may_create) {
        status = create(fs, identity, vote_out);
        return status == DKV_OK ? DKV_OK
                                : dkv_error_set(err, status, "create " WAL__VOTE_PATH ": %s",
                                                status_text(status));
    }
    if (status != DKV_OK)
        return dkv_error_set(err, status, WAL__VOTE_PATH ": %s", status_text(status));
    status = choose(vote_out, identity, err);
    if (status != DKV_OK)
        wal__vote_close(vote_out);
    return status;
}

void wal__vote_close(struct wal__vote *vote)
{
    if (vote->file != NULL)
        (void)vote->file->fs->ops->close(vote->file);
    vote->file = NULL;
}
