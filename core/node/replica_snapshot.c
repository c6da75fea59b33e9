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

void snapshot__note_startable(struct replica *r, raft_index index)
{
    struct snapshots *s = r->snapshots;

    if (s->startable >= index)
        return;
    s->older = s->startable;
    s->startable = index;
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

void replica_leave_storage(struct replica *replica)
{
    let_view_go(replica->snapshots); /* pinned, but the node stops before it is written */
}

void replica__snapshots_fini(struct replica *r)
{
    snapshot__transfers_fini(r);
    replica_leave_storage(r);
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

/* Up to where the log has to be cut for its files to keep within limits, whatever else would like to
 * have it longer; 0: they do.  On a full disk, as far as a file can be gained. */
static raft_index needed_cut(const struct replica *r)
{
    uint64_t limit = 2 * r->config.log_bytes_max + 3 * r->config.segment_bytes;
    raft_index cut = wal_cut_for(r->wal, wal_is_full(r->wal) ? 0 : limit);
    struct raft_status status;

    raft_status(r->raft, &status);
    return cut > status.compacted ? cut : 0;
}

/* What slow followers may still need stays, within limits. */
static raft_index cut_point(const struct replica *r, raft_index safe)
{
    struct raft_status status;
    uint64_t bytes, per_entry, keep;
    raft_index cut, needed = needed_cut(r);

    raft_status(r->raft, &status);
    cut = safe < r->state.index ? safe : r->state.index;
    if (status.last <= status.compacted)
        return 0;
    bytes = wal_bytes_after(r->wal, status.compacted);
    per_entry = bytes / (status.last - status.compacted) + 1;
    keep = r->config.log_keep_bytes / per_entry;
    keep = status.last < keep ? 0 : status.last - keep;
    if (r->retain_from > 0 && bytes < 2 * r->config.log_bytes_max && keep >= r->retain_from)
        keep = r->retain_from - 1;
    keep = keep > needed ? keep : needed;
    cut = cut < keep ? cut : keep;
    return cut > status.compacted ? cut : 0;
}

/* What is being read has to stay, and one cut is made at a time. */
static bool may_cut(const struct replica *r)
{
    return r->fetches == 0 && !wal_is_cutting(r->wal);
}

static void cut_log(struct replica *r, raft_index safe)
{
    struct raft_event event = {.type = RAFT_COMPACTED};
    raft_index *later = &r->snapshots->cut_later, cut;
    uint8_t *members = NULL;
    uint32_t members_len;

    if (!may_cut(r)) {
        *later = *later > safe ? *later : safe;
        return;
    }
    *later = 0;
    cut = cut_point(r, safe);
    if (cut == 0)
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
    s->status = snapshot__publish(fs, SNAPSHOT_SAVE_TMP, &file, s->save_keep_from);
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
    snapshot__note_startable(r, s->info->index);
    if (!r->config.storage_is_durable)
        cut_log(r, s->older);
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
    s->save_keep_from = s->startable;
    s->save_job = (struct env_job){.work = save_work, .done = save_done};
    r->env->ops->submit(r->env, ENV_QUEUE_BACKGROUND, &s->save_job);
}

static void sync_done(struct apply_job *job)
{
    struct replica *r = job->owner;

    r->snapshots->making = MAKING_NOTHING;
    r->snapshots->retry_us = replica__now(r) + RETRY_US / 5;
    if (job->status != DKV_OK)
        return;
    r->snapshots->synced = job->durable_index;
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

/* Storage in memory: as long as a restart would have to read, and less with the next file.  Storage
 * that keeps its content: as long as it can be made shorter. */
static bool log_is_long(const struct replica *r)
{
    raft_index from = r->snapshots->newest.index;
    struct raft_status status;

    if (r->config.storage_is_durable) {
        raft_status(r->raft, &status);
        from = status.compacted;
    } else if (r->state.index <= from) {
        return false;
    }
    return (wal_bytes_after(r->wal, from) > r->config.log_bytes_max || needed_cut(r) != 0) &&
           (!r->config.storage_is_durable || cut_point(r, r->state.index) != 0);
}

/* Storage in memory: files were made so slowly that the log behind the older one is out of
 * proportion.  All of it goes at once, for each cut is a sync. */
static bool is_older_too_old(const struct replica *r)
{
    raft_index newest = r->snapshots->startable;
    struct raft_status status;

    raft_status(r->raft, &status);
    return newest != 0 && wal_bytes_after(r->wal, status.compacted) > 3 * r->config.log_bytes_max &&
           cut_point(r, newest) == newest;
}

/* Without waiting for what a full disk may not let happen.  For storage in memory it costs what the
 * older of its two files is kept for. */
static void cut_what_can_go(struct replica *r)
{
    struct snapshots *s = r->snapshots;
    raft_index needed = needed_cut(r);

    if (!may_cut(r))
        return;
    if (!r->config.storage_is_durable && is_older_too_old(r))
        cut_log(r, s->startable);
    else if (needed == 0)
        return;
    else if (!r->config.storage_is_durable)
        cut_log(r, s->older >= needed ? s->older : s->startable);
    else if (wal_is_full(r->wal))
        cut_log(r, s->synced);
}

void replica__maybe_compact(struct replica *r)
{
    struct snapshots *s = r->snapshots;
    bool is_long;

    if (r->config.is_volatile || s->install.index != 0 || r->state.index == 0)
        return;
    if (s->cut_later != 0 && may_cut(r))
        cut_log(r, s->cut_later);
    cut_what_can_go(r);
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

    if (replica__may_pass(job->status)) {
        log_error("snapshot", "snapshot.restore_failed",
                  "the storage cannot take the leader's snapshot; it is tried again",
                  LOG_STR("err", job->err.text), LOG_END);
        r->storage_is_full = job->status == DKV_ENOSPC;
        s->restore_again_us = replica__now(r) + RETRY_US / 5;
        return;
    }
    if (job->status != DKV_OK) {
        replica__fail(r, EXIT_CODE_IO, "%s", job->err.text);
        return;
    }
    r->state = job->state;
    r->is_restoring = r->storage_is_full = false;
    event.index = s->install.index;
    s->install.index = 0;
    log_info("snapshot", "snapshot.installed", "the leader's snapshot is in place",
             LOG_U64("index", event.index), LOG_U64("keys", r->state.keys), LOG_END);
    (void)replica__step(r, &event);
    replica__release_barriers(r);
}

void replica__retry_restore(struct replica *r)
{
    struct snapshots *s = r->snapshots;

    if (s->restore_again_us == 0 || s->restore_again_us > r->now_us)
        return;
    s->restore_again_us = 0;
    r->config.ops->apply(r->config.ctx, &s->restore_job);
}

void replica__log_was_reset(struct replica *r)
{
    struct snapshots *s = r->snapshots;
    struct snapshot_file file = {s->install.index, s->install.term};

    snapshot__note_startable(r, file.index);
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
    replica__abandon_retry(r); /* the snapshot has those entries, and Raft goes on behind it */
    s->install_members_len = encode_members(install->members, &s->install_members);
    replica__reset_log(r, install->index, install->term, s->install_members,
                       s->install_members_len);
}
