/* From what is on disk to a replica that runs, and back. */
#include "node/snapshots.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "base/log.h"
#include "base/mem.h"
#include "net/wire.h"

static int fail(int *exit_code_out, int exit_code, int status)
{
    *exit_code_out = exit_code;
    return status;
}

/* --- members --- */

static void first_members(const struct replica_config *config, struct raft_members *members_out)
{
    members_out->count = 0;
    for (size_t i = 0; i < config->members_count; i++) {
        const struct replica_member *m = &config->members[i];
        struct buf info = {0};
        int status;

        net_text_encode(&info, m->name);
        net_text_encode(&info, m->peer);
        status = raft_members_set(members_out, m->id, RAFT_MEMBER_VOTER, info.data, info.len);
        dkv_assert(status == DKV_OK); /* conf has checked names and addresses */
        buf_fini(&info);
    }
}

static int base_members(const struct replica_config *config, const struct wal_recovery *recovery,
                        struct raft_members *members_out, struct dkv_error *err)
{
    int status;

    if (recovery->base_data_len == 0) {
        first_members(config, members_out);
        return DKV_OK;
    }
    status = raft_members_decode(recovery->base_data, recovery->base_data_len, members_out);
    if (status != DKV_OK)
        return dkv_error_set(err, status == DKV_ENOTSUP ? status : DKV_ECORRUPT,
                             "the members in the log cannot be read: %s", status_text(status));
    return DKV_OK;
}

/* Addresses may change between two starts: what the configuration says wins. */
static const char *address_in(const struct replica_config *config, raft_id id)
{
    for (size_t i = 0; i < config->members_count; i++) {
        if (config->members[i].id == id)
            return config->members[i].peer;
    }
    return NULL;
}

static void fill_peer(const struct replica_config *config, const struct raft_member *member,
                      struct replica_peer *peer)
{
    const char *address = address_in(config, member->id);
    struct decoder d;

    peer->id = member->id;
    decoder_init(&d, member->info, member->info_len);
    (void)net_text_decode(&d, peer->name, sizeof(peer->name));
    (void)net_text_decode(&d, peer->address, sizeof(peer->address));
    if (address != NULL)
        snprintf(peer->address, sizeof(peer->address), "%s", address);
    if (member->id == config->self) {
        snprintf(peer->http, sizeof(peer->http), "%s", config->http_address);
        snprintf(peer->storage, sizeof(peer->storage), "%s", config->storage_name);
    }
}

static void fill_peers(struct replica *r, const struct raft_members *members)
{
    r->peers_count = members->count;
    for (uint32_t i = 0; i < members->count; i++)
        fill_peer(&r->config, &members->member[i], &r->peers[i]);
}

/* --- the log and the storage must meet --- */

static int restore_storage(struct replica *r, const struct wal_recovery *recovery,
                           replica_restore_fn *restore, struct dkv_error *err)
{
    struct snapshot_found found = {.older = 0};
    struct snapshot_file file;
    char path[SNAPSHOT_PATH_MAX];
    int status = DKV_OK;

    if (!r->config.is_volatile)
        status = snapshot__find(r->env->fs, recovery, &found, err);
    if (status != DKV_OK)
        return status;
    if (found.damaged[0] != '\0')
        log_error("snapshot", "snapshot.damaged", "a snapshot file is damaged and is not used",
                  LOG_STR("err", found.damage.text), LOG_END);
    file = r->snapshots->newest = found.newest;
    snapshot__note_startable(r, found.older);
    snapshot__note_startable(r, file.index);
    if (r->state.index >= recovery->base_index && r->state.index >= file.index)
        return DKV_OK;
    if (r->state.index >= recovery->base_index && r->config.storage_is_durable)
        return DKV_OK; /* the log brings it up */
    if (file.index == 0)
        return dkv_error_set(
            err, DKV_ENOENT,
            "the storage has everything up to entry %llu, the log begins after %llu, "
            "and %s%s: this node's data is incomplete.  Put back the %s that belongs to this log",
            (unsigned long long)r->state.index, (unsigned long long)recovery->base_index,
            found.damaged[0] == '\0' ? "there is no snapshot in between" : found.damaged,
            found.damaged[0] == '\0' ? "" : ", the snapshot that could help, is damaged",
            r->config.storage_is_durable ? "storage" : "snapshot");
    log_info("node", "node.restoring", "bringing the storage up from a snapshot",
             LOG_U64("index", file.index), LOG_U64("storage_index", r->state.index), LOG_END);
    snapshot__path(path, &file);
    return restore(r->config.ctx, path, &r->state, err);
}

static int check_storage(const struct replica *r, const struct wal_recovery *recovery,
                         struct dkv_error *err)
{
    raft_term term;

    if (r->state.index <= recovery->last_index) {
        term = wal_recovery_term(recovery, r->state.index);
        if (r->state.index == 0 || r->state.term == term)
            return DKV_OK;
        return dkv_error_set(err, WAL_EFOREIGN,
                             "the storage's last entry, %llu, is of term %llu, and that of the log "
                             "of term %llu: the storage is another node's, or an older copy.  Put "
                             "back the one that belongs to this log",
                             (unsigned long long)r->state.index, (unsigned long long)r->state.term,
                             (unsigned long long)term);
    }
    return dkv_error_set(
        err, DKV_ECORRUPT,
        "the storage has everything up to entry %llu, but the log ends at %llu: the log "
        "was lost, or the storage belongs to another log.  Put back the log that belongs "
        "to this storage",
        (unsigned long long)r->state.index, (unsigned long long)recovery->last_index);
}

/* --- Raft --- */

static int start_raft(struct replica *r, const struct wal_recovery *recovery,
                      const struct raft_members *members, struct dkv_error *err)
{
    const struct replica_config *c = &r->config;
    struct raft_config config = {.self = c->self,
                                 .seed = r->env->ops->random(r->env),
                                 .election_timeout_us = c->election_us,
                                 .heartbeat_us = c->heartbeat_us,
                                 .disk_stall_us = c->disk_stall_us,
                                 .msg_bytes_max = c->message_bytes_max,
                                 .inflight_msgs_max = c->messages_in_flight,
                                 .reads_max = c->reads_pending_max,
                                 .uncommitted_bytes_max = c->uncommitted_bytes_max,
                                 .ring_bytes_max = c->log_memory_bytes,
                                 .fast_failover = true};
    struct raft_event event = {.type = RAFT_START};
    int status;

    event.start = (struct raft_start){.hard = recovery->hard,
                                      .snapshot_index = recovery->base_index,
                                      .snapshot_term = recovery->base_term,
                                      .members = members,
                                      .log_prev_index = recovery->base_index,
                                      .log_prev_term = recovery->base_term,
                                      .runs = recovery->runs,
                                      .runs_count = recovery->runs_count,
                                      .last_index = recovery->last_index,
                                      .applied_index = r->state.index,
                                      .configs = recovery->configs,
                                      .configs_count = recovery->configs_count};
    r->raft = raft_new(&config);
    (void)replica__now(r);
    status = replica__step(r, &event);
    if (status != DKV_OK)
        return dkv_error_set(err, DKV_ECORRUPT, "Raft cannot start from this log (status %d)",
                             status);
    return DKV_OK;
}

static void init_lists(struct replica *r)
{
    list_init(&r->writes_new);
    list_init(&r->writes_relayed);
    list_init(&r->barriers_new);
    list_init(&r->batches);
    list_init(&r->barriers_waiting);
    list_init(&r->queries);
    r->next_batch = 1;
    /* A late answer to an earlier life of this node must not pass for one to this life. */
    r->next_ticket = r->env->ops->random(r->env) >> 1;
    r->next_query = r->env->ops->random(r->env) >> 1;
}

static int exit_code_of(int status)
{
    switch (status) {
    case WAL_EFOREIGN:
    case DKV_ENOTSUP:
        return EXIT_CODE_DATA;
    case DKV_ENOENT:
    case DKV_ECORRUPT:
        return EXIT_CODE_DAMAGE;
    case DKV_EPERM:
        return EXIT_CODE_PERMISSION;
    case DKV_ENOMEM:
        return EXIT_CODE_LIMIT;
    default:
        return EXIT_CODE_IO;
    }
}

static int recover(struct replica *r, replica_restore_fn *restore, int *exit_code_out,
                   struct dkv_error *err)
{
    struct raft_members *members = xcalloc(1, sizeof(*members));
    struct wal_recovery recovery = {0};
    int status = replica__open_log(r, &recovery, exit_code_out, err);

    if (status != DKV_OK)
        goto done;
    status = base_members(&r->config, &recovery, members, err);
    if (status == DKV_OK)
        status = restore_storage(r, &recovery, restore, err);
    if (status == DKV_OK)
        status = check_storage(r, &recovery, err);
    if (status == DKV_OK)
        status = start_raft(r, &recovery, members, err);
    if (status == DKV_OK)
        fill_peers(r, members);
    if (status != DKV_OK)
        *exit_code_out = exit_code_of(status);
    else if (!r->config.is_volatile)
        snapshot__remove_strays(r->env->fs, &recovery);
    wal_recovery_fini(&recovery);
done:
    free(members);
    return status;
}

int replica_open(const struct replica_config *config, replica_restore_fn *restore,
                 struct replica **replica_out, int *exit_code_out, struct dkv_error *err)
{
    struct replica *r = xcalloc(1, sizeof(*r));
    int status;

    r->config = *config;
    r->env = config->env;
    r->state = config->state;
    init_lists(r);
    replica__snapshots_init(r);
    if (!config->is_volatile) {
        status = r->env->fs->ops->mkdir(r->env->fs, SNAPSHOT_DIR);
        if (status != DKV_OK) {
            (void)dkv_error_set(err, status, "create the folder %s: %s", SNAPSHOT_DIR,
                                status_text(status));
            (void)fail(exit_code_out, EXIT_CODE_IO, status);
            goto failed;
        }
    }
    status = recover(r, restore, exit_code_out, err);
    if (status != DKV_OK)
        goto failed;
    *replica_out = r;
    return DKV_OK;

failed:
    replica_close(&r);
    return status;
}

void replica_cancel(struct replica *replica)
{
    replica__cancel_writes(replica);
    replica__cancel_reads(replica);
    replica__cancel_queries(replica);
}

void replica_close(struct replica **replica)
{
    struct replica *r = *replica;

    if (r == NULL)
        return;
    *replica = NULL;
    replica_cancel(r);
    replica__snapshots_fini(r);
    replica__close_log(r);
    raft_free(&r->raft);
    for (size_t i = 0; i < r->entries_job.batch.count; i++)
        blob_unref(r->entries[i].owner);
    for (size_t i = 0; i < REPLICA_PEERS_MAX; i++)
        buf_fini(&r->results[i]);
    pending_fini(&r->pending);
    wire_entries_fini(&r->received);
    buf_fini(&r->frame);
    free(r->payloads);
    free(r->proposed);
    free(r->entries);
    free(r->entry_results);
    free(r);
}
