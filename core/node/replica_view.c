/* What this node tells: its own view, the leader's view of all members, and what members say about
 * themselves. */
#include "node/replica_private.h"

#include <string.h>

#include "base/assert.h"
#include "base/log.h"

enum { INFO_INTERVAL_US = 100 * 1000, ELECTIONS_LONG = 3 };

static void copy_text(char *to, size_t size, const char *from)
{
    size_t len = strlen(from);

    if (len >= size)
        len = size - 1;
    memcpy(to, from, len);
    to[len] = '\0';
}

static const char *name_of(const struct replica *r, raft_id id)
{
    for (size_t i = 0; i < r->peers_count; i++) {
        if (r->peers[i].id == id)
            return r->peers[i].name;
    }
    return "";
}

static uint64_t contact_age_us(const struct replica *r)
{
    uint64_t heard_us = raft_leader_contact_us(r->raft);

    if (r->role == RAFT_LEADER)
        return 0;
    if (heard_us < r->led_until_us)
        heard_us = r->led_until_us;
    return heard_us == 0 ? UINT64_MAX : r->now_us - heard_us;
}

bool replica_is_new(const struct replica *replica)
{
    struct raft_status status;

    raft_status(replica->raft, &status);
    return status.last == 0;
}

void replica_node_view(const struct replica *replica, struct api_node_view *view_out)
{
    const struct replica *r = replica;

    memset(view_out, 0, sizeof(*view_out));
    copy_text(view_out->name, sizeof(view_out->name), name_of(r, r->config.self));
    copy_text(view_out->leader, sizeof(view_out->leader), name_of(r, r->leader));
    copy_text(view_out->storage, sizeof(view_out->storage), r->config.storage_name);
    memcpy(view_out->cluster_id, r->config.cluster_id, sizeof(view_out->cluster_id));
    view_out->role = r->role == RAFT_LEADER         ? API_ROLE_LEADER
                     : r->role == RAFT_CANDIDATE    ? API_ROLE_CANDIDATE
                     : r->role == RAFT_PRECANDIDATE ? API_ROLE_PRE_CANDIDATE
                                                    : API_ROLE_FOLLOWER;
    view_out->term = r->term;
    view_out->commit_index = r->commit_index;
    view_out->applied_index = r->state.index;
    view_out->keys = r->state.keys;
    view_out->digest = r->state.digest;
    view_out->contact_age_us = contact_age_us(r);
    view_out->is_stopping = r->is_stopping;
    view_out->is_restoring = r->is_restoring;
    view_out->is_disk_full = replica__is_full(r);
}

void replica_members(const struct replica *replica, struct api_cluster_view *view_out)
{
    const struct replica *r = replica;

    memset(view_out, 0, sizeof(*view_out));
    memcpy(view_out->cluster_id, r->config.cluster_id, sizeof(view_out->cluster_id));
    copy_text(view_out->leader, sizeof(view_out->leader), name_of(r, r->leader));
    view_out->term = r->term;
    view_out->commit_index = r->commit_index;
    for (size_t i = 0; i < r->peers_count; i++) {
        const struct replica_peer *peer = &r->peers[i];
        struct api_member *m = &view_out->members[view_out->members_count++];

        copy_text(m->name, sizeof(m->name), peer->name);
        copy_text(m->peer, sizeof(m->peer), peer->address);
        copy_text(m->http, sizeof(m->http), peer->http);
        copy_text(m->storage, sizeof(m->storage), peer->storage);
        m->is_leader = peer->id == r->leader;
        m->is_voter = true;
        m->applied_index = peer->applied_index;
    }
}

static void add_progress(const struct replica *r, struct api_cluster_view *view,
                         const struct raft_status *status)
{
    for (size_t i = 0; i < r->peers_count; i++) {
        struct api_member *m = &view->members[i];

        if (r->peers[i].id == r->config.self) {
            m->match_index = status->durable;
            m->applied_index = r->state.index;
            m->is_reachable = true;
        }
        for (uint32_t n = 0; n < status->peers_count; n++) {
            const struct raft_peer_status *p = &status->peers[n];

            if (p->id != r->peers[i].id)
                continue;
            m->match_index = p->match;
            m->is_voter = (p->flags & RAFT_MEMBER_LEARNER) == 0;
            m->is_sending_snapshot = p->state == RAFT_PEER_SNAPSHOT;
            m->is_reachable = r->config.ops->is_reachable(r->config.ctx, p->id) &&
                              r->now_us < p->contact_us + 2 * r->config.election_us;
        }
        m->lag = status->commit > m->match_index ? status->commit - m->match_index : 0;
    }
}

static void leader_view(const struct replica *r, struct api_cluster_view *view_out)
{
    struct raft_status status;

    raft_status(r->raft, &status);
    replica_members(r, view_out);
    add_progress(r, view_out, &status);
}

/* --- over the network --- */

static void encode_view(struct buf *to, uint64_t ticket, const struct api_cluster_view *view)
{
    buf_add_u64(to, ticket);
    buf_add_u64(to, view->term);
    buf_add_u64(to, view->commit_index);
    net_text_encode(to, view->leader);
    buf_add_u32(to, view->members_count);
    for (uint32_t i = 0; i < view->members_count; i++) {
        const struct api_member *m = &view->members[i];

        net_text_encode(to, m->name);
        net_text_encode(to, m->peer);
        net_text_encode(to, m->http);
        net_text_encode(to, m->storage);
        buf_add_u8(to, (uint8_t)(m->is_voter | m->is_leader << 1 | m->is_reachable << 2 |
                                 m->is_sending_snapshot << 3));
        buf_add_u64(to, m->match_index);
        buf_add_u64(to, m->applied_index);
        buf_add_u64(to, m->lag);
    }
}

static void decode_member(struct decoder *d, struct api_member *m)
{
    uint8_t flags;

    (void)net_text_decode(d, m->name, sizeof(m->name));
    (void)net_text_decode(d, m->peer, sizeof(m->peer));
    (void)net_text_decode(d, m->http, sizeof(m->http));
    (void)net_text_decode(d, m->storage, sizeof(m->storage));
    flags = decoder_u8(d);
    m->is_voter = flags & 1;
    m->is_leader = flags & 2;
    m->is_reachable = flags & 4;
    m->is_sending_snapshot = flags & 8;
    m->match_index = decoder_u64(d);
    m->applied_index = decoder_u64(d);
    m->lag = decoder_u64(d);
}

static bool decode_view(struct decoder *d, struct api_cluster_view *view_out)
{
    memset(view_out, 0, sizeof(*view_out));
    view_out->term = decoder_u64(d);
    view_out->commit_index = decoder_u64(d);
    (void)net_text_decode(d, view_out->leader, sizeof(view_out->leader));
    view_out->members_count = decoder_u32(d);
    if (d->failed || view_out->members_count > API_MEMBERS_MAX)
        return false;
    for (uint32_t i = 0; i < view_out->members_count; i++)
        decode_member(d, &view_out->members[i]);
    return !d->failed;
}

static void complete(struct api_cluster_query *query, int status)
{
    list_remove(&query->link);
    query->status = status;
    query->done(query);
}

/* --- queries --- */

static void ask(struct replica *r, struct api_cluster_query *query)
{
    buf_reset(&r->frame);
    buf_add_u64(&r->frame, query->ticket);
    query->is_asked = r->leader != 0 && replica__send(r, r->leader, FRAME_CLUSTER_QUERY, &r->frame);
}

void replica_cluster(struct replica *replica, struct api_cluster_query *query)
{
    query->deadline_us = replica__now(replica) + replica->config.request_timeout_us;
    query->ticket = replica->next_query++;
    query->is_asked = false;
    list_push(&replica->queries, &query->link);
    replica->needs_turn = true;
}

void replica__answer_queries(struct replica *r)
{
    struct list *at = r->queries.next;

    while (at != &r->queries) {
        struct api_cluster_query *query = container_of(at, struct api_cluster_query, link);

        at = at->next;
        if (r->role == RAFT_LEADER) {
            leader_view(r, &query->view);
            complete(query, DKV_OK);
        } else if (query->deadline_us <= r->now_us) {
            complete(query, DKV_EUNAVAIL);
        } else if (!query->is_asked) {
            ask(r, query);
        }
    }
}

void replica__cancel_queries(struct replica *r)
{
    while (!list_is_empty(&r->queries))
        complete(container_of(r->queries.next, struct api_cluster_query, link), DKV_ECANCELED);
}

void replica__on_query(struct replica *r, raft_id from, const struct blob *payload)
{
    struct decoder d;
    uint64_t ticket;
    struct api_cluster_view view;

    decoder_init(&d, payload->bytes, payload->len);
    ticket = decoder_u64(&d);
    if (d.failed || r->role != RAFT_LEADER)
        return; /* the asker has a deadline */
    leader_view(r, &view);
    buf_reset(&r->frame);
    encode_view(&r->frame, ticket, &view);
    (void)replica__send(r, from, FRAME_CLUSTER_ANSWER, &r->frame);
}

void replica__on_query_answer(struct replica *r, const struct blob *payload)
{
    struct decoder d;
    uint64_t ticket;

    decoder_init(&d, payload->bytes, payload->len);
    ticket = decoder_u64(&d);
    for (struct list *at = r->queries.next; at != &r->queries; at = at->next) {
        struct api_cluster_query *query = container_of(at, struct api_cluster_query, link);

        if (query->ticket != ticket)
            continue;
        if (decode_view(&d, &query->view)) {
            memcpy(query->view.cluster_id, r->config.cluster_id, sizeof(query->view.cluster_id));
            complete(query, DKV_OK);
        } else {
            r->frames_refused++;
        }
        return;
    }
}

/* --- what members say about themselves --- */

void replica__on_node_info(struct replica *r, raft_id from, const struct blob *payload)
{
    struct replica_peer *peer = replica__peer(r, from);
    struct relay_node_info info;

    if (peer == NULL || relay_node_info_decode(payload->bytes, payload->len, &info) != DKV_OK) {
        r->frames_refused++;
        return;
    }
    peer->applied_index = info.applied_index;
    peer->has_space = info.has_space;
    memcpy(peer->http, info.http, sizeof(peer->http));
    memcpy(peer->storage, info.storage, sizeof(peer->storage));
}

void replica__send_info(struct replica *r)
{
    struct relay_node_info info = {.applied_index = r->state.index,
                                   .has_space = !replica__is_full(r)};
    bool is_known = r->info_sent_to == r->leader && r->info_sent_index == info.applied_index &&
                    r->info_sent_space == info.has_space;

    if (r->leader == 0 || r->role == RAFT_LEADER || is_known ||
        r->now_us < r->info_sent_us + INFO_INTERVAL_US)
        return;
    copy_text(info.http, sizeof(info.http), r->config.http_address);
    copy_text(info.storage, sizeof(info.storage), r->config.storage_name);
    buf_reset(&r->frame);
    relay_node_info_encode(&r->frame, &info);
    if (replica__send(r, r->leader, FRAME_NODE_INFO, &r->frame)) {
        r->info_sent_us = r->now_us;
        r->info_sent_index = info.applied_index;
        r->info_sent_space = info.has_space;
        r->info_sent_to = r->leader;
    }
}

/* --- in the log --- */

static uint32_t count_reachable(const struct replica *r)
{
    uint32_t count = 0;

    for (size_t i = 0; i < r->peers_count; i++) {
        raft_id id = r->peers[i].id;

        count += id == r->config.self || r->config.ops->is_reachable(r->config.ctx, id);
    }
    return count;
}

/* An election takes its time; after a few of them it is told what the node waits for, and again
 * when that changes.  That there is a leader again is told where it is found. */
void replica__tell_no_leader(struct replica *r)
{
    uint32_t reachable;
    bool has_majority;

    if (r->leader != 0) {
        r->leaderless_us = r->told_reachable = 0;
        return;
    }
    if (r->leaderless_us == 0)
        r->leaderless_us = r->now_us;
    if (r->now_us < r->leaderless_us + ELECTIONS_LONG * r->config.election_us)
        return;
    reachable = count_reachable(r);
    has_majority = 2 * reachable > r->peers_count;
    if (has_majority && r->told_reachable != 0 && 2 * r->told_reachable <= r->peers_count) {
        r->leaderless_us = r->told_reachable = 0; /* they elect one now */
        return;
    }
    if (reachable == r->told_reachable)
        return;
    r->told_reachable = reachable;
    if (!has_majority)
        log_warn("raft", "raft.no_majority",
                 "no leader: waiting until a majority of the nodes can be reached",
                 LOG_U64("reachable", reachable), LOG_U64("members", r->peers_count), LOG_END);
    else
        log_warn("raft", "raft.no_leader",
                 "no leader, although a majority of the nodes can be reached",
                 LOG_U64("reachable", reachable), LOG_U64("members", r->peers_count), LOG_END);
}
