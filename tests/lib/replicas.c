#include "replicas.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/mem.h"
#include "kv/command.h"
#include "kv/snapshot.h"

static struct replicas_node *node_of(void *ctx)
{
    return ctx;
}

static uint32_t number_of(const struct replicas_node *n)
{
    return (uint32_t)(n - n->all->nodes);
}

/* --- what the node would do for its replica --- */

static struct replicas_frame *frame_at(struct replicas *all, uint32_t i)
{
    return &all->frames[(all->first + i) % FRAMES_MAX];
}

static void push_frame(struct replicas *all, uint32_t from, uint32_t to, enum frame_type type,
                       const struct buf *payload)
{
    struct replicas_frame *frame = frame_at(all, all->used++), *before;

    assert_true(all->used < FRAMES_MAX);
    *frame = (struct replicas_frame){.from = from, .to = to, .type = (uint8_t)type};
    frame->payload = blob_try((uint32_t)payload->len);
    memcpy(frame->payload->bytes, payload->data, payload->len);
    if (all->damages[type])
        frame->payload->bytes[payload->len - 1] ^= 1;
    for (uint32_t i = all->used - 1; all->swaps[type] && i > 0; i--) {
        before = frame_at(all, i - 1);
        if (before->payload != NULL && before->from == from && before->to == to &&
            before->type == type) {
            struct blob *payload_before = before->payload;

            before->payload = frame->payload;
            frame->payload = payload_before;
            return;
        }
    }
}

static bool send_frame(void *ctx, raft_id to, enum frame_type type, const struct buf *payload)
{
    struct replicas_node *n = node_of(ctx);
    struct replicas *all = n->all;

    assert_true(to >= 1 && to <= all->count && (int)type < (int)FRAME_TYPES);
    if (all->nodes[to - 1].replica == NULL)
        return false;
    all->sent[type]++;
    if (payload->len > all->longest[type])
        all->longest[type] = payload->len;
    if (all->cut[number_of(n)][to - 1] || all->drops[type])
        return true;
    for (int i = 0; i <= (int)all->doubles[type]; i++)
        push_frame(all, number_of(n), (uint32_t)to - 1, type, payload);
    return true;
}

static bool is_reachable(void *ctx, raft_id peer)
{
    return node_of(ctx)->all->nodes[peer - 1].replica != NULL;
}

static void apply(void *ctx, struct apply_job *job)
{
    list_push(&node_of(ctx)->applies, &job->link);
}

static const struct replica_ops ops = {
    .send = send_frame, .is_reachable = is_reachable, .apply = apply};

static void storage_sync(struct replicas_node *n)
{
    fake_store_free(n->synced);
    n->synced = fake_store_copy(n->store);
}

static int apply_batch(struct replicas_node *n, struct kv_batch *batch)
{
    struct fake_store *store = n->store;
    int status = kv_machine_apply(n->machine, batch);

    if (n->all->sabotage == SABOTAGE_STORAGE && store->index % 50 == 0)
        fake_store_forget_one(store);
    return status;
}

static int restore(void *ctx, const char *path, struct kv_state *state_out, struct dkv_error *err)
{
    struct replicas_node *n = node_of(ctx);
    int status = kv_snapshot_restore(n->fs, path, &n->store->base, err);

    if (n->all->sabotage == SABOTAGE_RESTORE)
        fake_store_forget_one(n->store);
    storage_sync(n);
    if (status == DKV_OK)
        status = kv_machine_reload(n->machine, err);
    *state_out = *kv_machine_state(n->machine);
    return status;
}

static int run_job(struct replicas_node *n, struct apply_job *job)
{
    struct kv_state state;

    switch (job->kind) {
    case APPLY_ENTRIES:
        if (n->is_storage_full)
            return DKV_ENOSPC;
        return apply_batch(n, &job->batch);
    case APPLY_SYNC:
        if (n->is_sync_failing)
            return DKV_ENOSPC;
        storage_sync(n);
        job->durable_index = n->store->index;
        return DKV_OK;
    case APPLY_PIN:
        return n->store->base.ops->snapshot_open(&n->store->base, NULL, &job->view);
    case APPLY_RESTORE:
        if (n->has_no_room)
            return DKV_ENOSPC;
        return restore(n, job->path, &state, &job->err);
    }
    return DKV_EINVAL;
}

static void run_apply(struct replicas_node *n, struct apply_job *job)
{
    job->status = run_job(n, job);
    job->state = *kv_machine_state(n->machine);
    job->done(job);
}

static void configure(struct replicas *all, uint32_t number, struct replica_config *c)
{
    struct replicas_node *n = &all->nodes[number];

    *c = (struct replica_config){.env = &n->e.env,
                                 .ops = &ops,
                                 .ctx = n,
                                 .self = REPLICA_ID(number),
                                 .cluster_id = {9},
                                 .incarnation = 100 + number,
                                 .members = all->members,
                                 .members_count = all->count,
                                 .http_address = "127.0.0.1:1",
                                 .storage_name = "fake",
                                 .storage_is_durable = !all->is_in_memory,
                                 .has_log = n->has_log,
                                 .state = *kv_machine_state(n->machine),
                                 .heartbeat_us = T_US / 4,
                                 .election_us = T_US,
                                 .disk_stall_us = 5 * T_US,
                                 .request_timeout_us = TIMEOUT_US,
                                 .slow_request_us = T_US / 4,
                                 .message_bytes_max = 64 << 10,
                                 .messages_in_flight = 4,
                                 .reads_pending_max = 1000,
                                 .uncommitted_bytes_max = 1 << 20,
                                 .log_memory_bytes = 1 << 20,
                                 .segment_bytes = 256 << 10,
                                 .spare_segments = 2,
                                 .log_bytes_max = all->log_size,
                                 .log_keep_bytes = all->log_size / 4,
                                 .chunk_bytes = CHUNK,
                                 .key_max = 500,
                                 .value_max = 64 << 10};
}

/* --- starts and ends --- */

int replicas_try_start(struct replicas *all, uint32_t number, struct dkv_error *err)
{
    static const struct kv_machine_config machine = {{3, 4}, {9}};
    struct replicas_node *n = &all->nodes[number];
    struct replica_config config;
    int exit_code = 0;

    env_test_init(&n->e, n->fs, all->now_us * 31 + number + 1);
    n->e.now_us = all->now_us;
    list_init(&n->applies);
    assert_int_equal(kv_machine_open(&n->store->base, NULL, &machine, &n->machine, err), DKV_OK);
    configure(all, number, &config);
    if (replica_open(&config, restore, &n->replica, &exit_code, err) != DKV_OK) {
        env_test_run(&n->e);
        kv_machine_close(&n->machine);
        n->replica = NULL;
        assert_int_not_equal(exit_code, 0);
        return exit_code;
    }
    n->has_log = true;
    if (n->disk_at_start != NULL)
        n->disk_at_start->ops->free(n->disk_at_start);
    n->disk_at_start = fs_mem_crash(n->fs, FS_MEM_KEEP_ALL, 1);
    return 0;
}

void replicas_start(struct replicas *all, uint32_t number)
{
    struct dkv_error err = {0};

    if (replicas_try_start(all, number, &err) != 0)
        fail_msg("%s", err.text);
}

static void drop_frames(struct replicas *all, uint32_t number)
{
    for (uint32_t i = 0; i < all->used; i++) {
        struct replicas_frame *frame = &all->frames[(all->first + i) % FRAMES_MAX];

        if (frame->payload != NULL && (frame->to == number || frame->from == number)) {
            blob_unref(frame->payload);
            frame->payload = NULL;
        }
    }
}

static void stop(struct replicas *all, uint32_t number)
{
    struct replicas_node *n = &all->nodes[number];
    struct list *link;

    replica_cancel(n->replica);
    while ((link = list_pop(&n->applies)) != NULL)
        run_apply(n, container_of(link, struct apply_job, link));
    env_test_run(&n->e);
    replica_close(&n->replica);
    kv_machine_close(&n->machine);
    n->is_disk_slow = n->is_storage_slow = false;
    drop_frames(all, number);
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->nodes[i].replica != NULL)
            replica_peer_lost(all->nodes[i].replica, REPLICA_ID(number));
    }
}

static void storage_becomes(struct replicas_node *n, struct fake_store *left)
{
    fake_store_free(n->store);
    n->store = left;
}

void replicas_kill(struct replicas *all, uint32_t number)
{
    stop(all, number);
    if (all->is_in_memory)
        storage_becomes(&all->nodes[number], fake_store_new());
}

void replicas_power_cut(struct replicas *all, uint32_t number, enum fs_mem_crash_mode mode,
                        uint64_t seed)
{
    struct replicas_node *n = &all->nodes[number];
    bool lies = all->sabotage == SABOTAGE_DISK;
    struct fs *disk = fs_mem_crash(lies ? n->disk_at_start : n->fs, mode, seed);
    struct fake_store *left = all->is_in_memory ? fake_store_new() : fake_store_copy(n->synced);

    fs_mem_power_off_at(n->fs, 1);
    stop(all, number);
    n->fs->ops->free(n->fs);
    n->fs = disk;
    storage_becomes(n, left);
}

static struct replicas *new_replicas(uint32_t count, bool is_in_memory)
{
    struct replicas *all = xcalloc(1, sizeof(*all));

    all->is_in_memory = is_in_memory;
    all->log_size = LOG_SIZE;
    all->count = count;
    all->now_us = 1000 * 1000;
    for (uint32_t i = 0; i < count; i++) {
        all->members[i].id = REPLICA_ID(i);
        snprintf(all->members[i].name, sizeof(all->members[i].name), "n%u", i + 1);
        snprintf(all->members[i].peer, sizeof(all->members[i].peer), "127.0.0.1:%u", 9000 + i);
        all->nodes[i].all = all;
        all->nodes[i].fs = fs_mem_new();
        all->nodes[i].store = fake_store_new();
        all->nodes[i].synced = fake_store_new();
    }
    for (uint32_t i = 0; i < count; i++)
        replicas_start(all, i);
    return all;
}

struct replicas *replicas_new(uint32_t count)
{
    return new_replicas(count, false);
}

struct replicas *replicas_new_in_memory(uint32_t count)
{
    return new_replicas(count, true);
}

void replicas_free(struct replicas *all)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (all->nodes[i].replica != NULL)
            replicas_kill(all, i);
        all->nodes[i].fs->ops->free(all->nodes[i].fs);
        all->nodes[i].disk_at_start->ops->free(all->nodes[i].disk_at_start);
        fake_store_free(all->nodes[i].store);
        fake_store_free(all->nodes[i].synced);
    }
    free(all);
}

void replicas_cut(struct replicas *all, uint32_t n, bool is_cut)
{
    for (uint32_t i = 0; i < all->count; i++)
        all->cut[n][i] = all->cut[i][n] = is_cut && i != n;
}

/* --- time --- */

static bool chance(struct replicas *all, uint32_t of)
{
    return all->is_jittery && rng_below(&all->rng, of) == 0;
}

static bool stands_still(const struct replicas_node *n, int queue)
{
    return n->is_disk_slow || (n->is_background_slow && queue == ENV_QUEUE_BACKGROUND);
}

static void run_jobs(struct replicas_node *n)
{
    if (n->is_disk_slow)
        return;
    if (!n->all->is_jittery && !n->is_background_slow) {
        env_test_run(&n->e);
        return;
    }
    for (int queue = 0; queue < ENV_QUEUE_COUNT; queue++) {
        while (!stands_still(n, queue) && !chance(n->all, 3) &&
               env_test_work(&n->e, (enum env_queue)queue))
            continue;
    }
    if (!chance(n->all, 3))
        (void)env_test_finish(&n->e);
}

static bool is_down(const struct replicas_node *n)
{
    return n->replica == NULL || (n->may_stop && n->e.exit_code != 0);
}

static bool turn(struct replicas_node *n)
{
    bool any = false;
    struct list *link;

    if (is_down(n))
        return false;
    run_jobs(n);
    if (is_down(n))
        return true;
    assert_int_equal(n->e.exit_code, 0);
    while (!n->is_storage_slow && !chance(n->all, 3) && (link = list_pop(&n->applies)) != NULL) {
        run_apply(n, container_of(link, struct apply_job, link));
        any = true;
        if (chance(n->all, 10))
            storage_sync(n); /* as a group commit would */
    }
    replica_turn(n->replica);
    return any || replica_deadline_us(n->replica) == 0;
}

static bool deliver(struct replicas *all)
{
    uint32_t count = all->used;

    for (uint32_t i = 0; i < count; i++) {
        struct replicas_frame frame = all->frames[all->first];

        all->first = (all->first + 1) % FRAMES_MAX;
        all->used--;
        if (frame.payload == NULL)
            continue;
        if (all->nodes[frame.to].replica != NULL)
            replica_frame(all->nodes[frame.to].replica, REPLICA_ID(frame.from), frame.type,
                          frame.payload);
        blob_unref(frame.payload);
    }
    return count > 0;
}

static bool has_work(const struct replicas_node *n)
{
    if (is_down(n))
        return false;
    if (!n->is_storage_slow && !list_is_empty(&n->applies))
        return true;
    for (int i = 0; i < ENV_QUEUE_COUNT; i++) {
        if (!stands_still(n, i) && !list_is_empty(&n->e.waiting[i]))
            return true;
    }
    return !n->is_disk_slow && !list_is_empty(&n->e.finished);
}

bool replicas_step(struct replicas *all)
{
    bool any = false;

    for (uint32_t i = 0; i < all->count; i++)
        any = turn(&all->nodes[i]) || any;
    any = deliver(all) || any;
    for (uint32_t i = 0; i < all->count && !any; i++)
        any = has_work(&all->nodes[i]);
    return any;
}

void replicas_settle(struct replicas *all)
{
    for (int rounds = 0; replicas_step(all); rounds++)
        assert_true(rounds < 10000);
}

void replicas_run(struct replicas *all, uint64_t us)
{
    uint64_t end = all->now_us + us;

    replicas_settle(all);
    while (all->now_us < end) {
        all->now_us += T_US / 40;
        for (uint32_t i = 0; i < all->count; i++)
            all->nodes[i].e.now_us = all->now_us;
        replicas_settle(all);
    }
}

struct api_node_view replicas_view(const struct replicas *all, uint32_t n)
{
    struct api_node_view view;

    replica_node_view(all->nodes[n].replica, &view);
    return view;
}

static bool is_cut_off(const struct replicas *all, uint32_t n)
{
    for (uint32_t i = 0; i < all->count; i++) {
        if (i != n && !all->cut[n][i] && !all->cut[i][n])
            return false;
    }
    return all->count > 1;
}

uint32_t replicas_leader(struct replicas *all)
{
    for (int i = 0; i < 100; i++) {
        for (uint32_t n = 0; n < all->count; n++) {
            if (all->nodes[n].replica != NULL && !is_cut_off(all, n) &&
                replicas_view(all, n).role == API_ROLE_LEADER) {
                replicas_run(all, T_US / 2); /* its no-op is committed, all know it */
                return n;
            }
        }
        replicas_run(all, T_US / 10);
    }
    fail_msg("nobody leads");
    return 0;
}

/* --- clients --- */

static void write_done(struct api_write *write)
{
    container_of(write, struct client_write, write)->done++;
}

static void put(struct replicas *all, uint32_t n, struct client_write *w, const char *key,
                const char *value, uint32_t flags)
{
    struct kv_command command = {.op = KV_OP_PUT,
                                 .flags = flags,
                                 .key = {key, strlen(key)},
                                 .value = {value, strlen(value)}};

    *w = (struct client_write){.write = {.done = write_done}};
    list_init(&w->write.link);
    w->write.command = kv_command_encode(&command);
    replica_write(all->nodes[n].replica, &w->write);
}

void replicas_write(struct replicas *all, uint32_t n, struct client_write *w, const char *key,
                    const char *value)
{
    put(all, n, w, key, value, 0);
}

void replicas_create(struct replicas *all, uint32_t n, struct client_write *w, const char *key,
                     const char *value)
{
    put(all, n, w, key, value, KV_IF_ABSENT);
}

static void read_done(struct api_barrier *barrier)
{
    container_of(barrier, struct client_read, barrier)->done++;
}

void replicas_read_within(struct replicas *all, uint32_t n, struct client_read *r,
                          uint64_t wait_max_us)
{
    *r = (struct client_read){.barrier = {.done = read_done, .wait_max_us = wait_max_us}};
    list_init(&r->barrier.link);
    replica_barrier(all->nodes[n].replica, &r->barrier);
}

void replicas_read(struct replicas *all, uint32_t n, struct client_read *r)
{
    replicas_read_within(all, n, r, 0);
}
