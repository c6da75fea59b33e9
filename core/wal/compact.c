/* Cutting the front off the log: a new base, then the segments that have nothing above it go, the
 * oldest first, in the background. */
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "wal/internal.h"

struct compaction {
    struct env_job job;
    struct wal *wal;
    struct wal__base base;
    struct wal__super *gone; /* segments to remove, oldest first */
    uint32_t gone_count;
    uint64_t recycled_id; /* what the first of them becomes; 0 = none is kept */
    int status;
};

static void free_compaction(struct compaction *c)
{
    free(c->base.data);
    free(c->gone);
    free(c);
}

/* Its blocks are there already, which the next spare segment saves. */
static bool keep_first(struct fs *fs, const struct compaction *c)
{
    char from[WAL__PATH_MAX], to[WAL__PATH_MAX];

    if (c->recycled_id == 0)
        return false;
    wal__segment_path(from, &c->gone[0]);
    wal__recycled_path(to, c->recycled_id);
    return fs->ops->rename(fs, from, to) == DKV_OK;
}

static void remove_segments(struct fs *fs, const struct wal__super *gone, uint32_t count)
{
    char path[WAL__PATH_MAX];

    /* One that stays because the power goes now is not read any more: the base says where to begin.
     * The next start removes it. */
    for (uint32_t i = 0; i < count; i++) {
        wal__segment_path(path, &gone[i]);
        (void)fs->ops->remove(fs, path);
    }
    if (count > 0)
        (void)fs->ops->sync_dir(fs, WAL__DIR);
}

static void compact_work(struct env_job *job)
{
    struct compaction *c = container_of(job, struct compaction, job);
    struct fs *fs = c->wal->config.env->fs;

    c->status = wal__base_write(fs, &c->wal->config.identity, &c->base);
    if (c->status != DKV_OK)
        return;
    if (!keep_first(fs, c))
        c->recycled_id = 0;
    remove_segments(fs, c->gone, c->gone_count);
}

static void compact_done(struct env_job *job)
{
    struct compaction *c = container_of(job, struct compaction, job);
    struct wal *w = c->wal;

    w->compaction = NULL;
    if (c->status != DKV_OK)
        wal__fail(w, "record where the log begins", c->status);
    else if (c->recycled_id != 0)
        w->recycled_id = c->recycled_id;
    free_compaction(c);
    wal__make_spares(w);
    wal__start_jobs(w);
}

static void forget_first(struct wal *w, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        free(w->segments[i].offsets);
    w->segments_count -= count;
    memmove(w->segments, w->segments + count, w->segments_count * sizeof(w->segments[0]));
}

/* How many segments at the front have nothing above index.  The last one stays. */
static uint32_t count_gone(const struct wal *w, raft_index index)
{
    uint32_t count = 0;

    while (count + 1 < w->segments_count &&
           w->segments[count].first + w->segments[count].count <= index + 1)
        count++;
    return count;
}

raft_index wal_cut_for(const struct wal *wal, uint64_t file_bytes)
{
    uint64_t bytes = 0;

    for (uint32_t i = wal->segments_count; i > 1; i--) {
        const struct wal__segment *s = &wal->segments[i - 2];

        bytes += s->super.file_bytes;
        if (bytes > file_bytes && s->count > 0)
            return s->first + s->count - 1;
    }
    return 0;
}

static void start_compaction(struct wal *w, struct compaction *c)
{
    uint32_t count = count_gone(w, c->base.index);

    c->wal = w;
    c->gone = xreallocarray(NULL, count + 1, sizeof(c->gone[0]));
    for (uint32_t i = 0; i < count; i++)
        c->gone[i] = w->segments[i].super;
    c->gone_count = count;
    if (count > 0 && w->recycled_id == 0 && c->gone[0].file_bytes == w->config.segment_bytes)
        c->recycled_id = w->next_spare_id++;
    forget_first(w, count);
    c->base.first_seq = w->segments[0].super.seq;
    w->compaction = c;
    c->job = (struct env_job){.work = compact_work, .done = compact_done};
    w->config.env->ops->submit(w->config.env, ENV_QUEUE_BACKGROUND, &c->job);
}

/* A reset writes a base of its own, and a newer one. */
bool wal_is_cutting(const struct wal *wal)
{
    return wal->compaction != NULL || wal->resets > 0;
}

void wal_compact(struct wal *wal, raft_index index, raft_term term, const void *base_data,
                 uint32_t base_data_len)
{
    struct compaction *c;

    dkv_assert(base_data_len <= WAL_BASE_DATA_MAX);
    dkv_assert(index >= wal->base_index && index <= wal->last_index);
    dkv_assert(!wal_is_cutting(wal));
    if (wal->config.is_volatile || wal->segments_count == 0)
        return;
    c = xcalloc(1, sizeof(*c));
    c->base = (struct wal__base){.index = index, .term = term, .data_len = base_data_len};
    c->base.data = xmalloc(base_data_len);
    memcpy(c->base.data, base_data, base_data_len);
    wal->base_index = index;
    start_compaction(wal, c);
}

/* --- after a reset: the base names the newest segment as the first --- */

struct removal {
    struct env_job job;
    struct fs *fs;
    struct wal__super *gone;
    uint32_t count;
};

static void removal_work(struct env_job *job)
{
    struct removal *r = container_of(job, struct removal, job);

    remove_segments(r->fs, r->gone, r->count);
}

static void removal_done(struct env_job *job)
{
    struct removal *r = container_of(job, struct removal, job);

    free(r->gone);
    free(r);
}

void wal__remove_before(struct wal *w, uint64_t seq)
{
    struct removal *r = xcalloc(1, sizeof(*r));

    while (r->count < w->segments_count && w->segments[r->count].super.seq < seq)
        r->count++;
    r->gone = xreallocarray(NULL, r->count + 1, sizeof(r->gone[0]));
    for (uint32_t i = 0; i < r->count; i++)
        r->gone[i] = w->segments[i].super;
    forget_first(w, r->count);
    r->fs = w->config.env->fs;
    r->job = (struct env_job){.work = removal_work, .done = removal_done};
    w->config.env->ops->submit(w->config.env, ENV_QUEUE_BACKGROUND, &r->job);
}

void wal__free_compaction(struct wal *w)
{
    if (w->compaction != NULL)
        free_compaction(w->compaction);
    w->compaction = NULL;
}
