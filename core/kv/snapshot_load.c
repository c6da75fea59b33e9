#include <xxhash.h>

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/mem.h"
#include "kv/snapshot_format.h"

/* --- the file --- */

static int read_exactly(struct fs_file *file, void *to, size_t len, uint64_t offset,
                        const char *what, struct dkv_error *err)
{
    size_t got = 0;
    int status = file->fs->ops->read(file, to, len, offset, &got);

    if (status != DKV_OK)
        return dkv_error_set(err, status, "read %s at offset %llu: %s", what,
                             (unsigned long long)offset, status_text(status));
    if (got != len)
        return dkv_error_set(err, DKV_ECORRUPT, "file ends inside the %s at offset %llu", what,
                             (unsigned long long)offset);
    return DKV_OK;
}

static void decode_header(const uint8_t *at, struct kv_snapshot_info *info_out)
{
    memcpy(info_out->cluster_id, at + 16, sizeof(info_out->cluster_id));
    info_out->index = get_u64(at + 32);
    info_out->term = get_u64(at + 40);
    info_out->digest.low = get_u64(at + 48);
    info_out->digest.high = get_u64(at + 56);
    info_out->keys = get_u64(at + 64);
    info_out->members_len = get_u32(at + 76);
}

int snapshot__read_header(struct fs_file *file, struct kv_snapshot_info *info_out,
                          uint64_t *header_len_out, struct dkv_error *err)
{
    uint8_t header[SNAPSHOT__HEADER_FIXED + KV_SNAPSHOT_MEMBERS_MAX + 8];
    uint32_t len;
    int status = read_exactly(file, header, SNAPSHOT__HEADER_FIXED, 0, "header", err);

    if (status != DKV_OK)
        return status;
    if (memcmp(header, SNAPSHOT__MAGIC, 8) != 0)
        return dkv_error_set(err, DKV_ECORRUPT, "not a dkv snapshot (wrong magic)");
    if (get_u16(header + 8) != KV_SNAPSHOT_MAJOR)
        return dkv_error_set(err, DKV_ENOTSUP, "snapshot format %u, this daemon reads %u",
                             get_u16(header + 8), KV_SNAPSHOT_MAJOR);
    len = get_u32(header + 12);
    if (get_u32(header + 76) > KV_SNAPSHOT_MEMBERS_MAX ||
        len != SNAPSHOT__HEADER_FIXED + get_u32(header + 76) + 8)
        return dkv_error_set(err, DKV_ECORRUPT, "header lengths do not fit");
    status = read_exactly(file, header, len, 0, "header", err);
    if (status != DKV_OK)
        return status;
    if (get_u64(header + len - 8) != XXH3_64bits(header, len - 8))
        return dkv_error_set(err, DKV_ECORRUPT, "header checksum does not match");
    decode_header(header, info_out);
    memcpy(info_out->members, header + SNAPSHOT__HEADER_FIXED, info_out->members_len);
    *header_len_out = len;
    return file->fs->ops->size(file, &info_out->bytes);
}

bool snapshot__next_record(const uint8_t **at, const uint8_t *end, struct dkv_slice *key_out,
                           struct dkv_slice *value_out, bool *bad_out)
{
    struct decoder d;

    if (*at == end)
        return false;
    decoder_init(&d, *at, (size_t)(end - *at));
    key_out->len = decoder_u16(&d);
    (void)decoder_u16(&d);
    value_out->len = decoder_u32(&d);
    key_out->data = decoder_bytes(&d, key_out->len);
    value_out->data = decoder_bytes(&d, value_out->len);
    *bad_out = d.failed || key_out->len == 0;
    *at = d.at;
    return !*bad_out;
}

struct walk {
    struct fs_file *file;
    uint64_t offset, chunks;
    uint8_t *payload;
    size_t payload_cap;
    XXH3_state_t *sums;
};

static int walk_chunk(struct walk *w, const uint8_t *header, snapshot__chunk_fn *each, void *ctx,
                      struct dkv_error *err)
{
    uint32_t len = get_u32(header + 4);
    int status;

    if (len == 0 || len > SNAPSHOT__CHUNK_MAX)
        return dkv_error_set(err, DKV_ECORRUPT, "chunk %llu has an impossible length",
                             (unsigned long long)w->chunks);
    if (len > w->payload_cap) {
        free(w->payload);
        w->payload = mem_try(len);
        w->payload_cap = len;
        if (w->payload == NULL)
            return dkv_error_set(err, DKV_ENOMEM, "no memory for a chunk of %u bytes", len);
    }
    status =
        read_exactly(w->file, w->payload, len, w->offset + SNAPSHOT__CHUNK_HEADER, "chunk", err);
    if (status != DKV_OK)
        return status;
    if (get_u64(header + 8) != XXH3_64bits_withSeed(w->payload, len, w->chunks))
        return dkv_error_set(err, DKV_ECORRUPT,
                             "chunk %llu at offset %llu: checksum does not match",
                             (unsigned long long)w->chunks, (unsigned long long)w->offset);
    (void)XXH3_64bits_update(w->sums, header + 8, 8);
    w->chunks++;
    w->offset += SNAPSHOT__CHUNK_HEADER + len;
    status = each(ctx, w->payload, len);
    if (status != DKV_OK)
        return dkv_error_set(err, status, "chunk %llu: %s", (unsigned long long)(w->chunks - 1),
                             status_text(status));
    return DKV_OK;
}

static int walk_end(const struct walk *w, const struct kv_snapshot_info *info,
                    uint64_t *records_out, struct dkv_error *err)
{
    uint8_t end[SNAPSHOT__END];
    int status = read_exactly(w->file, end, sizeof(end), w->offset, "end", err);

    if (status != DKV_OK)
        return status;
    if (get_u32(end + 4) != 0 || get_u64(end + 8) != w->chunks ||
        get_u64(end + 24) != XXH3_64bits_digest(w->sums) ||
        w->offset + SNAPSHOT__END != info->bytes)
        return dkv_error_set(err, DKV_ECORRUPT, "the end does not fit the %llu chunks before it",
                             (unsigned long long)w->chunks);
    *records_out = get_u64(end + 16);
    return DKV_OK;
}

int snapshot__walk(struct fs_file *file, const struct kv_snapshot_info *info, uint64_t header_len,
                   snapshot__chunk_fn *each, void *ctx, uint64_t *records_out,
                   struct dkv_error *err)
{
    struct walk w = {.file = file, .offset = header_len, .sums = XXH3_createState()};
    uint8_t header[SNAPSHOT__CHUNK_HEADER];
    int status;

    dkv_assert(w.sums != NULL);
    (void)XXH3_64bits_reset(w.sums);
    for (;;) {
        status = read_exactly(file, header, sizeof(header), w.offset, "chunk header", err);
        if (status != DKV_OK)
            break;
        if (get_u32(header) == SNAPSHOT__END_MAGIC) {
            status = walk_end(&w, info, records_out, err);
            break;
        }
        if (get_u32(header) != SNAPSHOT__CHUNK_MAGIC) {
            status = dkv_error_set(err, DKV_ECORRUPT, "no chunk at offset %llu",
                                   (unsigned long long)w.offset);
            break;
        }
        status = walk_chunk(&w, header, each, ctx, err);
        if (status != DKV_OK)
            break;
    }
    free(w.payload);
    (void)XXH3_freeState(w.sums);
    return status;
}

static int open_snapshot(struct fs *fs, const char *path, struct fs_file **file_out,
                         struct kv_snapshot_info *info_out, uint64_t *header_len_out,
                         struct dkv_error *err)
{
    int status = fs->ops->open(fs, path, FS_READ, file_out);

    if (status != DKV_OK)
        return dkv_error_set(err, status, "open: %s", status_text(status));
    status = snapshot__read_header(*file_out, info_out, header_len_out, err);
    if (status != DKV_OK)
        (void)fs->ops->close(*file_out);
    return status;
}

int kv_snapshot_read_info(struct fs *fs, const char *path, struct kv_snapshot_info *info_out,
                          struct dkv_error *err)
{
    struct fs_file *file;
    uint64_t header_len;
    int status = open_snapshot(fs, path, &file, info_out, &header_len, err);

    if (status == DKV_OK)
        (void)fs->ops->close(file);
    else
        (void)dkv_error_wrap(err, "snapshot %s", path);
    return status;
}

/* --- verify and restore --- */

struct load {
    struct dkv_restore *restore; /* NULL: only verify */
    struct dkv_mutation *puts;
    size_t puts_cap;
    uint64_t records, keys;
    struct kv_digest digest;
};

static int load_chunk(void *ctx, const uint8_t *payload, size_t len)
{
    struct load *l = ctx;
    const uint8_t *at = payload, *end = payload + len;
    struct dkv_slice key, value;
    bool bad = false;
    size_t count = 0;
    struct dkv_restore_write write;
    int status;

    while (snapshot__next_record(&at, end, &key, &value, &bad)) {
        const uint8_t *name = key.data;

        if (name[0] == KV_SPACE_USER) {
            struct dkv_slice user_key = {name + 1, key.len - 1};

            kv_digest_add(&l->digest, kv_digest_of(user_key, value));
            l->keys++;
        }
        if (count == l->puts_cap) {
            l->puts_cap = l->puts_cap == 0 ? 1024 : l->puts_cap * 2;
            l->puts = xreallocarray(l->puts, l->puts_cap, sizeof(*l->puts));
        }
        l->puts[count++] = (struct dkv_mutation){.kind = DKV_PUT, .key = key, .value = value};
    }
    if (bad)
        return DKV_ECORRUPT;
    l->records += count;
    if (l->restore == NULL)
        return DKV_OK;
    write = (struct dkv_restore_write){.puts = l->puts, .count = count};
    status = l->restore->store->ops->restore_write(l->restore, &write);
    return status == DKV_PENDING ? DKV_ENOTSUP : status;
}

static int load_all(struct fs_file *file, struct load *l, const struct kv_snapshot_info *info,
                    uint64_t header_len, struct dkv_error *err)
{
    uint64_t records;
    int status = snapshot__walk(file, info, header_len, load_chunk, l, &records, err);

    if (status != DKV_OK)
        return status;
    if (records != l->records || info->keys != l->keys)
        return dkv_error_set(err, DKV_ECORRUPT,
                             "holds %llu records and %llu keys, says %llu and %llu",
                             (unsigned long long)l->records, (unsigned long long)l->keys,
                             (unsigned long long)records, (unsigned long long)info->keys);
    if (l->digest.low != info->digest.low || l->digest.high != info->digest.high)
        return dkv_error_set(err, DKV_ECORRUPT, "the digest of its records is not the one it says");
    return DKV_OK;
}

int kv_snapshot_verify(struct fs *fs, const char *path, struct kv_snapshot_info *info_out,
                       struct dkv_error *err)
{
    struct load l = {0};
    struct fs_file *file;
    uint64_t header_len;
    int status = open_snapshot(fs, path, &file, info_out, &header_len, err);

    if (status == DKV_OK) {
        status = load_all(file, &l, info_out, header_len, err);
        (void)fs->ops->close(file);
    }
    free(l.puts);
    if (status != DKV_OK)
        return dkv_error_wrap(err, "snapshot %s", path);
    return DKV_OK;
}

static int commit_restore(struct dkv_restore *restore, struct dkv_error *err)
{
    struct dkv_op op = {0};
    int status = restore->store->ops->restore_commit(restore, &op);

    if (status == DKV_PENDING)
        status = DKV_ENOTSUP;
    if (status != DKV_OK)
        return dkv_error_set(err, status, "commit: %s", status_text(status));
    return DKV_OK;
}

int kv_snapshot_restore(struct fs *fs, const char *path, struct dkv_store *store,
                        struct dkv_error *err)
{
    struct kv_snapshot_info *info = xmalloc(sizeof(*info));
    struct load l = {0};
    struct fs_file *file = NULL;
    uint64_t header_len;
    int status = open_snapshot(fs, path, &file, info, &header_len, err);

    if (status != DKV_OK)
        goto done;
    status = store->ops->restore_open(store, info->index, &l.restore);
    if (status != DKV_OK) {
        (void)dkv_error_set(err, status, "begin: %s", status_text(status));
        goto done_file;
    }
    status = load_all(file, &l, info, header_len, err);
    if (status == DKV_OK)
        status = commit_restore(l.restore, err);
    else
        store->ops->restore_abort(l.restore);
done_file:
    (void)fs->ops->close(file);
done:
    free(l.puts);
    free(info);
    if (status != DKV_OK)
        return dkv_error_wrap(err, "restore snapshot %s", path);
    return DKV_OK;
}
