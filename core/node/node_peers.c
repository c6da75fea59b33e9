/* The other members: who may talk to us, what arrives from them, what the replica sends. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/exit_codes.h"
#include "base/log.h"
#include "node/node_private.h"

/* --- for the replica --- */

static bool send_frame(void *ctx, raft_id to, enum frame_type type, const struct buf *payload)
{
    struct node *n = ctx;

    return n->cluster != NULL && cluster_send(n->cluster, to, type, payload);
}

static bool is_reachable(void *ctx, raft_id peer)
{
    struct node *n = ctx;

    return n->cluster != NULL && cluster_is_ready(n->cluster, peer);
}

static void post_apply(void *ctx, struct apply_job *job)
{
    struct node *n = ctx;

    applier_post(n->applier, job);
}

const struct replica_ops node__replica_ops = {
    .send = send_frame, .is_reachable = is_reachable, .apply = post_apply};

/* --- incarnations: a member that lost its disk may not vote as if it had not --- */

static void write_known(struct node *n);

static void known_work(struct env_job *job)
{
    struct node *n = container_of(job, struct node, known_job);

    if (datadir_write_peers(datadir_fs(n->datadir), n->known_copy, n->known_copy_count) != DKV_OK)
        n->known_is_dirty = true;
}

static void known_done(struct env_job *job)
{
    struct node *n = container_of(job, struct node, known_job);

    n->known_is_busy = false;
    write_known(n);
}

static void write_known(struct node *n)
{
    struct env *env = daemon_env_base(n->env);

    if (n->known_is_busy || !n->known_is_dirty || n->datadir == NULL)
        return;
    n->known_is_dirty = false;
    n->known_is_busy = true;
    memcpy(n->known_copy, n->known, sizeof(n->known));
    n->known_copy_count = n->known_count;
    n->known_job = (struct env_job){.work = known_work, .done = known_done};
    env->ops->submit(env, ENV_QUEUE_BACKGROUND, &n->known_job);
}

static const struct replica_member *find_member(const struct node *n, raft_id id)
{
    for (size_t i = 0; i < n->identity.members_count; i++) {
        if (n->identity.members[i].id == id)
            return &n->identity.members[i];
    }
    return NULL;
}

/* Our hellos say whom we have met: two nodes that know different directories of a third have
 * different histories, and must not agree on a log. */
static void tell_known(struct node *n)
{
    struct net_known known[DATADIR_PEERS_MAX];

    for (uint32_t i = 0; i < n->known_count; i++)
        known[i] = (struct net_known){n->known[i].id, n->known[i].incarnation};
    cluster_set_known(n->cluster, known, n->known_count);
}

/* True if it is the one that is known, or none was. */
static bool is_same_incarnation(const struct node *n, uint64_t id, uint64_t incarnation)
{
    for (uint32_t i = 0; i < n->known_count; i++) {
        if (n->known[i].id == id)
            return n->known[i].incarnation == incarnation;
    }
    return true;
}

static void learn(struct node *n, uint64_t id, uint64_t incarnation)
{
    for (uint32_t i = 0; i < n->known_count; i++) {
        if (n->known[i].id == id)
            return;
    }
    if (id == n->identity.self || find_member(n, id) == NULL || n->known_count == DATADIR_PEERS_MAX)
        return;
    n->known[n->known_count++] = (struct datadir_peer){id, incarnation};
    n->known_is_dirty = true;
    write_known(n);
    tell_known(n);
}

/* The first member of which the caller knows another data directory; NULL if there is none. */
static const struct net_known *find_contradiction(const struct node *n,
                                                  const struct net_hello *hello)
{
    for (uint32_t i = 0; i < hello->known_count; i++) {
        if (!is_same_incarnation(n, hello->known[i].id, hello->known[i].incarnation))
            return &hello->known[i];
    }
    return NULL;
}

static void welcome(struct node *n, const struct net_hello *hello)
{
    learn(n, hello->from, hello->incarnation);
    for (uint32_t i = 0; i < hello->known_count; i++)
        learn(n, hello->known[i].id, hello->known[i].incarnation);
    replica_peer_http(n->replica, hello->from, hello->http, hello->storage);
}

static void refuse(struct net_hello_answer *answer, uint32_t verdict, const char *fmt, ...)
    DKV_PRINTF(3, 4);
static void refuse(struct net_hello_answer *answer, uint32_t verdict, const char *fmt, ...)
{
    va_list ap;

    answer->verdict = verdict;
    va_start(ap, fmt);
    vsnprintf(answer->why, sizeof(answer->why), fmt, ap);
    va_end(ap);
}

static void judge(struct node *n, const struct net_hello *hello,
                  struct net_hello_answer *answer_out)
{
    const struct datadir_identity *us = &n->identity.dir;
    const struct net_known *other = find_contradiction(n, hello);

    if (memcmp(hello->cluster_id, us->cluster_id, sizeof(us->cluster_id)) != 0)
        refuse(answer_out, NET_WRONG_CLUSTER,
               "node %s is of cluster %s with another list of first members; cluster.name and "
               "cluster.peers must be the same on every node",
               us->node_name, us->cluster_name);
    else if (hello->to != n->identity.self)
        refuse(answer_out, NET_WRONG_NODE,
               "this address is node %s; correct cluster.peers of node %s", us->node_name,
               hello->name);
    else if (find_member(n, hello->from) == NULL)
        refuse(answer_out, NET_UNKNOWN_NODE,
               "node %s is no member of the cluster that node %s knows", hello->name,
               us->node_name);
    else if (!is_same_incarnation(n, hello->from, hello->incarnation))
        refuse(answer_out, NET_OTHER_INCARNATION,
               "node %s comes back with another data directory than node %s knows: what it had "
               "promised "
               "to keep is gone, so it may not vote. Put its data directory back",
               hello->name, us->node_name);
    else if (other != NULL)
        refuse(answer_out, NET_OTHER_INCARNATION,
               "node %s and node %s have met different data directories of node %s, which was "
               "emptied in between: they may have acknowledged different writes. Keep the data of "
               "one of them, set the other nodes up anew",
               hello->name, us->node_name, find_member(n, other->id)->name);
    else
        welcome(n, hello);
}

static void on_greet(void *ctx, const struct net_hello *hello, struct net_hello_answer *answer_out)
{
    judge(ctx, hello, answer_out);
    if (answer_out->verdict != NET_WELCOME)
        log_warn("net", "net.turned_away", "a node that wants to talk to this one is turned away",
                 LOG_STR("peer", hello->name), LOG_STR("why", answer_out->why), LOG_END);
}

/* --- from net --- */

static uint64_t bit_of(const struct node *n, const struct replica_member *m)
{
    _Static_assert(API_MEMBERS_MAX <= 64, "a bit for each");
    return (uint64_t)1 << (m - n->identity.members);
}

static void on_ready(void *ctx, uint64_t peer_id)
{
    struct node *n = ctx;
    const struct replica_member *m = find_member(n, peer_id);

    if (m != NULL)
        n->refused_by &= ~bit_of(n, m);
    log_info("net", "net.connected", "connected to a peer",
             LOG_STR("peer", m == NULL ? "" : m->name), LOG_END);
    replica_peer_ready(n->replica, peer_id);
}

static void on_lost(void *ctx, uint64_t peer_id)
{
    struct node *n = ctx;

    replica_peer_lost(n->replica, peer_id);
}

/* Who is wrong about the members: a node that never had an entry, and that most others refuse.  One
 * with data goes on, for it is not the one that was configured last. */
static bool is_the_odd_one(const struct node *n)
{
    size_t others = n->identity.members_count - 1;

    return replica_is_new(n->replica) && 2 * (size_t)__builtin_popcountll(n->refused_by) > others;
}

static void on_refused(void *ctx, uint64_t peer_id, const struct net_hello_answer *answer)
{
    struct node *n = ctx;
    const struct replica_member *m = find_member(n, peer_id);

    if (answer->verdict == NET_WRONG_CLUSTER && m != NULL)
        n->refused_by |= bit_of(n, m);
    if (answer->verdict != NET_OTHER_INCARNATION && !is_the_odd_one(n))
        return; /* said by the link's note, and tried again */
    log_error("net", "net.refused", "a peer does not let this node in; the node stops",
              LOG_STR("why", answer->why), LOG_END);
    node__stop(n, EXIT_CODE_DATA);
}

static void on_frame(void *ctx, uint64_t from, uint8_t type, struct blob *payload)
{
    struct node *n = ctx;

    replica_frame(n->replica, from, type, payload);
}

static void on_note(void *ctx, const char *text)
{
    (void)ctx;
    log_warn("net", "net.note", "peer connection", LOG_STR("what", text), LOG_END);
}

int node__open_peers(struct node *n, struct dkv_error *err)
{
    const struct settings *s = n->settings;
    struct cluster_config config = {.env = daemon_env_base(n->env),
                                    .base = n->base,
                                    .transport = n->plugins.peer_transport,
                                    .listen_address = s->peer.listen.text,
                                    .queue_bytes_max = s->peer.queue_max,
                                    .members_count = (uint32_t)n->identity.members_count,
                                    .ctx = n,
                                    .ready = on_ready,
                                    .lost = on_lost,
                                    .refused = on_refused,
                                    .greet = on_greet,
                                    .frame = on_frame,
                                    .note = on_note};
    int status;

    if (n->identity.members_count < 2)
        return DKV_OK;
    if (n->datadir != NULL) {
        status = datadir_read_peers(datadir_fs(n->datadir), n->known, &n->known_count, err);
        if (status != DKV_OK)
            return status;
    }
    memcpy(config.hello.cluster_id, n->identity.dir.cluster_id, sizeof(config.hello.cluster_id));
    config.hello.from = n->identity.self;
    config.hello.incarnation = n->identity.dir.incarnation;
    snprintf(config.hello.name, sizeof(config.hello.name), "%s", n->identity.dir.node_name);
    snprintf(config.hello.http, sizeof(config.hello.http), "%s", s->http.advertise.text);
    snprintf(config.hello.storage, sizeof(config.hello.storage), "%s", s->storage.plugin);
    status = cluster_open(&config, &n->cluster, err);
    if (status != DKV_OK)
        return status;
    tell_known(n);
    for (size_t i = 0; i < n->identity.members_count; i++) {
        const struct replica_member *m = &n->identity.members[i];

        if (m->id != n->identity.self)
            cluster_add(n->cluster, m->id, m->name, m->peer);
    }
    return DKV_OK;
}
