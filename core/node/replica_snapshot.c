/* Making snapshots and cutting the log.
 *
 * Storage that survives a crash by itself is only asked how far it is durable, and the log is cut
 * below that; a file is made when a peer needs one.  Storage in memory gets a file each time. */
#include "node/snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/mem.h"

enum { RETRY_US = 5 * 1000 * 1000 };

void snapshot__path(char to[SNAPSHOT_PATH_MAX], const struct snapshot_file *file)
{
    snprintf(to, SNAPSHOT_PATH_MAX, SNAPSHOT_DIR "/%016llx-%016llx.snap",
             (unsigned long long)file->index, (unsigned long long)file->term);
}

/* --- the folder --- */

struct folder {
    struct snapshot_file files[64];
    size_t count;
};

static int note_file(void *ctx, const char *name)
{
    struct folder *folder = ctx;
    unsigned long long index, term;
    char tail[8];

    if (strlen(name) == 38 && sscanf(name, "%16llx-%16llx.%4s", &index, &term, tail) == 3 &&
        strcmp(tail, "snap") == 0 && folder->count < 64)
        folder->files[folder->count++] = (struct snapshot_file){index, term};
    return 0;
}

static int newest_first(const void *a, const void *b)
{
    const struct snapshot_file *x = a, *y = b;

    return x->index < y->index ? 1 : x->index > y->index ? -1 : 0;
}

static int read_folder(struct fs *fs, struct folder *folder_out)
{
    int status;

    folder_out->count = 0;
    status = fs->ops->list(fs, SNAPSHOT_DIR, note_file, folder_out);
    qsort(folder_out->files, folder_out->count, sizeof(folder_out->files[0]), newest_first);
    return status;
}

int snapshot__publish(struct fs *fs, const char *temporary, const struct snapshot_file *file)
{
    struct folder folder;
    char path[SNAPSHOT_PATH_MAX];
    int status;

    snapshot__path(path, file);
    status = fs->ops->rename(fs, temporary, path);
    if (status == DKV_OK)
        status = fs->ops->sync_dir(fs, SNAPSHOT_DIR);
    if (status != DKV_OK || read_folder(fs, &folder) != DKV_OK)
        return status;
    for (size_t i = SNAPSHOT_FILES_KEPT; i < folder.count; i++) {
        snapshot__path(path, &folder.files[i]);
        (void)fs->ops->remove(fs, path); /* an old file too many does no harm */
    }
    return DKV_OK;
}

int snapshot__find(struct fs *fs, raft_index low, raft_index high, struct snapshot_file *file_out)
{
    struct kv_snapshot_info *info;
    struct folder folder;
    int status = read_folder(fs, &folder);

    *file_out = (struct snapshot_file){0, 0};
    if (status != DKV_OK)
        return status;
    info = xmalloc(sizeof(*info));
    for (size_t i = 0; i < folder.count && file_out->index == 0; i++) {
        struct dkv_error err = {0};
        char path[SNAPSHOT_PATH_MAX];

        if (folder.files[i].index < low || folder.files[i].index > high)
            continue;
        snapshot__path(path, &folder.files[i]);
        if (kv_snapshot_verify(fs, path, info, &err) == DKV_OK)
            *file_out = folder.files[i];
        else
            log_error("snapshot", "snapshot.damaged", "a snapshot file is damaged and is not used",
                      LOG_STR("err", err.text), LOG_END);
    }
    free(info);
    return DKV_OK;
}

void replica__snapshots_init(struct replica *r)
{
    struct snapshots *s = xcalloc(1, sizeof(*s));

    list_init(&s->receiver.chunks);
    r->snapshots = s;
}

static void let_view_go(struct snapshots *s)
{
    struct dkv_snapshot *view = s->apply_job.view;

    s->apply_job.view = NULL;
    if (view != NULL)
        view->store->ops->snapshot_close(view);
}

void replica__snapshots_fini(struct replica *r)
{
    snapshot__transfers_fini(r);
    let_view_go(r->snapshots); /* pinned, but the node stopped before it was written */
    free(r->snapshots->info);
    free(r->snapshots->receiver.info);
    free(r->snapshots->install_members);
    free(r->snapshots);
    r->snapshots = NULL;
}

/* --- cutting the log --- */

static uint32_t encode_members(const struct raft_members *members, uint8_t **to)
{
    size_t size = raft_members_size(members);

    dkv_assert(size <= KV_SNAPSHOT_MEMBERS_MAX);
    *to = xrealloc(*to, size);
    return (uint32_t)raft_members_encode(members, *to);
}

/* What slow followers may still need stays, within limits. */
static raft_index cut_point(const struct replica *r, raft_index safe)
{
    struct raft_status status;
    uint64_t bytes, per_entry, keep;
    raft_index cut;

    raft_status(r->raft, &status);
    cut = safe < r->state.index ? safe : r->state.index;
    if (status.last <= status.compacted)
        return 0;
    bytes = wal_bytes_after(r->wal, status.compacted);
    per_entry = bytes / (status.last - status.compacted) + 1;
    keep = r->config.log_keep_bytes / per_entry;
    if (status.last < keep)
        return 0;
    cut = cut < status.last - keep ? cut : status.last - keep;
    if (r->retain_from > 0 && bytes < 2 * r->config.log_bytes_max && cut >= r->retain_from)
        cut = r->retain_from - 1;
    return cut > status.compacted ? cut : 0;
}

static void cut_log(struct replica *r, raft_index safe)
{
    raft_index cut = cut_point(r, safe);
    struct raft_event event = {.type = RAFT_COMPACTED};
    uint8_t *members = NULL;
    uint32_t members_len;

    r->snapshots->cut_later = r->fetches > 0 ? safe : 0; /* what is being read has to stay */
    if (cut == 0 || r->fetches > 0)
        return;
    event.compacted.index = cut;
    event.compacted.term = raft_term_at(r->raft, cut);
    members_len = encode_members(raft_members_at(r->raft, cut), &members);
    wal_compact(r->wal, cut, event.compacted.term, members, members_len);
    free(members);
    if (replica__step(r, &event) != DKV_OK)
        replica__fail(r, EXIT_CODE_DAMAGE, "Raft refused to forget the log up to %llu",
                      (unsigned long long)cut);
}

/* --- making a file: pin on the home thread, write in the background --- */

static void made_nothing(struct replica *r, const char *why)
{
    r->snapshots->making = MAKING_NOTHING;
    r->snapshots->retry_us = replica__now(r) + RETRY_US;
    log_warn("snapshot", "snapshot.failed", "no snapshot could be made; trying again later",
             LOG_STR("err", why), LOG_END);
}

static void save_work(struct env_job *job)
{
    struct snapshots *s = container_of(job, struct snapshots, save_job);
    struct fs *fs = s->fs;
    struct snapshot_file file = {s->info->index, s->info->term};

    (void)fs->ops->remove(fs, SNAPSHOT_SAVE_TMP);
    s->status = kv_snapshot_save(fs, SNAPSHOT_SAVE_TMP, s->info, s->apply_job.view, &s->err);
    let_view_go(s);
    if (s->status != DKV_OK) {
        (void)fs->ops->remove(fs, SNAPSHOT_SAVE_TMP);
        return;
    }
    s->status = snapshot__publish(fs, SNAPSHOT_SAVE_TMP, &file);
    if (s->status != DKV_OK)
        (void)dkv_error_set(&s->err, s->status, "put the snapshot in place: %s",
                            status_text(s->status));
}

static void save_done(struct env_job *job)
{
    struct snapshots *s = container_of(job, struct snapshots, save_job);
    struct replica *r = s->apply_job.owner;

    if (s->status != DKV_OK) {
        made_nothing(r, s->err.text);
        return;
    }
    s->making = MAKING_NOTHING;
    s->file_wanted = false;
    log_info("snapshot", "snapshot.made", "a snapshot is complete",
             LOG_U64("index", s->info->index), LOG_U64("keys", s->info->keys), LOG_END);
    if (s->newest.index < s->info->index) /* else the leader's came in the meantime */
        s->newest = (struct snapshot_file){s->info->index, s->info->term};
    if (!r->config.storage_is_durable)
        cut_log(r, s->newest.index);
    snapshot__start_waiting(r);
}

static void pin_done(struct apply_job *job)
{
    struct replica *r = job->owner;
    struct snapshots *s = r->snapshots;
    const struct raft_members *members;
    struct raft_status status;
    uint8_t *encoded = NULL;

    if (job->status != DKV_OK) {
        made_nothing(r, job->err.text);
        return;
    }
    raft_status(r->raft, &status);
    if (job->state.index < status.compacted) { /* the leader's snapshot overtook this one */
        let_view_go(s);
        s->making = MAKING_NOTHING;
        return;
    }
    if (s->info == NULL)
        s->info = xmalloc(sizeof(*s->info));
    members = raft_members_at(r->raft, job->state.index);
    memcpy(s->info->cluster_id, r->config.cluster_id, sizeof(s->info->cluster_id));
    s->info->index = job->state.index;
    s->info->term = raft_term_at(r->raft, job->state.index);
    s->info->digest = job->state.digest;
    s->info->keys = job->state.keys;
    s->info->members_len = encode_members(members, &encoded);
    memcpy(s->info->members, encoded, s->info->members_len);
    free(encoded);
    s->making = MAKING_FILE;
    s->fs = r->env->fs;
    s->save_job = (struct env_job){.work = save_work, .done = save_done};
    r->env->ops->submit(r->env, ENV_QUEUE_BACKGROUND, &s->save_job);
}

static void sync_done(struct apply_job *job)
{
    struct replica *r = job->owner;

    r->snapshots->making = MAKING_NOTHING;
    r->snapshots->retry_us = replica__now(r) + RETRY_US / 5;
    if (job->status == DKV_OK)
        cut_log(r, job->durable_index);
}

static void post(struct replica *r, enum apply_kind kind, enum snapshot_making making,
                 void (*done)(struct apply_job *job))
{
    struct snapshots *s = r->snapshots;

    s->making = making;
    s->apply_job = (struct apply_job){.kind = kind, .done = done, .owner = r};
    r->config.ops->apply(r->config.ctx, &s->apply_job);
}

/* Storage in memory: as long as a restart would have to read.  Storage that keeps its content: as
 * long as it can be made shorter. */
static bool log_is_long(const struct replica *r)
{
    raft_index from = r->snapshots->newest.index;
    struct raft_status status;

    if (r->config.storage_is_durable) {
        raft_status(r->raft, &status);
        from = status.compacted;
    }
    return wal_bytes_after(r->wal, from) > r->config.log_bytes_max &&
           (!r->config.storage_is_durable || cut_point(r, r->state.index) != 0);
}

void replica__maybe_compact(struct replica *r)
{
    struct snapshots *s = r->snapshots;
    bool is_long;

    if (r->config.is_volatile || s->install.index != 0 || r->state.index == 0)
        return;
    if (s->cut_later != 0 && r->fetches == 0)
        cut_log(r, s->cut_later);
    if (s->making != MAKING_NOTHING || s->retry_us > r->now_us)
        return;
    is_long = log_is_long(r);
    if (s->file_wanted || (is_long && !r->config.storage_is_durable))
        post(r, APPLY_PIN, MAKING_PIN, pin_done);
    else if (is_long)
        post(r, APPLY_SYNC, MAKING_SYNC, sync_done);
}

/* --- installing one that came from the leader --- */

static void restore_done(struct apply_job *job)
{
    struct replica *r = job->owner;
    struct snapshots *s = r->snapshots;
    struct raft_event event = {.type = RAFT_SNAPSHOT_INSTALLED};

    if (job->status != DKV_OK) {
        replica__fail(r, EXIT_CODE_IO, "%s", job->err.text);
        return;
    }
    r->state = job->state;
    r->is_restoring = false;
    event.index = s->install.index;
    s->install.index = 0;
    log_info("snapshot", "snapshot.installed", "the leader's snapshot is in place",
             LOG_U64("index", event.index), LOG_U64("keys", r->state.keys), LOG_END);
    (void)replica__step(r, &event);
    replica__release_barriers(r);
}

void replica__log_was_reset(struct replica *r)
{
    struct snapshots *s = r->snapshots;
    struct snapshot_file file = {s->install.index, s->install.term};

    s->restore_job = (struct apply_job){.kind = APPLY_RESTORE, .done = restore_done, .owner = r};
    snapshot__path(s->restore_job.path, &file);
    r->config.ops->apply(r->config.ctx, &s->restore_job);
}

/* First the log, in one atomic step, then the storage: a crash in between leaves a log that begins
 * after the snapshot, and a start that finds the storage behind restores it from the file. */
void replica__install(struct replica *r, const struct raft_install *install)
{
    struct snapshots *s = r->snapshots;

    dkv_assert(s->install.index == 0);
    s->install = *install;
    r->is_restoring = true;
    s->install_members_len = encode_members(install->members, &s->install_members);
    replica__reset_log(r, install->index, install->term, s->install_members,
                       s->install_members_len);
}
