#include "node/node.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"
#include "node/descriptors.h"
#include "node/fs_kind.h"
#include "node/node_private.h"

static int fail(struct node *n, int exit_code, const struct dkv_error *err)
{
    log_error("node", "node.start_failed", "the node cannot start", LOG_STR("why", err->text),
              LOG_END);
    n->exit_code = exit_code;
    return err->status;
}

static int exit_code_of(int status)
{
    switch (status) {
    case DKV_EUNAVAIL:
        return EXIT_CODE_UNAVAILABLE;
    case DKV_EPERM:
        return EXIT_CODE_PERMISSION;
    case DKV_EINVAL:
    case DKV_ENOENT:  /* a plugin or a file that the configuration names */
    case DKV_ETOOBIG: /* the cluster's limits are above the storage's */
        return EXIT_CODE_CONFIG;
    case DKV_ENOMEM:
        return EXIT_CODE_LIMIT;
    case DKV_ECORRUPT:
        return EXIT_CODE_DAMAGE;
    default:
        return EXIT_CODE_IO;
    }
}

/* --- opening, in this order --- */

static int open_log(struct node *n)
{
    const struct settings_log *s = &n->settings->log;
    struct log_config config = {.level = s->level,
                                .format = s->format,
                                .node = n->settings->node.name,
                                .path = s->file[0] == '\0' ? NULL : s->file,
                                .ring_lines = (unsigned)s->queue_lines};
    struct dkv_error err = {0};
    int status = log_start(&config, &err);

    return status == DKV_OK ? DKV_OK : fail(n, exit_code_of(status), &err);
}

/* Every entry must fit into one segment. */
static int check_segment(struct node *n)
{
    const struct settings *s = n->settings;
    uint64_t needed = (s->cluster.value_max + s->cluster.key_max) / 3 * 4 + (64 << 10);
    struct dkv_error err = {0};

    if (s->wal.segment_size >= needed)
        return DKV_OK;
    (void)dkv_error_set(&err, DKV_EINVAL,
                        "wal.segment_size is %llu bytes, too small for the largest value "
                        "(cluster.value_max = %llu); set it to %llu or more",
                        (unsigned long long)s->wal.segment_size,
                        (unsigned long long)s->cluster.value_max, (unsigned long long)needed);
    return fail(n, EXIT_CODE_CONFIG, &err);
}

static int adopt_members(struct node *n, int *exit_code_out, struct dkv_error *err)
{
    bool differ;
    int status = identity_adopt_members(&n->identity, &differ);

    if (status != DKV_OK) {
        *exit_code_out = EXIT_CODE_DAMAGE;
        return dkv_error_set(err, status,
                             "data directory %s: the members in file NODE make no sense",
                             datadir_path(n->datadir));
    }
    if (!differ)
        return DKV_OK;
    *exit_code_out = EXIT_CODE_DATA;
    return dkv_error_set(err, DKV_EINVAL,
                         "data directory %s was set up with the members %s, and cluster.peers "
                         "names others; addresses may change, members not.  Put that line back, or "
                         "give this node another, empty node.data_dir if what it has may be lost",
                         datadir_path(n->datadir), n->identity.dir.members);
}

static int open_data(struct node *n)
{
    struct dkv_error err = {0};
    int exit_code = EXIT_CODE_IO;
    uint64_t random;
    int status;

    if (getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random)) {
        (void)dkv_error_set(&err, DKV_EIO, "the system gives no random numbers");
        return fail(n, EXIT_CODE_IO, &err);
    }
    status = identity_init(&n->identity, n->settings, random, &err);
    if (status != DKV_OK)
        return fail(n, EXIT_CODE_CONFIG, &err);
    if (n->settings->dev)
        return DKV_OK;
    status = datadir_open(n->settings->node.data_dir, n->settings->node.allow_any_filesystem,
                          &n->identity.dir, &n->datadir, &exit_code, &err);
    if (status == DKV_OK)
        status = adopt_members(n, &exit_code, &err);
    if (status == DKV_OK) {
        status = datadir_fs(n->datadir)->ops->mkdir(datadir_fs(n->datadir), "store");
        if (status != DKV_OK)
            (void)dkv_error_set(&err, status, "create the folder store: %s", status_text(status));
    }
    return status == DKV_OK ? DKV_OK : fail(n, exit_code, &err);
}

/* The storage is opened for the loop of the thread that will apply. */
static int open_storage(struct node *n)
{
    struct env *env = daemon_env_base(n->env);
    struct applier_config config = {.env = env, .is_folded = !n->settings->threads.apply};
    struct dkv_error err = {0};
    int status;

    if (!config.is_folded)
        n->apply_base = node__new_base();
    for (int i = 0; i < 2; i++)
        config.machine.hash_key[i] = env->ops->random(env);
    memcpy(config.machine.cluster_id, n->identity.dir.cluster_id,
           sizeof(config.machine.cluster_id));
    config.home = config.is_folded ? n->base : n->apply_base;
    status = plugins_open(n->conf, config.home, &n->plugins, &err);
    if (status == DKV_ENOTSUP)
        return fail(n, EXIT_CODE_DATA, &err);
    if (status != DKV_OK)
        return fail(n, exit_code_of(status), &err);
    config.store = n->plugins.store;
    status = applier_open(&config, &n->applier, &n->state, &err);
    if (status == KV_EFOREIGN)
        return fail(n, EXIT_CODE_DATA, &err);
    return status == DKV_OK ? DKV_OK : fail(n, exit_code_of(status), &err);
}

static int restore(void *ctx, const char *path, struct kv_state *state_out, struct dkv_error *err)
{
    struct node *n = ctx;
    struct apply_job job = {.kind = APPLY_RESTORE};

    snprintf(job.path, sizeof(job.path), "%s", path);
    applier_run(n->applier, &job);
    *err = job.err;
    *state_out = job.state;
    return job.status;
}

static void configure_replica(const struct node *n, struct replica_config *c)
{
    const struct settings *s = n->settings;

    *c = (struct replica_config){.env = daemon_env_base(n->env),
                                 .ops = &node__replica_ops,
                                 .ctx = (void *)(uintptr_t)n,
                                 .self = n->identity.self,
                                 .incarnation = n->identity.dir.incarnation,
                                 .members = n->identity.members,
                                 .members_count = n->identity.members_count,
                                 .http_address = s->http.advertise.text,
                                 .storage_name = s->storage.plugin,
                                 .storage_is_durable = n->plugins.store->caps & DKV_CAP_DURABLE,
                                 .is_volatile = n->datadir == NULL,
                                 .has_log = n->identity.dir.has_log,
                                 .state = n->state,
                                 .heartbeat_us = s->raft.heartbeat_interval_us,
                                 .election_us = s->raft.election_timeout_us,
                                 .disk_stall_us = s->raft.disk_stall_timeout_us,
                                 .request_timeout_us = s->http.request_timeout_us,
                                 .slow_request_us = s->log.slow_request_us,
                                 .message_bytes_max = (uint32_t)s->raft.max_message,
                                 .messages_in_flight = (uint32_t)s->raft.max_in_flight,
                                 .reads_pending_max = (uint32_t)s->raft.max_reads_pending,
                                 .uncommitted_bytes_max = s->raft.max_uncommitted,
                                 .log_memory_bytes = s->raft.log_memory,
                                 .segment_bytes = s->wal.segment_size,
                                 .spare_segments = (uint32_t)s->wal.spare_segments,
                                 .log_bytes_max = s->snapshot.log_size,
                                 .log_keep_bytes = s->snapshot.keep_size,
                                 .chunk_bytes = (uint32_t)s->snapshot.chunk_size,
                                 .key_max = (uint32_t)s->cluster.key_max,
                                 .value_max = (uint32_t)s->cluster.value_max};
    memcpy(c->cluster_id, n->identity.dir.cluster_id, sizeof(c->cluster_id));
}

static int open_replica(struct node *n)
{
    struct replica_config config;
    struct dkv_error err = {0};
    int exit_code = EXIT_CODE_DAMAGE, status;

    configure_replica(n, &config);
    if (replica_open(&config, restore, &n->replica, &exit_code, &err) != DKV_OK)
        return fail(n, exit_code, &err);
    if (n->datadir == NULL)
        return DKV_OK;
    status = datadir_note_log(n->datadir, &n->identity.dir);
    if (status == DKV_OK)
        return DKV_OK;
    (void)dkv_error_set(&err, status, "data directory %s: file NODE: %s", datadir_path(n->datadir),
                        status_text(status));
    return fail(n, exit_code_of(status), &err);
}

static int open_workers(struct node *n, struct dkv_error *err)
{
    struct worker_config config = {.settings = n->settings,
                                   .store = n->plugins.store,
                                   .transport = n->plugins.http_transport,
                                   .to_raft = &n->from_workers,
                                   .connections_max = n->connections_max,
                                   .ctx = n,
                                   .node_view = node__node_view,
                                   .members = node__members};
    uint64_t wanted = n->settings->threads.workers;

    while (n->workers_count < wanted && n->workers_count < NODE_WORKERS_MAX) {
        int status;

        config.number = (int)n->workers_count + 1;
        status = worker_open(&config, &n->workers[n->workers_count], err);
        if (status != DKV_OK)
            return status;
        n->workers_count++;
        node__publish(n);
    }
    return DKV_OK;
}

/* Each worker has a server of its own, and its part of what there is room for. */
static int reserve_descriptors(struct node *n, struct dkv_error *err)
{
    const struct settings *s = n->settings;
    uint64_t servers = s->threads.workers > 0 ? s->threads.workers : 1;
    uint64_t wanted = s->http.max_connections * servers, got;
    int status =
        descriptors_reserve(wanted, n->identity.members_count, s->threads.workers, &got, err);

    if (status != DKV_OK)
        return status;
    if (got < wanted)
        log_warn("node", "node.few_descriptors",
                 "the limit of open files leaves room for fewer client connections than "
                 "http.max_connections; raise it (ulimit -n, LimitNOFILE=)",
                 LOG_U64("connections", got), LOG_END);
    n->connections_max = (uint32_t)(got / servers);
    return DKV_OK;
}

static int open_rest(struct node *n, struct dkv_error *err)
{
    struct rest_config config = {.settings = n->settings,
                                 .base = n->base,
                                 .store = n->plugins.store,
                                 .transport = n->plugins.http_transport,
                                 .ops = &node__local_ops,
                                 .has_company = true,
                                 .connections_max = n->connections_max,
                                 .ctx = n};
    int status;

    if (n->settings->threads.workers > 0)
        return open_workers(n, err);
    status = rest_open(&config, &n->rest, err);
    return status == DKV_OK ? rest_listen(n->rest, err) : status;
}

/* Before the data directory is made, which holds the members from then on; and two daemons of one
 * user would share a port that workers open with SO_REUSEPORT. */
static int probe_addresses(struct node *n, struct dkv_error *err)
{
    const struct conf_address_list *listen = &n->settings->http.listen;
    const struct conf_address *peer = &n->settings->peer.listen;

    for (size_t i = 0; i < listen->count; i++) {
        int status = rest_probe(listen->items[i].text, err);

        if (status != DKV_OK)
            return status;
    }
    if (peer->host != NULL && rest_probe(peer->text, err) != DKV_OK)
        return dkv_error_wrap(err, "peer.listen");
    return DKV_OK;
}

static int open_all(struct node *n)
{
    struct dkv_error err = {0};
    int status = open_log(n);

    if (status != DKV_OK)
        return status;
    status = check_segment(n);
    if (status != DKV_OK)
        return status;
    status = plugins_check(n->conf, &err);
    if (status != DKV_OK)
        return fail(n, status == DKV_EINVAL ? EXIT_CODE_CONFIG : exit_code_of(status), &err);
    status = probe_addresses(n, &err);
    if (status != DKV_OK)
        return fail(n, exit_code_of(status), &err);
    status = open_data(n);
    if (status != DKV_OK)
        return status;
    status = daemon_env_open(n->datadir == NULL ? NULL : datadir_fs(n->datadir), &n->env, &err);
    if (status != DKV_OK)
        return fail(n, exit_code_of(status), &err);
    status = reserve_descriptors(n, &err);
    if (status != DKV_OK)
        return fail(n, exit_code_of(status), &err);
    node__open_loop(n);
    status = exchange_open(&n->from_workers, &err);
    if (status != DKV_OK)
        return fail(n, exit_code_of(status), &err);
    n->has_exchange = true;
    status = open_storage(n);
    if (status == DKV_OK)
        status = open_replica(n);
    if (status != DKV_OK)
        return status;
    node__watch_mail(n);
    status = node__open_peers(n, &err);
    if (status == DKV_OK)
        status = open_rest(n, &err);
    return status == DKV_OK ? DKV_OK : fail(n, exit_code_of(status), &err);
}

/* --- closing, the other way round --- */

/* The storage ends what it has under way when it is closed, so whose it was is there until then. */
static void close_storage(struct node *n)
{
    if (n->applier != NULL)
        applier_stop(n->applier);
    if (n->replica != NULL)
        replica_leave_storage(n->replica);
    plugins_close(&n->plugins);
    applier_close(&n->applier);
}

static void close_all(struct node *n)
{
    if (n->replica != NULL)
        replica_cancel(n->replica);
    for (size_t i = 0; i < n->workers_count; i++)
        worker_close(&n->workers[i]);
    rest_close(&n->rest);
    cluster_close(&n->cluster);
    if (n->replica != NULL)
        replica_seal(n->replica);
    daemon_env_close(&n->env);
    close_storage(n);
    replica_close(&n->replica);
    if (n->has_exchange)
        exchange_close(&n->from_workers);
    if (n->apply_base != NULL)
        event_base_free(n->apply_base);
    node__close_loop(n);
    conf_free(&n->reload_conf);
    conf_free(&n->latest);
    datadir_close(&n->datadir);
    status_board_fini(&n->board);
    if (n->stop == NODE_STOPPED && n->exit_code == EXIT_CODE_OK)
        log_info("node", "node.stopped", "stopped", LOG_END);
    log_stop(1000);
}

int node_run(struct conf *conf, const struct node_source *source)
{
    struct node *n = xcalloc(1, sizeof(*n));
    int exit_code;

    n->conf = conf;
    n->source = source;
    n->settings = conf_settings(conf);
    status_board_init(&n->board);
    if (open_all(n) == DKV_OK) {
        struct fs_kind kind = {.name = "none"};

        (void)fs_kind_of(n->settings->node.data_dir, &kind);
        log_info("node", "node.started", "serving", LOG_STR("version", PACKAGE_VERSION),
                 LOG_STR("storage", n->settings->storage.plugin), LOG_STR("filesystem", kind.name),
                 LOG_STR("mount", kind.mount),
                 LOG_STR("http", n->settings->http.listen.items[0].text),
                 LOG_U64("applied_index", n->state.index), LOG_U64("keys", n->state.keys), LOG_END);
        notify_ready();
        node__run_loop(n);
    }
    exit_code = n->exit_code;
    close_all(n);
    dkv_panic_hook(NULL, NULL);
    free(n);
    return exit_code;
}
