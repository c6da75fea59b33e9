/* Writes on their way between a follower and its leader: sent on in one frame a turn, at most one hop,
 * and answered by whoever proposed them. */
#include "node/replica_private.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "kv/command.h"

enum { FORWARD_BYTES_MAX = 1 << 20 };

/* --- as leader: what peers sent here --- */

/* A write that a peer relayed to this leader. */
struct remote_write {
    struct api_write write;
    struct replica *replica;
    raft_id from;
    uint64_t ticket;
};

static void on_remote_done(struct api_write *write)
{
    struct remote_write *remote = container_of(write, struct remote_write, write);
    struct relay_result result = {.ticket = remote->ticket,
                                  .status = write->status,
                                  .outcome = write->result.outcome,
                                  .revision = write->result.revision};
    struct replica *r = remote->replica;
    struct replica_peer *peer = replica__peer(r, remote->from);

    if (peer != NULL)
        relay_result_encode(&r->results[peer - r->peers], &result);
    r->needs_turn = true;
    free(remote);
}

/* A turn may have more of them than a frame holds: each is longer than a write that makes no sense. */
static void send_results(struct replica *r, raft_id to, const struct buf *results)
{
    const size_t most = FORWARD_BYTES_MAX - FORWARD_BYTES_MAX % RELAY_RESULT_BYTES;

    for (size_t at = 0; at < results->len; at += most) {
        size_t left = results->len - at;
        struct buf part = {.data = results->data + at, .len = left < most ? left : most};

        (void)replica__send(r, to, FRAME_FORWARD_RESULT, &part);
    }
}

void replica__send_results(struct replica *r)
{
    for (size_t i = 0; i < r->peers_count; i++) {
        send_results(r, r->peers[i].id, &r->results[i]);
        buf_reset(&r->results[i]);
    }
}

/* A command that cannot be read would stop every replica that applies it. */
static bool is_acceptable(const struct replica *r, const struct relay_write *write)
{
    struct kv_command command;

    return kv_command_decode(write->command, write->command_len, &command) == DKV_OK &&
           command.key.len <= r->config.key_max && command.value.len <= r->config.value_max;
}

void replica__on_forward(struct replica *r, raft_id from, struct blob *payload)
{
    struct relay_write relayed;
    struct decoder d;

    decoder_init(&d, payload->bytes, payload->len);
    while (relay_write_next(&d, &relayed)) {
        struct remote_write *remote;
        struct blob *command;

        bool has_room = r->writes_count < r->config.reads_pending_max;

        command = has_room && is_acceptable(r, &relayed) ? blob_try(relayed.command_len) : NULL;
        remote = xcalloc(1, sizeof(*remote));
        *remote = (struct remote_write){.replica = r, .from = from, .ticket = relayed.ticket};
        list_init(&remote->write.link);
        remote->write.done = on_remote_done;
        remote->write.command = command;
        if (command == NULL) {
            r->writes_count++;
            replica__fail_write(r, &remote->write, has_room ? DKV_EINVAL : DKV_ENOMEM);
            continue;
        }
        memcpy(command->bytes, relayed.command, relayed.command_len);
        replica_write(r, &remote->write);
    }
    if (d.failed)
        r->frames_refused++;
}

/* --- as follower --- */

static void relay(struct replica *r)
{
    struct list sent;

    list_init(&sent);
    buf_reset(&r->frame);
    while (!list_is_empty(&r->writes_new)) {
        struct api_write *write = container_of(r->writes_new.next, struct api_write, link);

        if (r->frame.len > 0 && r->frame.len + write->command->len > FORWARD_BYTES_MAX)
            break;
        list_remove(&write->link);
        write->ticket = r->next_ticket++;
        write->relayed_to = r->leader;
        relay_write_encode(&r->frame, write->ticket, write->command->bytes, write->command->len);
        list_push(&sent, &write->link);
    }
    if (replica__send(r, r->leader, FRAME_FORWARD, &r->frame)) {
        list_splice(&r->writes_relayed, &sent);
        r->needs_turn = r->needs_turn || !list_is_empty(&r->writes_new);
        return;
    }
    /* Not sent: back to the front, in order, to wait for the connection. */
    list_splice(&sent, &r->writes_new);
    list_splice(&r->writes_new, &sent);
}

/* A write has at most one hop: what a peer sent here and cannot be proposed here goes back. */
static void return_remote(struct replica *r)
{
    struct list *at = r->writes_new.next;

    while (at != &r->writes_new) {
        struct api_write *write = container_of(at, struct api_write, link);

        at = at->next;
        if (write->done == on_remote_done)
            replica__fail_write(r, write, DKV_EUNAVAIL);
    }
}

/* A node that has handed over says so before this node hears of the next leader.  Asked again at
 * once, it would say so again. */
static bool has_refused(const struct replica *r, raft_id peer)
{
    return r->refused_by == peer && r->now_us < r->refused_until_us;
}

void replica__forward(struct replica *r)
{
    return_remote(r);
    if (r->leader != 0 && !list_is_empty(&r->writes_new) && !has_refused(r, r->leader))
        relay(r);
}

static struct api_write *find_relayed(struct replica *r, uint64_t ticket)
{
    for (struct list *at = r->writes_relayed.next; at != &r->writes_relayed; at = at->next) {
        struct api_write *write = container_of(at, struct api_write, link);

        if (write->ticket == ticket)
            return write;
        if (write->ticket > ticket)
            return NULL;
    }
    return NULL;
}

void replica__on_forward_result(struct replica *r, raft_id from, const struct blob *payload)
{
    struct relay_result result;
    struct decoder d;

    decoder_init(&d, payload->bytes, payload->len);
    while (relay_result_next(&d, &result)) {
        struct api_write *write = find_relayed(r, result.ticket);

        if (write == NULL || write->relayed_to != from)
            continue; /* answered already: its time was up */
        if (result.status == DKV_EUNAVAIL) {
            /* Certainly not done there; somebody else may lead now. */
            r->refused_by = write->relayed_to;
            r->refused_until_us = r->now_us + r->config.heartbeat_us;
            list_remove(&write->link);
            list_push_front(&r->writes_new,
                            &write->link); /* the oldest have the nearest deadlines */
            continue;
        }
        replica__complete_write(
            r, write, result.status,
            (struct kv_result){.outcome = result.outcome, .revision = result.revision});
    }
    if (d.failed)
        r->frames_refused++;
}

/* --- ends --- */

/* Whoever led until now can still tell what became of the writes it was sent, most of all one that
 * hands over to stop; but if it is cut off, nobody should wait for it longer than for an election. */
void replica__leader_changed(struct replica *r)
{
    uint64_t patience_us = r->now_us + r->config.election_us;

    r->refused_by = 0;
    r->reads_pause_us = 0;
    for (struct list *at = r->writes_relayed.next; at != &r->writes_relayed; at = at->next) {
        struct api_write *write = container_of(at, struct api_write, link);

        if (write->relayed_to != r->leader && write->deadline_us > patience_us)
            write->deadline_us = patience_us;
    }
    for (struct list *at = r->queries.next; at != &r->queries; at = at->next)
        container_of(at, struct api_cluster_query, link)->is_asked = false;
}

/* What was on its way may have arrived and been done, or not. */
void replica__relay_lost(struct replica *r, raft_id peer)
{
    struct list *at = r->writes_relayed.next;

    while (at != &r->writes_relayed) {
        struct api_write *write = container_of(at, struct api_write, link);

        at = at->next;
        if (write->relayed_to == peer)
            replica__fail_write(r, write, DKV_EUNCERTAIN);
    }
    for (at = r->queries.next; at != &r->queries; at = at->next)
        container_of(at, struct api_cluster_query, link)->is_asked = false;
}

/* Not in the order of their deadlines: see replica__leader_changed. */
void replica__expire_forwarded(struct replica *r, uint64_t now_us)
{
    struct list *at = r->writes_relayed.next;

    while (at != &r->writes_relayed) {
        struct api_write *write = container_of(at, struct api_write, link);

        at = at->next;
        if (write->deadline_us <= now_us)
            replica__fail_write(r, write, DKV_EUNCERTAIN);
    }
}
