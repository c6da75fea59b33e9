#include "node/replica_private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/wire.h"

/* Deadlines are looked at this often; clients' time-outs are seconds. */
enum { EXPIRY_INTERVAL_US = 100 * 1000 };

/* --- small services for the other parts --- */

uint64_t replica__now(struct replica *r)
{
    return r->now_us = r->env->ops->now_us(r->env);
}

void replica__fail(struct replica *r, int exit_code, const char *fmt, ...)
{
    char why[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    r->is_failed = true;
    r->env->ops->fail_stop(r->env, exit_code, why);
}

struct replica_peer *replica__peer(struct replica *r, raft_id id)
{
    for (size_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].id == id)
            return &r->peers[i];
    }
    return NULL;
}

bool replica__send(struct replica *r, raft_id to, enum frame_type type, const struct buf *payload)
{
    return r->config.ops->send(r->config.ctx, to, type, payload);
}

int replica__step(struct replica *r, struct raft_event *event)
{
    int status;

    if (r->is_failed)
        return RAFT_EFATAL;
    event->now_us = r->now_us;
    status = raft_step(r->raft, event);
    r->needs_turn = r->needs_poll = true;
    return status;
}

/* --- what Raft asks for --- */

static const struct raft_entry *entry_of(void *ctx, const struct raft_message *m, uint32_t i)
{
    return raft_message_entry(ctx, m, i);
}

static void send_messages(struct replica *r, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->messages_count; i++) {
        const struct raft_message *m = &out->messages[i];

        buf_reset(&r->frame);
        wire_encode(&r->frame, m, entry_of, r->raft);
        (void)replica__send(r, m->to, FRAME_RAFT, &r->frame);
    }
}

static void log_role(struct replica *r, const struct raft_output *out)
{
    const struct replica_peer *leader = replica__peer(r, out->leader);
    const char *name = leader == NULL ? "" : leader->name;

    if (out->role == RAFT_LEADER && r->role != RAFT_LEADER)
        log_info("raft", "raft.elected", "this node leads now", LOG_U64("term", out->term),
                 LOG_STR("why", raft_why_text(out->why)), LOG_END);
    else if (r->role == RAFT_LEADER && out->role != RAFT_LEADER)
        log_warn("raft", "raft.stepped_down", "this node does not lead any more",
                 LOG_U64("term", out->term), LOG_STR("why", raft_why_text(out->why)), LOG_END);
    else if (out->leader != r->leader && out->leader != 0)
        log_info("raft", "raft.leader_found", "following a leader", LOG_U64("term", out->term),
                 LOG_STR("leader", name), LOG_END);
    else if (out->leader == 0 && r->leader != 0)
        log_warn("raft", "raft.leader_lost", "the leader is gone", LOG_U64("term", out->term),
                 LOG_STR("why", raft_why_text(out->why)), LOG_END);
}

static void take_role(struct replica *r, const struct raft_output *out)
{
    raft_id old_leader = r->leader;

    r->commit_index = out->commit;
    r->retain_from = out->retain_from;
    if (!out->role_changed)
        return;
    log_role(r, out);
    r->roles++;
    if (r->role == RAFT_LEADER)
        r->led_until_us = r->now_us;
    r->role = out->role;
    r->term = out->term;
    r->leader = out->leader;
    r->members_changed = true;
    if (r->leader != old_leader) {
        r->leader_since_us = r->now_us;
        replica__leader_changed(r);
    }
}

static void note_progress(struct replica *r, const struct raft_output *out)
{
    if (out->role_changed)
        phases_forget(&r->phases);
    if (out->role != RAFT_LEADER)
        return;
    phases_note(&r->phases, PHASE_DURABLE, out->durable, r->now_us);
    phases_note(&r->phases, PHASE_COMMITTED, out->commit, r->now_us);
}

static void take_reads(struct replica *r, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->reads_ok_count; i++)
        replica__read_ready(r, out->reads_ok[i].context, out->reads_ok[i].index);
    for (uint32_t i = 0; i < out->reads_failed_count; i++)
        replica__read_failed(r, &out->reads_failed[i]);
}

static void take_transfers(struct replica *r, const struct raft_output *out)
{
    for (uint32_t i = 0; i < out->snapshot_abort_count; i++)
        replica__stop_snapshot(r, out->snapshot_abort[i]);
    for (uint32_t i = 0; i < out->want_fetch_count; i++)
        replica__fetch(r, &out->want_fetch[i]);
}

/* Calls that step Raft come last: they end the life of the output's spans. */
static void carry_out(struct replica *r, const struct raft_output *out)
{
    raft_id snapshots[RAFT_MEMBERS_MAX];
    uint32_t snapshots_count = out->want_snapshot_count;

    if (out->fatal) {
        replica__fail(r, EXIT_CODE_IO, "the Raft core has stopped");
        return;
    }
    for (uint32_t i = 0; i < snapshots_count; i++)
        snapshots[i] = out->want_snapshot[i];
    note_progress(r, out);
    replica__log(r, out);
    send_messages(r, out);
    for (uint32_t i = 0; i < out->dropped_count; i++)
        replica__drop_pending(r, out->dropped[i].first, out->dropped[i].term);
    if (out->apply_first != 0)
        replica__apply(r, out->apply_first, out->apply_last);
    take_role(r, out);
    take_transfers(r, out);
    if (out->install != NULL)
        replica__install(r, out->install);
    take_reads(r, out);
    for (uint32_t i = 0; i < snapshots_count; i++)
        replica__send_snapshot(r, snapshots[i]);
}

/* --- the loop --- */

static void tick(struct replica *r)
{
    struct raft_event event = {.type = RAFT_TICK};

    if (raft_deadline_us(r->raft) <= r->now_us)
        (void)replica__step(r, &event);
    if (r->now_us < r->expiry_us)
        return;
    r->expiry_us = r->now_us + EXPIRY_INTERVAL_US;
    replica__expire_writes(r);
    replica__expire_reads(r);
    replica__retry_apply(r);
    replica__retry_restore(r);
    replica__send_info(r);
    replica__hand_over_if_full(r);
    snapshot__tick(r);
    replica__maybe_compact(r);
    wal_tick(r->wal, r->now_us);
    replica__tell_no_leader(r);
}

void replica_turn(struct replica *replica)
{
    struct replica *r = replica;
    struct raft_output out;

    if (r->is_failed)
        return;
    (void)replica__now(r);
    tick(r);
    replica__propose(r);
    replica__ask_reads(r);
    r->needs_turn = false;
    if (r->needs_poll) {
        r->needs_poll = false;
        raft_poll(r->raft, &out);
        carry_out(r, &out);
    }
    replica__answer_queries(r);
    replica__send_results(r);
}

uint64_t replica_deadline_us(const struct replica *replica)
{
    const struct replica *r = replica;
    uint64_t raft_us = raft_deadline_us(r->raft);

    if (r->needs_turn)
        return 0;
    return raft_us < r->expiry_us ? raft_us : r->expiry_us;
}

bool replica_resign(struct replica *replica)
{
    struct raft_event event = {.type = RAFT_TRANSFER};

    (void)replica__now(replica);
    replica->is_stopping = true;
    if (!replica->is_resigning) {
        if (replica->role != RAFT_LEADER)
            return true;
        replica->is_resigning = true;
        if (replica__step(replica, &event) != DKV_OK)
            return true; /* nobody to hand over to */
    }
    /* Peers that do not know of the next leader yet still send their writes here, and must hear
     * that they were not done.  It tells them when it tells this node. */
    return replica->role != RAFT_LEADER && replica->leader != 0 &&
           replica->now_us >= replica->leader_since_us + replica->config.heartbeat_us;
}

uint64_t replica_roles(const struct replica *replica)
{
    return replica->roles;
}

bool replica_has_writes(const struct replica *replica)
{
    return replica->writes_count > 0;
}

/* --- from peers --- */

static void on_raft(struct replica *r, raft_id from, struct blob *payload)
{
    struct raft_event event = {.type = RAFT_RECEIVE};
    struct raft_message message;

    if (wire_decode(payload, from, r->config.self, &r->received, &message) != DKV_OK) {
        r->frames_refused++;
        return;
    }
    event.message = &message;
    if (replica__step(r, &event) == DKV_EINVAL)
        r->frames_refused++;
}

void replica_frame(struct replica *replica, raft_id from, uint8_t type, struct blob *payload)
{
    (void)replica__now(replica);
    switch (type) {
    case FRAME_RAFT:
        on_raft(replica, from, payload);
        break;
    case FRAME_FORWARD:
        replica__on_forward(replica, from, payload);
        break;
    case FRAME_FORWARD_RESULT:
        replica__on_forward_result(replica, from, payload);
        break;
    case FRAME_NODE_INFO:
        replica__on_node_info(replica, from, payload);
        break;
    case FRAME_CLUSTER_QUERY:
        replica__on_query(replica, from, payload);
        break;
    case FRAME_CLUSTER_ANSWER:
        replica__on_query_answer(replica, payload);
        break;
    case FRAME_SNAPSHOT_CHUNK:
        replica__on_chunk(replica, from, payload);
        break;
    case FRAME_SNAPSHOT_ACK:
        replica__on_chunk_ack(replica, from, payload);
        break;
    default:
        replica->frames_refused++;
    }
}

void replica_peer_ready(struct replica *replica, raft_id peer)
{
    (void)peer;
    replica->needs_turn = true;
}

void replica_peer_lost(struct replica *replica, raft_id peer)
{
    struct raft_event event = {.type = RAFT_UNREACHABLE};

    (void)replica__now(replica);
    event.peer = peer;
    (void)replica__step(replica, &event);
    replica__relay_lost(replica, peer);
}

void replica_set_limits(struct replica *replica, const struct replica_limits *limits)
{
    replica->config.request_timeout_us = limits->request_timeout_us;
    replica->config.slow_request_us = limits->slow_request_us;
    replica->config.log_bytes_max = limits->log_bytes_max;
    replica->config.log_keep_bytes = limits->log_keep_bytes;
}

void replica_peer_http(struct replica *replica, raft_id peer, const char *http, const char *storage)
{
    struct replica_peer *p = replica__peer(replica, peer);

    if (p == NULL)
        return;
    snprintf(p->http, sizeof(p->http), "%s", http);
    snprintf(p->storage, sizeof(p->storage), "%s", storage);
    replica->members_changed = true;
}

bool replica_members_changed(struct replica *replica)
{
    bool changed = replica->members_changed;

    replica->members_changed = false;
    return changed;
}
