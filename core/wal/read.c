/* Entries that are not in memory any more, from their segment, in a background job. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/blob.h"
#include "base/mem.h"
#include "wal/internal.h"

/* Where the entries are; made on the raft thread, carried out on the queue's. */
struct plan {
    struct wal__super super;
    raft_index first;
    uint32_t count;
    uint64_t begin, end; /* bytes of the file that hold them; a header at least */
    uint32_t *offsets;
};

static const struct wal__segment *find_segment(const struct wal *w, raft_index index)
{
    for (uint32_t i = 0; i < w->segments_count; i++) {
        const struct wal__segment *s = &w->segments[i];

        if (s->first != 0 && index >= s->first && index < s->first + s->count)
            return s;
    }
    return NULL;
}

/* Where the nth record begins, and that before it ends. */
static uint64_t begin_of(const struct wal__segment *s, uint32_t n)
{
    return n < s->count ? (uint64_t)s->offsets[n] * 8 : s->data_end;
}

static struct plan *make_plan(const struct wal *w, const struct wal_read *read)
{
    const struct wal__segment *s = find_segment(w, read->first);
    struct plan *plan;
    uint32_t from, most;

    if (s == NULL || w->config.is_volatile)
        return NULL;
    plan = xcalloc(1, sizeof(*plan));
    plan->super = s->super;
    plan->first = read->first;
    from = (uint32_t)(read->first - s->first);
    most = s->count - from;
    if (read->last - read->first + 1 < most)
        most = (uint32_t)(read->last - read->first + 1);
    plan->begin = begin_of(s, from);
    plan->count = 1;
    while (plan->count < most &&
           begin_of(s, from + plan->count + 1) - plan->begin <= read->bytes_max)
        plan->count++;
    plan->end = begin_of(s, from + plan->count);
    plan->offsets = xreallocarray(NULL, plan->count, sizeof(plan->offsets[0]));
    memcpy(plan->offsets, s->offsets + from, plan->count * sizeof(plan->offsets[0]));
    return plan;
}

static int load(struct wal_read *read, const struct plan *plan)
{
    struct fs *fs = read->wal->config.env->fs;
    char path[WAL__PATH_MAX];
    struct fs_file *file;
    size_t got = 0, len = (size_t)(plan->end - plan->begin);
    int status;

    wal__segment_path(path, &plan->super);
    status = fs->ops->open(fs, path, FS_READ, &file);
    if (status != DKV_OK)
        return status;
    read->payload = blob_try((uint32_t)len);
    status = read->payload == NULL
                 ? DKV_ENOMEM
                 : fs->ops->read(file, read->payload->bytes, len, plan->begin, &got);
    (void)fs->ops->close(file);
    return status == DKV_OK && got < len ? DKV_ECORRUPT : status;
}

/* The other place where the header stands: a start accepts an entry that has only one good one. */
static bool find_copy(struct wal_read *read, const struct plan *plan, uint64_t offset,
                      struct wal__record *record_out)
{
    struct fs *fs = read->wal->config.env->fs;
    uint64_t at = WAL__ZONE_OFFSET, end = wal__data_offset(plan->super.file_bytes);
    uint8_t block[WAL__BLOCK];
    char path[WAL__PATH_MAX];
    struct fs_file *file;
    bool found = false;
    size_t got = 0;

    wal__segment_path(path, &plan->super);
    if (fs->ops->open(fs, path, FS_READ, &file) != DKV_OK)
        return false;
    while (!found && at < end && fs->ops->read(file, block, sizeof(block), at, &got) == DKV_OK &&
           got == sizeof(block)) {
        for (size_t i = 0; i < sizeof(block) && !found; i += WAL__RECORD_HEADER)
            found = wal__record_decode(block + i, plan->super.salt, at + i, record_out) &&
                    (uint64_t)record_out->data_offset * 8 == offset;
        at += sizeof(block);
    }
    (void)fs->ops->close(file);
    return found;
}

static int parse(struct wal_read *read, const struct plan *plan)
{
    read->entries = xreallocarray(NULL, plan->count, sizeof(read->entries[0]));
    for (uint32_t i = 0; i < plan->count; i++) {
        uint64_t offset = (uint64_t)plan->offsets[i] * 8;
        const uint8_t *at = read->payload->bytes + (offset - plan->begin);
        struct wal__record r;

        if (!wal__record_decode(at, plan->super.salt, offset, &r) &&
            !find_copy(read, plan, offset, &r))
            return DKV_ECORRUPT;
        if (r.index != plan->first + i || offset + WAL__RECORD_HEADER + r.data_len > plan->end ||
            wal__payload_sum(at + WAL__RECORD_HEADER, r.data_len, r.index, r.term,
                             plan->super.salt) != r.data_sum)
            return DKV_ECORRUPT;
        read->entries[read->count++] =
            (struct raft_entry){.index = r.index,
                                .term = r.term,
                                .type = r.type,
                                .len = r.data_len,
                                .data = r.data_len == 0 ? NULL : at + WAL__RECORD_HEADER,
                                .owner = r.data_len == 0 ? NULL : read->payload};
    }
    return DKV_OK;
}

static void work(struct env_job *job)
{
    struct wal_read *read = container_of(job, struct wal_read, job);

    if (read->plan == NULL)
        return;
    read->status = load(read, read->plan);
    if (read->status == DKV_OK)
        read->status = parse(read, read->plan);
}

static void done(struct env_job *job)
{
    struct wal_read *read = container_of(job, struct wal_read, job);
    struct plan *plan = read->plan;

    if (plan != NULL) {
        free(plan->offsets);
        free(plan);
    }
    if (read->status != DKV_OK) {
        free(read->entries);
        blob_unref(read->payload);
        read->entries = NULL;
        read->payload = NULL;
        read->count = 0;
    }
    read->done(read);
}

void wal_read(struct wal *wal, struct wal_read *read)
{
    dkv_assert(read->first > 0 && read->last >= read->first);
    read->wal = wal;
    read->entries = NULL;
    read->payload = NULL;
    read->count = 0;
    read->plan = make_plan(wal, read);
    read->status = read->plan == NULL ? DKV_ENOENT : DKV_OK;
    read->job = (struct env_job){.work = work, .done = done};
    wal->config.env->ops->submit(wal->config.env, ENV_QUEUE_BACKGROUND, &read->job);
}
