/* The log's beginning and its end, and the mark in between. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/mem.h"
#include "wal/internal.h"

enum { MARK_IDLE_US = 20 * 1000 };

int wal__vote_is_missing(struct dkv_error *err)
{
    return dkv_error_set(err, WAL_EDAMAGED,
                         WAL__VOTE_PATH
                         ": missing, but this node has run before; without it, it could vote twice "
                         "and forget what it has acknowledged. Put the folder " WAL__DIR
                         " back as it was, or set the node up anew");
}

/* Both copies of vote and base are good again after a start. */
static int repair_copies(struct wal *w, const struct wal_recovery *recovery)
{
    struct wal__base base = {.index = recovery->base_index,
                             .term = recovery->base_term,
                             .first_seq = w->base_first_seq,
                             .data = recovery->base_data,
                             .data_len = recovery->base_data_len};
    int status = wal__vote_write(&w->vote, &w->config.identity, &w->vote.hard);

    if (status == DKV_OK && !w->base_is_whole)
        status = wal__base_write(w->config.env->fs, &w->config.identity, &base);
    return status;
}

static int open_folder(struct wal *w, struct wal_recovery *recovery, struct dkv_error *err)
{
    struct fs *fs = w->config.env->fs;
    bool is_new;
    int status = fs->ops->mkdir(fs, WAL__DIR);

    if (status == DKV_OK)
        status = fs->ops->sync_dir(fs, ".");
    if (status == DKV_OK)
        status = wal__is_new(fs, &is_new);
    if (status != DKV_OK)
        return dkv_error_set(err, status, WAL__DIR ": %s", status_text(status));
    status =
        wal__vote_open(fs, &w->config.identity, is_new && !w->config.was_used, true, &w->vote, err);
    if (status == DKV_ENOENT)
        return wal__vote_is_missing(err);
    if (status == DKV_OK && is_new)
        status = wal__base_create(fs, &w->config.identity);
    if (status == DKV_OK)
        status = wal__recover(w, recovery, err);
    if (status == DKV_OK)
        status = repair_copies(w, recovery);
    return status == DKV_OK ? wal__find_spares(w) : status;
}

/* What was read may be in the page cache only: before anybody relies on it, it is on disk. */
static int sync_last(struct wal *w)
{
    struct fs *fs = w->config.env->fs;
    const struct wal__segment *last = wal__last_segment(w);
    char path[WAL__PATH_MAX];
    struct fs_file *file;
    int status, closed;

    if (last == NULL)
        return DKV_OK;
    wal__segment_path(path, &last->super);
    status = fs->ops->open(fs, path, FS_READ | FS_WRITE, &file);
    if (status != DKV_OK)
        return status;
    status = fs->ops->sync(file);
    closed = fs->ops->close(file);
    if (status == DKV_OK)
        status = closed;
    return status == DKV_OK ? fs->ops->sync_dir(fs, WAL__DIR) : status;
}

int wal_open(const struct wal_config *config, struct wal **wal_out,
             struct wal_recovery *recovery_out, struct dkv_error *err)
{
    struct wal *w = xcalloc(1, sizeof(*w));
    int status = DKV_OK;

    dkv_assert(config->spare_segments <= WAL__SPARES_MAX);
    w->config = *config;
    w->next_seq = 1;
    list_init(&w->jobs);
    *recovery_out = (struct wal_recovery){0};
    if (!config->is_volatile) {
        status = open_folder(w, recovery_out, err);
        if (status == DKV_OK) {
            status = sync_last(w);
            if (status == DKV_OK)
                status = wal__first_spare(w);
            if (status != DKV_OK)
                (void)dkv_error_set(err, status, WAL__DIR ": make the log ready: %s",
                                    status_text(status));
        }
    }
    if (status != DKV_OK) {
        wal_recovery_fini(recovery_out);
        wal_close(&w);
        return status;
    }
    wal__make_spares(w);
    *wal_out = w;
    return DKV_OK;
}

/* The durable mark of a batch is in the header of the next one.  When none follows for a while, a
 * record of its own carries it, so that rot in the last batch is not taken for a torn write. */
void wal__mark(struct wal *w, uint64_t now_us)
{
    const struct raft_entry nothing = {0};
    const struct wal__segment *s = wal__last_segment(w);
    struct wal__job *job;

    if (!w->has_segment || w->marked_index == w->durable_index || !list_is_empty(&w->jobs) ||
        w->has_failed || now_us < w->idle_since_us + MARK_IDLE_US ||
        s->slots_used + 1 >= wal__slots(s->super.file_bytes) ||
        wal__pad_block(s->data_end) + WAL__BLOCK > s->super.file_bytes)
        return;
    job = wal__new_job(w);
    job->is_mark = true;
    wal__gather(w, job, WAL__RECORD_MARK, &nothing);
    w->marked_index = w->durable_index;
    wal__start_jobs(w);
}

void wal_seal(struct wal *wal)
{
    const struct raft_entry nothing = {0};
    struct wal__segment *s = wal__last_segment(wal);
    struct wal__job *job;

    if (wal->config.is_volatile || wal->has_failed || !wal->has_segment)
        return;
    while (!list_is_empty(&wal->jobs)) {
        job = container_of(wal->jobs.next, struct wal__job, link);
        if (wal->job_is_busy || !wal__prepare_job(wal, job) || wal__run_job(job) != DKV_OK)
            return; /* what was acknowledged is on disk; there is just no seal */
        list_remove(&job->link);
        if (job->last_index != 0)
            wal->durable_index = job->last_index;
        wal__free_job(job);
    }
    job = wal__new_job(wal);
    if (s->slots_used < wal__slots(s->super.file_bytes) && wal__has_room(wal, job, 0)) {
        wal__gather(wal, job, WAL__RECORD_SEAL, &nothing);
        if (wal__prepare_job(wal, job))
            (void)wal__run_job(job);
    }
    list_remove(&job->link);
    wal__free_job(job);
}

void wal_close(struct wal **wal)
{
    struct wal *w = *wal;
    struct list *node;

    if (w == NULL)
        return;
    *wal = NULL;
    while ((node = list_pop(&w->jobs)) != NULL)
        wal__free_job(container_of(node, struct wal__job, link));
    wal__free_compaction(w);
    wal__close_spares(w);
    if (w->current != NULL)
        (void)w->current->fs->ops->close(w->current);
    wal__vote_close(&w->vote);
    for (uint32_t i = 0; i < w->segments_count; i++)
        free(w->segments[i].offsets);
    free(w->segments);
    free(w);
}
