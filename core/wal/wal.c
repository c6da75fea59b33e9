#include "wal/wal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "base/mem.h"
#include "wal/internal.h"

/* --- small things --- */

void wal__segment_path(char to[WAL__PATH_MAX], const struct wal__super *super)
{
    snprintf(to, WAL__PATH_MAX, WAL__DIR "/%016llx-%016llx.seg", (unsigned long long)super->seq,
             (unsigned long long)super->first_index);
}

int wal__write(struct fs_file *file, const void *data, size_t len, uint64_t offset)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};

    return len == 0 ? DKV_OK : file->fs->ops->write(file, &iov, 1, offset);
}

void wal__fail(struct wal *w, const char *what, int status)
{
    char why[160];

    if (w->has_failed)
        return;
    w->has_failed = true;
    snprintf(why, sizeof(why),
             "write-ahead log: %s: %s; what was written last may be lost, so nothing is tried "
             "again. Look "
             "at the disk, then start dkvd again",
             what, status_text(status));
    w->config.env->ops->fail_stop(w->config.env, EXIT_CODE_IO, why);
}

/* Another node may allow larger values than this one can hold. */
static void fail_size(struct wal *w, const struct raft_entry *entry)
{
    char why[200];

    w->has_failed = true;
    snprintf(
        why, sizeof(why),
        "entry %llu has %u bytes and does not fit into a log segment; set wal.segment_size to that "
        "of the other nodes",
        (unsigned long long)entry->index, entry->len);
    w->config.env->ops->fail_stop(w->config.env, EXIT_CODE_CONFIG, why);
}

/* --- segments in memory --- */

struct wal__segment *wal__last_segment(struct wal *w)
{
    return w->segments_count == 0 ? NULL : &w->segments[w->segments_count - 1];
}

struct wal__segment *wal__add_segment(struct wal *w, const struct wal__super *super)
{
    if (w->segments_count == w->segments_cap) {
        w->segments_cap = w->segments_cap == 0 ? 16 : w->segments_cap * 2;
        w->segments = xreallocarray(w->segments, w->segments_cap, sizeof(w->segments[0]));
    }
    w->segments[w->segments_count] =
        (struct wal__segment){.super = *super, .data_end = wal__data_offset(super->file_bytes)};
    return &w->segments[w->segments_count++];
}

void wal__segment_add(struct wal__segment *s, raft_index index, uint64_t offset)
{
    if (s->first == 0)
        s->first = index;
    dkv_assert(index == s->first + s->count);
    if (s->count == s->offsets_cap) {
        s->offsets_cap = s->offsets_cap == 0 ? 256 : s->offsets_cap * 2;
        s->offsets = xreallocarray(s->offsets, s->offsets_cap, sizeof(s->offsets[0]));
    }
    s->offsets[s->count++] = (uint32_t)(offset / 8);
}

void wal__segment_cut(struct wal__segment *s, raft_index from)
{
    if (s->first == 0 || s->first + s->count <= from)
        return;
    s->count = from > s->first ? (uint32_t)(from - s->first) : 0;
    if (s->count == 0)
        s->first = 0;
}

static uint64_t segment_bytes_after(const struct wal__segment *s, raft_index index)
{
    if (s->first == 0 || s->count == 0 || index >= s->first + s->count - 1)
        return 0;
    return s->data_end - (uint64_t)s->offsets[index < s->first ? 0 : index + 1 - s->first] * 8;
}

uint64_t wal_bytes_after(const struct wal *wal, raft_index index)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < wal->segments_count; i++)
        bytes += segment_bytes_after(&wal->segments[i], index);
    return bytes;
}

bool wal_is_full(const struct wal *wal)
{
    return wal->is_full;
}

/* --- gathering: raft thread --- */

struct wal__job *wal__new_job(struct wal *w)
{
    struct wal__job *job = xcalloc(1, sizeof(*job));

    job->wal = w;
    list_push(&w->jobs, &job->link);
    return job;
}

void wal__free_job(struct wal__job *job)
{
    free(job->records);
    buf_fini(&job->data);
    buf_fini(&job->slots);
    buf_fini(&job->base_data);
    free(job);
}

/* The job that still takes records, made if need be. */
static struct wal__job *open_job(struct wal *w)
{
    struct wal__job *last;

    if (list_is_empty(&w->jobs))
        return wal__new_job(w);
    last = container_of(w->jobs.prev, struct wal__job, link);
    if (w->job_is_busy && w->jobs.next == w->jobs.prev)
        return wal__new_job(w);
    return last->is_reset || last->is_mark || last->records_count >= WAL__JOB_RECORDS_MAX
               ? wal__new_job(w)
               : last;
}

/* A segment of its own from first_index on; what earlier ones have from there is void. */
static struct wal__job *roll(struct wal *w, struct wal__job *job, raft_index first_index)
{
    struct env *env = w->config.env;
    struct wal__super super = {.identity = w->config.identity,
                               .seq = w->next_seq++,
                               .first_index = first_index,
                               .salt = env->ops->random(env),
                               .durable = w->durable_index,
                               .file_bytes = w->config.segment_bytes};

    if (job->records_count > 0 || job->opens_segment)
        job = wal__new_job(w);
    if (super.durable >= first_index)
        super.durable = first_index - 1;
    for (uint32_t i = 0; i < w->segments_count; i++)
        wal__segment_cut(&w->segments[i], first_index);
    job->opens_segment = job->needs_spare = true;
    job->super = super;
    (void)wal__add_segment(w, &super);
    w->has_segment = true;
    w->chain = 0;
    return job;
}

bool wal__has_room(const struct wal *w, const struct wal__job *job, uint32_t len)
{
    const struct wal__segment *s = &w->segments[w->segments_count - 1];
    uint64_t at = job->records_count == 0 ? wal__pad_block(s->data_end) : s->data_end;

    return at + WAL__RECORD_HEADER + wal__pad8(len) <= s->super.file_bytes &&
           s->slots_used < wal__slots(s->super.file_bytes);
}

static struct wal__record *add_record(struct wal__job *job)
{
    if (job->records_count == job->records_cap) {
        job->records_cap = job->records_cap == 0 ? 64 : job->records_cap * 2;
        job->records = xreallocarray(job->records, job->records_cap, sizeof(job->records[0]));
    }
    return &job->records[job->records_count++];
}

void wal__gather(struct wal *w, struct wal__job *job, uint8_t type, const struct raft_entry *entry)
{
    struct wal__segment *s = wal__last_segment(w);
    uint64_t padded = wal__pad8(entry->len);
    uint8_t *to;

    if (job->records_count == 0) {
        s->data_end = wal__pad_block(s->data_end);
        job->data_offset = s->data_end;
        job->slot = s->slots_used;
        job->chain_before = w->chain;
    }
    *add_record(job) =
        (struct wal__record){.type = type,
                             .data_len = entry->len,
                             .index = entry->index,
                             .term = entry->term,
                             .data_offset = (uint32_t)(s->data_end / 8),
                             .data_sum = wal__payload_sum(entry->data, entry->len, entry->index,
                                                          entry->term, s->super.salt)};
    w->chain = wal__chain(w->chain, &job->records[job->records_count - 1]);
    job->records[job->records_count - 1].chain = w->chain;
    to = buf_reserve(&job->data, WAL__RECORD_HEADER + padded);
    if (entry->len > 0)
        memcpy(to + WAL__RECORD_HEADER, entry->data, entry->len);
    memset(to + WAL__RECORD_HEADER + entry->len, 0, padded - entry->len);
    job->data.len += WAL__RECORD_HEADER + padded;
    if (type < WAL__RECORD_MARK)
        wal__segment_add(s, entry->index, s->data_end);
    s->data_end += WAL__RECORD_HEADER + padded;
    s->slots_used++;
}

static struct wal__job *gather_entries(struct wal *w, struct wal__job *job,
                                       const struct wal_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct raft_entry *entry = &batch->entries[i];

        if (!w->has_segment || !wal__has_room(w, job, entry->len))
            job = roll(w, job, entry->index);
        else if (job->records_count >= WAL__JOB_RECORDS_MAX)
            job = wal__new_job(w);
        if (!wal__has_room(w, job, entry->len)) {
            fail_size(w, entry);
            return job;
        }
        wal__gather(w, job, (uint8_t)entry->type, entry);
        w->last_index = job->last_index = entry->index;
    }
    return job;
}

void wal_submit(struct wal *wal, const struct wal_batch *batch)
{
    struct wal__job *job = open_job(wal);

    dkv_assert(batch->ticket > 0);
    if (wal->config.is_volatile) {
        job->ticket = batch->ticket;
        wal__start_jobs(wal);
        return;
    }
    if (batch->hard != NULL) {
        /* Before the entries of this batch, after those of earlier ones. */
        if (job->records_count > 0)
            job = wal__new_job(wal);
        job->has_hard = true;
        job->hard = *batch->hard;
    }
    if (batch->truncate_from != 0) {
        dkv_assert(batch->truncate_from <= wal->last_index);
        job = roll(wal, job, batch->truncate_from);
        wal->last_index = job->last_index = batch->truncate_from - 1;
    }
    job = gather_entries(wal, job, batch);
    job->ticket = batch->ticket;
    wal__start_jobs(wal);
}

void wal_submit_reset(struct wal *wal, raft_index index, raft_term term, const void *base_data,
                      uint32_t base_data_len)
{
    struct wal__job *job = wal__new_job(wal);

    dkv_assert(base_data_len <= WAL_BASE_DATA_MAX);
    job->is_reset = true;
    wal->resets++;
    job->base_index = index;
    job->base_term = term;
    buf_add(&job->base_data, base_data, base_data_len);
    for (uint32_t i = 0; i < wal->segments_count; i++) {
        wal->segments[i].first = 0;
        wal->segments[i].count = 0;
    }
    job = roll(wal, job, index + 1);
    wal->last_index = job->last_index = index;
    wal__start_jobs(wal);
}

/* --- writing: the log queue --- */

static void encode(struct wal__job *job, raft_index durable, uint32_t batch_seq, uint64_t salt)
{
    size_t at = 0;

    buf_reset(&job->slots);
    (void)buf_reserve(&job->slots, (size_t)job->records_count * WAL__RECORD_HEADER);
    for (uint32_t i = 0; i < job->records_count; i++) {
        struct wal__record *r = &job->records[i];
        uint64_t slot_at = WAL__ZONE_OFFSET + (uint64_t)(job->slot + i) * WAL__RECORD_HEADER;

        r->batch_pos = (uint16_t)i;
        r->batch_count = (uint16_t)job->records_count;
        r->batch_seq = batch_seq;
        r->durable_mark = durable;
        wal__record_encode(job->data.data + at, r, salt, (uint64_t)r->data_offset * 8);
        wal__record_encode(job->slots.data + job->slots.len, r, salt, slot_at);
        job->slots.len += WAL__RECORD_HEADER;
        at += WAL__RECORD_HEADER + wal__pad8(r->data_len);
    }
}

/* In the order in which failures are harmless: a spare becomes a segment only when all that it
 * begins with is on disk. */
static int open_segment(struct wal__job *job)
{
    uint8_t block[WAL__BLOCK];
    int status = DKV_OK;

    job->super.vote_gen = job->wal->vote.gen;
    wal__super_encode(block, &job->super);
    for (int copy = 0; copy < 2 && status == DKV_OK; copy++)
        status = wal__write(job->file, block, sizeof(block), (uint64_t)copy * WAL__BLOCK);
    return status;
}

static int name_segment(struct wal__job *job)
{
    struct fs *fs = job->file->fs;
    char from[WAL__PATH_MAX], to[WAL__PATH_MAX];
    int status;

    wal__spare_path(from, job->spare_id);
    wal__segment_path(to, &job->super);
    status = fs->ops->rename(fs, from, to);
    return status == DKV_OK ? fs->ops->sync_dir(fs, WAL__DIR) : status;
}

static int write_records(struct wal__job *job)
{
    int status = wal__write(job->file, job->data.data, job->data.len, job->data_offset);

    if (status == DKV_OK)
        status = wal__write(job->file, job->slots.data, job->slots.len,
                            WAL__ZONE_OFFSET + (uint64_t)job->slot * WAL__RECORD_HEADER);
    return status;
}

static int write_base(struct wal__job *job)
{
    struct wal__base base = {.index = job->base_index,
                             .term = job->base_term,
                             .first_seq = job->super.seq,
                             .data = job->base_data.data,
                             .data_len = (uint32_t)job->base_data.len};

    return wal__base_write(job->file->fs, &job->wal->config.identity, &base);
}

int wal__run_job(struct wal__job *job)
{
    int status = DKV_OK;

    job->what = "write the vote";
    if (job->has_hard)
        status = wal__vote_write(&job->wal->vote, &job->wal->config.identity, &job->hard);
    if (status != DKV_OK || (job->records_count == 0 && !job->opens_segment))
        return status;
    job->what = "write";
    if (job->opens_segment)
        status = open_segment(job);
    if (status == DKV_OK)
        status = write_records(job);
    if (status == DKV_OK && !job->is_mark) {
        job->what = "sync";
        status = job->file->fs->ops->sync(job->file);
    }
    /* Before the segment has its name: with the old base it would begin behind a gap. */
    if (status == DKV_OK && job->is_reset) {
        job->what = "begin anew after a snapshot";
        status = write_base(job);
    }
    if (status == DKV_OK && job->opens_segment) {
        job->what = "open a segment";
        status = name_segment(job);
    }
    return status;
}

static void work(struct env_job *base)
{
    struct wal__job *job = container_of(base, struct wal__job, job);

    job->status = job->wal->config.is_volatile ? DKV_OK : wal__run_job(job);
}

static void done(struct env_job *base)
{
    struct wal__job *job = container_of(base, struct wal__job, job);
    struct wal *w = job->wal;

    w->job_is_busy = false;
    list_remove(&job->link);
    if (job->status != DKV_OK) {
        wal__fail(w, job->what, job->status);
        wal__free_job(job);
        return;
    }
    if (job->last_index != 0)
        w->durable_index = job->last_index;
    w->idle_since_us = w->config.env->ops->now_us(w->config.env);
    if (job->is_reset) {
        w->base_index = job->base_index;
        w->resets--;
        wal__remove_before(w, job->super.seq);
        w->config.on_reset(w->config.ctx);
    }
    if (job->ticket != 0)
        w->config.on_durable(w->config.ctx, job->ticket);
    wal__free_job(job);
    wal__start_jobs(w);
}

static bool give_file(struct wal *w, struct wal__job *job)
{
    struct wal__spare spare;
    int status = DKV_OK;

    if (job->needs_spare && !w->config.is_volatile) {
        if (!wal__take_spare(w, &spare)) {
            wal__make_spares(w);
            return false;
        }
        /* The one before was written by jobs that are done. */
        if (w->current != NULL)
            status = w->current->fs->ops->close(w->current);
        w->current = spare.file;
        if (status != DKV_OK) {
            wal__fail(w, "close a segment", status);
            return false;
        }
        job->spare_id = spare.id;
        job->needs_spare = false;
        wal__make_spares(w);
    }
    job->file = w->current;
    return true;
}

/* False when it has to wait for a spare segment. */
bool wal__prepare_job(struct wal *w, struct wal__job *job)
{
    /* Both replace the base file, and the reset's is the newer one. */
    if (job->is_reset && w->compaction != NULL)
        return false;
    if (!give_file(w, job))
        return false;
    if (job->opens_segment) {
        w->current_salt = job->super.salt;
        w->batch_seq = 0;
        if (w->durable_index >= job->super.first_index)
            w->durable_index = job->super.first_index - 1;
    }
    if (job->records_count > 0)
        encode(job, w->durable_index, ++w->batch_seq, w->current_salt);
    return true;
}

void wal__start_jobs(struct wal *w)
{
    struct wal__job *job;

    if (w->job_is_busy || w->has_failed || list_is_empty(&w->jobs))
        return;
    job = container_of(w->jobs.next, struct wal__job, link);
    if (!wal__prepare_job(w, job))
        return;
    w->job_is_busy = true;
    job->job = (struct env_job){.work = work, .done = done};
    w->config.env->ops->submit(w->config.env, ENV_QUEUE_LOG, &job->job);
}
