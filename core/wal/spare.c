/* Segments made in advance: allocated, filled with zeros and synced in the background in small
 * steps, so that a sync of the log is never a sync of file-system metadata, never waits long for
 * them, and never meets a full disk.  Where a segment was cut off the log, the next one is made
 * from its file: a log that is cut regularly needs no new space, even on a disk that is full. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wal/internal.h"

enum { STEP_BYTES = 1 << 20, RETRY_US = 1000 * 1000 };

static const uint8_t zeros[STEP_BYTES];

void wal__spare_path(char to[WAL__PATH_MAX], uint64_t id)
{
    snprintf(to, WAL__PATH_MAX, WAL__DIR "/%016llx.spare", (unsigned long long)id);
}

static void making_path(char to[WAL__PATH_MAX], uint64_t id)
{
    snprintf(to, WAL__PATH_MAX, WAL__DIR "/%016llx.making", (unsigned long long)id);
}

void wal__recycled_path(char to[WAL__PATH_MAX], uint64_t id)
{
    snprintf(to, WAL__PATH_MAX, WAL__DIR "/%016llx.old", (unsigned long long)id);
}

static int reopen(struct fs *fs, struct wal__spare *spare)
{
    char from[WAL__PATH_MAX], to[WAL__PATH_MAX];
    int status;

    wal__recycled_path(from, spare->id);
    making_path(to, spare->id);
    status = fs->ops->rename(fs, from, to);
    return status == DKV_OK ? fs->ops->open(fs, to, FS_READ | FS_WRITE, &spare->file) : status;
}

static int create(struct fs *fs, uint64_t bytes, struct wal__spare *spare)
{
    char path[WAL__PATH_MAX];
    int status;

    making_path(path, spare->id);
    status = fs->ops->open(fs, path, FS_READ | FS_WRITE | FS_CREATE, &spare->file);
    if (status != DKV_OK)
        return status;
    status = fs->ops->allocate(spare->file, bytes);
    if (status != DKV_OK) {
        (void)fs->ops->close(spare->file);
        (void)fs->ops->remove(fs, path);
        spare->file = NULL;
    }
    return status;
}

static int finish(struct fs *fs, struct wal__spare *spare)
{
    char from[WAL__PATH_MAX], to[WAL__PATH_MAX];
    int status = fs->ops->sync(spare->file);

    making_path(from, spare->id);
    wal__spare_path(to, spare->id);
    return status == DKV_OK ? fs->ops->rename(fs, from, to) : status;
}

/* One step: the file, a megabyte of zeros, or the end. */
static int step(struct fs *fs, uint64_t bytes, struct wal__spare *spare, uint64_t *offset)
{
    size_t len;
    int status;

    if (spare->file == NULL)
        return spare->is_recycled ? reopen(fs, spare) : create(fs, bytes, spare);
    len = bytes - *offset < STEP_BYTES ? (size_t)(bytes - *offset) : STEP_BYTES;
    if (len == 0)
        return finish(fs, spare);
    /* Synced step by step: one sync of all of it would hold up those of the log. */
    status = wal__write(spare->file, zeros, len, *offset);
    *offset += len;
    return status == DKV_OK ? fs->ops->sync(spare->file) : status;
}

static void spare_work(struct env_job *job)
{
    struct wal *w = container_of(job, struct wal, spare_job);
    bool is_last = w->making.file != NULL && w->spare_offset == w->config.segment_bytes;

    w->spare_status =
        step(w->config.env->fs, w->config.segment_bytes, &w->making, &w->spare_offset);
    w->spare_is_made = w->spare_status == DKV_OK && is_last;
}

static void discard(struct fs *fs, struct wal__spare *spare)
{
    char path[WAL__PATH_MAX];

    if (spare->file != NULL)
        (void)fs->ops->close(spare->file);
    making_path(path, spare->id);
    (void)fs->ops->remove(fs, path);
    wal__recycled_path(path, spare->id);
    if (spare->is_recycled)
        (void)fs->ops->remove(fs, path); /* which of the two names it has depends on what failed */
    *spare = (struct wal__spare){0};     /* the next try may have an old segment to use */
}

static void give_up(struct wal *w)
{
    /* No space, or no descriptor: both pass. */
    if (w->spare_status != DKV_ENOSPC && w->spare_status != DKV_EUNAVAIL) {
        wal__fail(w, "make a spare segment", w->spare_status);
        return;
    }
    discard(w->config.env->fs, &w->making);
    w->is_full = w->ready_count == 0;
    w->spare_retry_us = w->config.env->ops->now_us(w->config.env) + RETRY_US;
}

static void spare_done(struct env_job *job)
{
    struct wal *w = container_of(job, struct wal, spare_job);

    w->spare_is_busy = false;
    if (w->spare_status != DKV_OK) {
        give_up(w);
        return;
    }
    if (w->spare_is_made) {
        w->ready[w->ready_count++] = w->making;
        w->making = (struct wal__spare){0};
        w->is_full = false;
        wal__start_jobs(w);
    }
    wal__make_spares(w);
}

void wal__make_spares(struct wal *w)
{
    if (w->spare_is_busy || w->has_failed || w->config.is_volatile)
        return;
    if (w->making.id == 0) {
        if (w->ready_count >= w->config.spare_segments)
            return;
        if (w->recycled_id != 0)
            w->making = (struct wal__spare){.id = w->recycled_id, .is_recycled = true};
        else
            w->making = (struct wal__spare){.id = w->next_spare_id++};
        w->recycled_id = 0;
        w->spare_offset = 0;
    }
    w->spare_is_busy = true;
    w->spare_job = (struct env_job){.work = spare_work, .done = spare_done};
    w->config.env->ops->submit(w->config.env, ENV_QUEUE_BACKGROUND, &w->spare_job);
}

void wal_tick(struct wal *wal, uint64_t now_us)
{
    if (wal->spare_retry_us != 0 && now_us >= wal->spare_retry_us) {
        wal->spare_retry_us = 0;
        wal__make_spares(wal);
    }
    wal__mark(wal, now_us);
}

bool wal__take_spare(struct wal *w, struct wal__spare *spare_out)
{
    if (w->ready_count == 0)
        return false;
    *spare_out = w->ready[0];
    w->ready_count--;
    memmove(w->ready, w->ready + 1, w->ready_count * sizeof(w->ready[0]));
    return true;
}

/* --- at the start --- */

/* A crash can leave one that was already written to, before it had its name, and of what was
 * written any part may have reached the disk: all of it has to be zero. */
static bool is_unused(struct fs_file *file, uint64_t bytes_wanted)
{
    uint8_t *bytes = xmalloc(STEP_BYTES);
    uint64_t size = 0, at = 0;
    size_t got = 1;

    if (file->fs->ops->size(file, &size) != DKV_OK || size != bytes_wanted)
        got = 0;
    while (at < size && got > 0) {
        if (file->fs->ops->read(file, bytes, STEP_BYTES, at, &got) != DKV_OK ||
            memcmp(bytes, zeros, got) != 0)
            got = 0;
        at += got;
    }
    free(bytes);
    return got > 0;
}

/* wal.segment_size may have been another when it was made. */
static bool has_length(struct wal *w, uint64_t id)
{
    struct fs *fs = w->config.env->fs;
    char path[WAL__PATH_MAX];
    struct fs_file *file;
    uint64_t size = 0;

    wal__recycled_path(path, id);
    if (fs->ops->open(fs, path, FS_READ, &file) != DKV_OK)
        return false;
    if (fs->ops->size(file, &size) != DKV_OK)
        size = 0;
    (void)fs->ops->close(file);
    return size == w->config.segment_bytes;
}

static int note_spare(void *ctx, const char *name)
{
    struct wal *w = ctx;
    unsigned long long id;
    char tail[16], path[WAL__PATH_MAX];
    struct fs *fs = w->config.env->fs;
    struct wal__spare *spare;

    if (sscanf(name, "%16llx.%15s", &id, tail) != 2)
        return 0;
    if (id >= w->next_spare_id)
        w->next_spare_id = id + 1;
    if (strcmp(tail, "old") == 0 && w->recycled_id == 0)
        w->recycled_id = has_length(w, id) ? id : 0;
    if (strcmp(tail, "spare") != 0 || w->ready_count == w->config.spare_segments)
        return 0;
    wal__spare_path(path, id);
    spare = &w->ready[w->ready_count];
    if (fs->ops->open(fs, path, FS_READ | FS_WRITE, &spare->file) != DKV_OK)
        return 0;
    if (!is_unused(spare->file, w->config.segment_bytes)) {
        (void)fs->ops->close(spare->file);
        return 0;
    }
    spare->id = id;
    w->ready_count++;
    return 0;
}

/* id is a segment's number in the log, or a spare's. */
static bool is_leftover(const struct wal *w, const char *ending, uint64_t id)
{
    if (strcmp(ending, ".seg") == 0)
        return id < w->base_first_seq; /* the base was written, and the power went */
    if (strcmp(ending, ".old") == 0)
        return id != w->recycled_id;
    for (uint32_t i = 0; i < w->ready_count; i++) {
        if (w->ready[i].id == id && strcmp(ending, ".spare") == 0)
            return false;
    }
    return strcmp(ending, ".spare") == 0 || strcmp(ending, ".making") == 0;
}

static int remove_leftover(void *ctx, const char *name)
{
    struct wal *w = ctx;
    const char *dot = strchr(name, '.');
    char path[WAL__PATH_MAX];
    unsigned long long id;

    if (dot == NULL || sscanf(name, "%16llx", &id) != 1 || !is_leftover(w, dot, id))
        return 0;
    snprintf(path, sizeof(path), WAL__DIR "/%.40s", name);
    (void)w->config.env->fs->ops->remove(w->config.env->fs, path);
    return 0;
}

int wal__find_spares(struct wal *w)
{
    struct fs *fs = w->config.env->fs;
    int status;

    w->next_spare_id = 1;
    status = fs->ops->list(fs, WAL__DIR, note_spare, w);
    return status == DKV_OK ? fs->ops->list(fs, WAL__DIR, remove_leftover, w) : status;
}

static int fill(struct fs_file *file, uint64_t bytes)
{
    int status = DKV_OK;

    for (uint64_t at = 0; at < bytes && status == DKV_OK; at += STEP_BYTES) {
        size_t len = bytes - at < STEP_BYTES ? (size_t)(bytes - at) : STEP_BYTES;

        status = wal__write(file, zeros, len, at);
    }
    return status;
}

/* Filled like any other, although the start waits for it: in space that was only allocated every
 * sync of the log is one of the file system's journal too, which doubles the time of a write.  A node
 * whose disk is full starts without: it serves what it has, and tries again. */
int wal__first_spare(struct wal *w)
{
    struct fs *fs = w->config.env->fs;
    struct wal__spare spare = {.id = w->recycled_id, .is_recycled = w->recycled_id != 0};
    int status;

    if (w->ready_count > 0)
        return DKV_OK;
    w->recycled_id = 0;
    if (!spare.is_recycled)
        spare.id = w->next_spare_id++;
    status = spare.is_recycled ? reopen(fs, &spare) : create(fs, w->config.segment_bytes, &spare);
    if (status == DKV_OK)
        status = fill(spare.file, w->config.segment_bytes);
    if (status == DKV_OK)
        status = finish(fs, &spare);
    if (status == DKV_OK)
        w->ready[w->ready_count++] = spare;
    else
        discard(fs, &spare);
    return status == DKV_ENOSPC ? DKV_OK : status;
}

void wal__close_spares(struct wal *w)
{
    for (uint32_t i = 0; i < w->ready_count; i++)
        (void)w->ready[i].file->fs->ops->close(w->ready[i].file);
    if (w->making.file != NULL)
        (void)w->making.file->fs->ops->close(w->making.file);
}
