#include <xxhash.h>

#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/list.h"
#include "kv/snapshot_format.h"

struct saver {
    struct dkv_snapshot_read read;
    struct fs_file *file;
    uint64_t offset;
    struct buf chunk; /* chunk header and payload */
    uint64_t chunks, records;
    XXH3_state_t *sums;
    int status;
};

static int write_all(struct saver *s, const void *data, size_t len)
{
    /* iovec has no const; the bytes are only read. */
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    int status = s->file->fs->ops->write(s->file, &iov, 1, s->offset);

    s->offset += len;
    return status;
}

static void begin_chunk(struct saver *s)
{
    buf_reset(&s->chunk);
    (void)buf_reserve(&s->chunk, SNAPSHOT__CHUNK_HEADER);
    s->chunk.len = SNAPSHOT__CHUNK_HEADER;
}

static int end_chunk(struct saver *s)
{
    size_t len = s->chunk.len - SNAPSHOT__CHUNK_HEADER;
    uint64_t sum;

    if (len == 0)
        return DKV_OK;
    sum = XXH3_64bits_withSeed(s->chunk.data + SNAPSHOT__CHUNK_HEADER, len, s->chunks);
    put_u32(s->chunk.data, SNAPSHOT__CHUNK_MAGIC);
    put_u32(s->chunk.data + 4, (uint32_t)len);
    put_u64(s->chunk.data + 8, sum);
    (void)XXH3_64bits_update(s->sums, s->chunk.data + 8, 8);
    s->chunks++;
    return write_all(s, s->chunk.data, s->chunk.len);
}

static int add_record(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct saver *s = container_of(read, struct saver, read.read);

    buf_add_u16(&s->chunk, (uint16_t)key.len);
    buf_add_u16(&s->chunk, 0);
    buf_add_u32(&s->chunk, (uint32_t)value.len);
    buf_add(&s->chunk, key.data, key.len);
    buf_add(&s->chunk, value.data, value.len);
    s->records++;
    if (s->chunk.len < SNAPSHOT__CHUNK_TARGET)
        return 0;
    s->status = end_chunk(s);
    begin_chunk(s);
    return s->status != DKV_OK;
}

static int save_header(struct saver *s, const struct kv_snapshot_info *info)
{
    struct buf h = {0};
    int status;

    buf_add(&h, SNAPSHOT__MAGIC, 8);
    buf_add_u16(&h, KV_SNAPSHOT_MAJOR);
    buf_add_u16(&h, 0);
    buf_add_u32(&h, SNAPSHOT__HEADER_FIXED + info->members_len + 8);
    buf_add(&h, info->cluster_id, sizeof(info->cluster_id));
    buf_add_u64(&h, info->index);
    buf_add_u64(&h, info->term);
    buf_add_u64(&h, info->digest.low);
    buf_add_u64(&h, info->digest.high);
    buf_add_u64(&h, info->keys);
    buf_add_u32(&h, 0);
    buf_add_u32(&h, info->members_len);
    dkv_assert(h.len == SNAPSHOT__HEADER_FIXED);
    buf_add(&h, info->members, info->members_len);
    buf_add_u64(&h, XXH3_64bits(h.data, h.len));
    status = write_all(s, h.data, h.len);
    buf_fini(&h);
    return status;
}

static int save_records(struct saver *s, struct dkv_snapshot *view)
{
    begin_chunk(s);
    s->read.read.emit = add_record;
    s->read.bytes_max = SNAPSHOT__CHUNK_TARGET;
    do {
        int status = view->store->ops->snapshot_read(view, &s->read);

        if (status == DKV_OK)
            status = s->status;
        /* Stores that answer later need an event loop on this thread; they have none yet. */
        if (status == DKV_PENDING)
            status = DKV_ENOTSUP;
        if (status != DKV_OK)
            return status;
    } while (!s->read.end);
    return end_chunk(s);
}

static int save_end(struct saver *s)
{
    uint8_t end[SNAPSHOT__END];

    put_u32(end, SNAPSHOT__END_MAGIC);
    put_u32(end + 4, 0);
    put_u64(end + 8, s->chunks);
    put_u64(end + 16, s->records);
    put_u64(end + 24, XXH3_64bits_digest(s->sums));
    return write_all(s, end, sizeof(end));
}

int kv_snapshot_save(struct fs *fs, const char *path, const struct kv_snapshot_info *info,
                     struct dkv_snapshot *view, struct dkv_error *err)
{
    struct saver s = {.status = DKV_OK};
    int status, closed;

    dkv_assert(info->members_len <= KV_SNAPSHOT_MEMBERS_MAX);
    status = fs->ops->open(fs, path, FS_WRITE | FS_CREATE, &s.file);
    if (status != DKV_OK)
        return dkv_error_set(err, status, "create snapshot %s: %s", path, status_text(status));
    s.sums = XXH3_createState();
    dkv_assert(s.sums != NULL);
    (void)XXH3_64bits_reset(s.sums);
    status = save_header(&s, info);
    if (status == DKV_OK)
        status = save_records(&s, view);
    if (status == DKV_OK)
        status = save_end(&s);
    if (status == DKV_OK)
        status = fs->ops->sync(s.file);
    closed = fs->ops->close(s.file);
    if (status == DKV_OK)
        status = closed;
    (void)XXH3_freeState(s.sums);
    buf_fini(&s.chunk);
    if (status != DKV_OK)
        return dkv_error_set(err, status, "write snapshot %s: %s", path, status_text(status));
    return DKV_OK;
}
