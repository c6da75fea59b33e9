/* Snapshots between nodes: the leader reads a file and keeps a few chunks in flight, the follower
 * writes them in order and acknowledges what is written; the last acknowledgement comes when the
 * whole file is verified and in place.  Lost chunks are sent again from the last acknowledgement. */
#include "node/snapshots.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"

enum { RESEND_US = 1000 * 1000, GIVE_UP_US = 60 * 1000 * 1000 };

/* --- sending --- */

static void report(struct replica *r, raft_id peer, raft_index index, bool ok)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_SENT};

    event.sent.peer = peer;
    event.sent.index = index;
    event.sent.ok = ok;
    (void)replica__step(r, &event);
}

static void sender_free(struct snapshot_sender *s)
{
    struct replica_peer *peer = replica__peer(s->replica, s->peer);

    if (peer != NULL && peer->sender == s)
        peer->sender = NULL;
    if (s->file != NULL)
        (void)s->file->fs->ops->close(s->file);
    free(s->chunk);
    free(s);
}

/* Raft hears of the end, unless it asked for it. */
static void sender_end(struct snapshot_sender *s, bool ok, bool tell)
{
    struct replica_peer *peer = replica__peer(s->replica, s->peer);

    if (tell)
        report(s->replica, s->peer, s->what.index, ok);
    if (peer != NULL && peer->sender == s)
        peer->sender = NULL;
    s->is_over = true;
    if (!s->is_busy)
        sender_free(s);
}

static void read_work(struct env_job *job)
{
    struct snapshot_sender *s = container_of(job, struct snapshot_sender, job);
    struct fs *fs = s->replica->env->fs;
    char path[SNAPSHOT_PATH_MAX];

    s->status = DKV_OK;
    if (s->file == NULL) {
        snapshot__path(path, &s->what);
        s->status = fs->ops->open(fs, path, FS_READ, &s->file);
        if (s->status == DKV_OK)
            s->status = fs->ops->size(s->file, &s->file_bytes);
    }
    s->chunk_len = 0;
    if (s->status == DKV_OK)
        s->status = fs->ops->read(s->file, s->chunk, s->replica->config.chunk_bytes, s->sent,
                                  &s->chunk_len);
    if (s->status == DKV_OK && s->chunk_len == 0)
        s->status = DKV_EIO;
}

static void read_next(struct snapshot_sender *s);

static bool send_chunk(struct snapshot_sender *s)
{
    struct replica *r = s->replica;
    struct relay_chunk chunk = {.term = r->term,
                                .index = s->what.index,
                                .snapshot_term = s->what.term,
                                .offset = s->sent,
                                .total = s->total,
                                .data = s->chunk,
                                .len = (uint32_t)s->chunk_len};

    buf_reset(&r->frame);
    relay_chunk_encode(&r->frame, &chunk);
    if (!replica__send(r, s->peer, FRAME_SNAPSHOT_CHUNK, &r->frame))
        return false;
    s->sent += s->chunk_len;
    return true;
}

static void read_done(struct env_job *job)
{
    struct snapshot_sender *s = container_of(job, struct snapshot_sender, job);

    s->is_busy = false;
    if (s->is_over) {
        sender_free(s);
        return;
    }
    if (s->status != DKV_OK) {
        log_error("snapshot", "snapshot.read_failed", "a snapshot file cannot be read",
                  LOG_STR("err", status_text(s->status)), LOG_END);
        sender_end(s, false, true);
        return;
    }
    s->total = s->file_bytes;
    if (send_chunk(s))
        read_next(s); /* else a tick tries again: the peer is away, or its queue full */
}

static void read_next(struct snapshot_sender *s)
{
    uint64_t window = (uint64_t)SNAPSHOT_WINDOW_CHUNKS * s->replica->config.chunk_bytes;

    if (s->is_busy || s->what.index == 0 || (s->total > 0 && s->sent == s->total) ||
        s->sent - s->acked >= window)
        return;
    s->is_busy = true;
    s->job = (struct env_job){.work = read_work, .done = read_done};
    s->replica->env->ops->submit(s->replica->env, ENV_QUEUE_BACKGROUND, &s->job);
}

static void start(struct snapshot_sender *s, const struct snapshot_file *file)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_STARTED};
    struct replica *r = s->replica;

    s->what = *file;
    s->progress_us = r->now_us;
    event.sent.peer = s->peer;
    event.sent.index = file->index;
    log_info("snapshot", "snapshot.sending", "sending a snapshot to a follower",
             LOG_STR("peer", replica__peer(r, s->peer)->name), LOG_U64("index", file->index),
             LOG_END);
    (void)replica__step(r, &event);
    read_next(s);
}

void replica__send_snapshot(struct replica *r, raft_id to)
{
    struct replica_peer *peer = replica__peer(r, to);
    struct snapshot_sender *s;
    struct raft_status status;

    if (peer == NULL) {
        report(r, to, 0, false);
        return;
    }
    replica__stop_snapshot(r, to); /* Raft has forgotten the one before */
    s = xcalloc(1, sizeof(*s));
    s->replica = r;
    s->peer = to;
    s->chunk = xmalloc(r->config.chunk_bytes);
    peer->sender = s;
    raft_status(r->raft, &status);
    if (r->snapshots->newest.index >= status.compacted && r->snapshots->newest.index > 0)
        start(s, &r->snapshots->newest);
    else
        r->snapshots->file_wanted = true;
}

void snapshot__start_waiting(struct replica *r)
{
    for (size_t i = 0; i < r->peers_count; i++) {
        struct snapshot_sender *s = r->peers[i].sender;

        if (s != NULL && s->what.index == 0)
            start(s, &r->snapshots->newest);
    }
}

void replica__stop_snapshot(struct replica *r, raft_id to)
{
    struct replica_peer *peer = replica__peer(r, to);

    if (peer != NULL && peer->sender != NULL)
        sender_end(peer->sender, false, false);
}

void replica__on_chunk_ack(struct replica *r, raft_id from, const struct blob *payload)
{
    struct replica_peer *peer = replica__peer(r, from);
    struct relay_chunk_ack ack;
    struct snapshot_sender *s;

    if (peer == NULL || relay_chunk_ack_decode(payload->bytes, payload->len, &ack) != DKV_OK) {
        r->frames_refused++;
        return;
    }
    s = peer->sender;
    if (s == NULL || ack.index != s->what.index || ack.term != r->term || ack.offset > s->total)
        return;
    if (s->total == 0)
        return; /* of an earlier transfer: nothing was sent yet */
    s->progress_us = r->now_us;
    if (ack.refused) {
        sender_end(s, false, true);
        return;
    }
    if (ack.offset == s->total) {
        sender_end(s, true, true);
        return;
    }
    if (ack.offset < s->acked && !s->is_busy)
        s->sent = ack.offset; /* the receiver began again */
    s->acked = ack.offset;
    if (s->sent < s->acked && !s->is_busy)
        s->sent = s->acked;
    read_next(s);
}

static void sender_tick(struct replica *r, struct snapshot_sender *s)
{
    if (s->what.index == 0 || s->is_busy)
        return;
    if (r->now_us > s->progress_us + GIVE_UP_US) {
        sender_end(s, false, true);
        return;
    }
    if (r->now_us > s->progress_us + RESEND_US && s->sent != s->total)
        s->sent = s->acked;
    else if (r->now_us > s->progress_us + 5 * RESEND_US)
        s->sent = s->acked; /* all was sent, and verifying may take a while */
    read_next(s);
}

void snapshot__tick(struct replica *r)
{
    for (size_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].sender != NULL)
            sender_tick(r, r->peers[i].sender);
    }
}

/* --- receiving --- */

static void acknowledge(struct replica *r, raft_id to, uint64_t term, raft_index index,
                        uint64_t offset, bool refused)
{
    struct relay_chunk_ack ack = {
        .term = term, .index = index, .offset = offset, .refused = refused};

    buf_reset(&r->frame);
    relay_chunk_ack_encode(&r->frame, &ack);
    (void)replica__send(r, to, FRAME_SNAPSHOT_ACK, &r->frame);
}

static void chunk_free(struct snapshot_chunk *chunk)
{
    blob_unref(chunk->payload);
    free(chunk);
}

static void drop_chunks(struct snapshot_receiver *in)
{
    struct list *node;

    while ((node = list_pop(&in->chunks)) != NULL)
        chunk_free(container_of(node, struct snapshot_chunk, link));
}

static void write_next(struct replica *r);

/* What cannot be used takes no space, which may be what it failed for. */
static void discard(struct snapshot_receiver *in)
{
    struct fs *fs = in->fs;

    if (in->file != NULL)
        (void)fs->ops->close(in->file);
    in->file = NULL;
    (void)fs->ops->remove(fs, SNAPSHOT_RECV_TMP);
}

static void write_work(struct env_job *job)
{
    struct snapshot_receiver *in = container_of(job, struct snapshot_receiver, job);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)in->chunk->data, .iov_len = in->chunk->len};
    struct fs *fs = in->fs;

    in->status = DKV_OK;
    if (in->chunk_offset == 0) {
        discard(in);
        in->status = fs->ops->open(fs, SNAPSHOT_RECV_TMP, FS_WRITE | FS_CREATE, &in->file);
    }
    if (in->status == DKV_OK)
        in->status = fs->ops->write(in->file, &iov, 1, in->chunk_offset);
    if (in->status != DKV_OK)
        discard(in);
}

/* Everything is checked before anything is replaced. */
static int finish_file(struct snapshot_receiver *in)
{
    struct fs *fs = in->fs;
    int status = fs->ops->sync(in->file);

    (void)fs->ops->close(in->file);
    in->file = NULL;
    if (status != DKV_OK)
        return dkv_error_set(&in->err, status, "sync: %s", status_text(status));
    status = kv_snapshot_verify(fs, SNAPSHOT_RECV_TMP, in->info, &in->err);
    if (status != DKV_OK)
        return status;
    if (in->info->index != in->what.index || in->info->term != in->what.term)
        return dkv_error_set(&in->err, DKV_ECORRUPT, "it is not the one that was announced");
    status = snapshot__publish(fs, SNAPSHOT_RECV_TMP, &in->what, in->keep_from);
    if (status != DKV_OK)
        return dkv_error_set(&in->err, status, "put it in place: %s", status_text(status));
    return DKV_OK;
}

static void finish_work(struct env_job *job)
{
    struct snapshot_receiver *in = container_of(job, struct snapshot_receiver, job);

    in->status = finish_file(in);
    if (in->status != DKV_OK)
        discard(in);
}

static void give_up(struct replica *r, const char *why)
{
    struct snapshot_receiver *in = &r->snapshots->receiver;

    log_warn("snapshot", "snapshot.receive_failed", "a snapshot could not be received",
             LOG_STR("err", why), LOG_U64("index", in->what.index), LOG_END);
    acknowledge(r, in->from, in->term, in->what.index, 0, true);
    drop_chunks(in);
    in->what.index = 0;
}

static void tell_raft(struct replica *r)
{
    struct snapshot_receiver *in = &r->snapshots->receiver;
    struct raft_members *members = xmalloc(sizeof(*members));
    struct raft_event event = {.type = RAFT_SNAPSHOT_RECEIVED};
    struct raft_status status;

    if (raft_members_decode(in->info->members, in->info->members_len, members) != DKV_OK ||
        memcmp(in->info->cluster_id, r->config.cluster_id, sizeof(in->info->cluster_id)) != 0) {
        give_up(r, "its members cannot be read, or it is another cluster's");
        free(members);
        return;
    }
    event.snapshot.from = in->from;
    event.snapshot.term = in->term;
    event.snapshot.snapshot_index = in->what.index;
    event.snapshot.snapshot_term = in->what.term;
    event.snapshot.members = members;
    if (r->snapshots->newest.index < in->what.index)
        r->snapshots->newest = in->what;
    (void)replica__step(r, &event);
    raft_status(r->raft, &status);
    if (in->what.index <= status.durable && raft_term_at(r->raft, in->what.index) == in->what.term)
        snapshot__note_startable(r, in->what.index);
    acknowledge(r, in->from, in->term, in->what.index, in->total, false);
    in->what.index = 0;
    free(members);
}

static void finish_done(struct env_job *job)
{
    struct snapshot_receiver *in = container_of(job, struct snapshot_receiver, job);
    struct replica *r = in->replica;

    in->is_busy = in->is_finishing = false;
    if (in->what.index == 0)
        return;
    if (in->status != DKV_OK)
        give_up(r, in->err.text);
    else
        tell_raft(r);
}

static void write_done(struct env_job *job)
{
    struct snapshot_receiver *in = container_of(job, struct snapshot_receiver, job);
    struct replica *r = in->replica;
    uint32_t len = in->chunk->len;

    in->is_busy = false;
    chunk_free(in->chunk);
    in->chunk = NULL;
    if (in->is_restarted) {
        in->is_restarted = false; /* the chunk was of a transfer that is over */
        write_next(r);
        return;
    }
    if (in->status != DKV_OK) {
        give_up(r, status_text(in->status));
        return;
    }
    in->written += len;
    if (in->written < in->total)
        acknowledge(r, in->from, in->term, in->what.index, in->written, false);
    write_next(r);
}

static void write_next(struct replica *r)
{
    struct snapshot_receiver *in = &r->snapshots->receiver;
    struct list *node;

    if (in->is_busy || in->what.index == 0)
        return;
    if (in->written == in->total) {
        in->is_finishing = in->is_busy = true;
        if (in->info == NULL)
            in->info = xmalloc(sizeof(*in->info));
        in->keep_from = r->snapshots->startable;
        in->job = (struct env_job){.work = finish_work, .done = finish_done};
        r->env->ops->submit(r->env, ENV_QUEUE_BACKGROUND, &in->job);
        return;
    }
    node = list_pop(&in->chunks);
    if (node == NULL)
        return;
    in->chunk = container_of(node, struct snapshot_chunk, link);
    in->chunk_offset = in->written;
    in->is_busy = true;
    in->job = (struct env_job){.work = write_work, .done = write_done};
    r->env->ops->submit(r->env, ENV_QUEUE_BACKGROUND, &in->job);
}

static void begin(struct replica *r, raft_id from, const struct relay_chunk *chunk)
{
    struct snapshot_receiver *in = &r->snapshots->receiver;

    log_info("snapshot", "snapshot.receiving", "receiving a snapshot from the leader",
             LOG_U64("index", chunk->index), LOG_U64("bytes", chunk->total), LOG_END);
    drop_chunks(in);
    in->is_restarted = in->is_busy;
    in->replica = r;
    in->fs = r->env->fs;
    in->from = from;
    in->what = (struct snapshot_file){chunk->index, chunk->snapshot_term};
    in->total = chunk->total;
    in->queued = in->written = 0;
}

static bool raft_wants(struct replica *r, raft_id from, const struct relay_chunk *chunk)
{
    struct raft_event event = {.type = RAFT_SNAPSHOT_CHUNK};

    event.snapshot.from = from;
    event.snapshot.term = chunk->term;
    event.snapshot.snapshot_index = chunk->index;
    event.snapshot.snapshot_term = chunk->snapshot_term;
    return replica__step(r, &event) == DKV_OK;
}

static void queue_chunk(struct snapshot_receiver *in, struct blob *payload,
                        const struct relay_chunk *chunk)
{
    struct snapshot_chunk *c = xmalloc(sizeof(*c));

    *c = (struct snapshot_chunk){
        .payload = blob_ref(payload), .data = chunk->data, .len = chunk->len};
    list_push(&in->chunks, &c->link);
    in->queued += chunk->len;
}

void replica__on_chunk(struct replica *r, raft_id from, struct blob *payload)
{
    struct snapshot_receiver *in = &r->snapshots->receiver;
    struct relay_chunk chunk;
    uint64_t window = (uint64_t)SNAPSHOT_WINDOW_CHUNKS * 2 * r->config.chunk_bytes;

    if (relay_chunk_decode(payload->bytes, payload->len, &chunk) != DKV_OK || chunk.len == 0 ||
        chunk.index == 0 || chunk.total > SNAPSHOT_BYTES_MAX) {
        r->frames_refused++;
        return;
    }
    if (r->config.is_volatile || r->snapshots->install.index != 0 || !raft_wants(r, from, &chunk)) {
        acknowledge(r, from, chunk.term, chunk.index, 0, true);
        return;
    }
    if (in->is_finishing) {
        return; /* the answer comes with its end */
    }
    if (in->what.index != chunk.index || in->from != from || in->total != chunk.total) {
        if (in->is_restarted && in->is_busy)
            return; /* one write of an older transfer is still under way; the chunk comes again */
        begin(r, from, &chunk);
    }
    in->term = chunk.term;
    if (chunk.offset == in->queued && in->queued - in->written < window)
        queue_chunk(in, payload, &chunk);
    else
        acknowledge(r, from, chunk.term, chunk.index, in->written, false);
    write_next(r);
}

void snapshot__transfers_fini(struct replica *r)
{
    struct snapshot_receiver *in = &r->snapshots->receiver;

    for (size_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].sender != NULL) {
            r->peers[i].sender->is_busy = false; /* the jobs' threads are gone by now */
            sender_free(r->peers[i].sender);
        }
    }
    drop_chunks(in);
    if (in->chunk != NULL)
        chunk_free(in->chunk);
    if (in->file != NULL)
        (void)in->file->fs->ops->close(in->file);
}
