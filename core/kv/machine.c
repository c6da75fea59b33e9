#include "kv/machine.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/codec.h"
#include "base/error.h"
#include "base/list.h"
#include "base/mem.h"
#include "kv/command.h"
#include "kv/overlay.h"

/* The machine's own state is stored under one key: u8 version, 7 zero bytes, digest low and high,
 * number of keys, id of the cluster, term: a store that was moved between nodes is found out. */
static const uint8_t state_key[] = {KV_SPACE_META, 's', 't', 'a', 't', 'e'};
enum { STATE_VERSION = 1, STATE_BYTES = 56 };

struct kv_machine {
    struct dkv_store *store;
    struct dkv_reader *reader;
    struct kv_state state;
    uint8_t cluster_id[16];

    /* The batch at work; NULL when idle. */
    struct kv_batch *batch;
    struct kv_command *commands; /* one for each entry; op 0 = nothing to do */
    size_t commands_cap;
    struct overlay overlay;
    struct buf arena; /* stored keys and values of the batch; reserved once, so nothing moves */
    struct dkv_mutation *mutations;
    size_t mutations_cap;
    struct dkv_apply apply;
    struct kv_state next_state;
    size_t fetches_pending;
    int fetch_error;
    bool is_async;            /* kv_machine_apply has returned DKV_PENDING */
    struct dkv_index applied; /* of a reload; here, for a storage that would answer it later */
};

/* --- the stored state --- */

struct state_get {
    struct dkv_get get;
    int status;
    const uint8_t *cluster_id;
    struct kv_state state;
};

static int state_emit(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct state_get *g = container_of(read, struct state_get, get.read);
    const uint8_t *at = value.data;

    (void)key;
    g->status = value.len > 0 && at[0] != STATE_VERSION ? DKV_ENOTSUP
                : value.len != STATE_BYTES              ? DKV_ECORRUPT
                                                        : DKV_OK;
    if (g->status != DKV_OK)
        return 0;
    if (memcmp(at + 32, g->cluster_id, 16) != 0)
        g->status = KV_EFOREIGN;
    g->state.digest.low = get_u64(at + 8);
    g->state.digest.high = get_u64(at + 16);
    g->state.keys = get_u64(at + 24);
    g->state.term = get_u64(at + 48);
    return 0;
}

static void encode_state(const struct kv_machine *m, uint8_t *to, const struct kv_state *state)
{
    put_u64(to, STATE_VERSION);
    put_u64(to + 8, state->digest.low);
    put_u64(to + 16, state->digest.high);
    put_u64(to + 24, state->keys);
    memcpy(to + 32, m->cluster_id, sizeof(m->cluster_id));
    put_u64(to + 48, state->term);
}

static void not_awaited(struct dkv_op *op, int status)
{
    (void)op;
    (void)status;
}

static int read_index(struct kv_machine *m, struct dkv_error *err)
{
    int status;

    m->applied = (struct dkv_index){.op = {.done = not_awaited}};
    status = m->store->ops->applied(m->store, &m->applied);
    if (status == DKV_PENDING)
        return dkv_error_set(err, DKV_ENOTSUP,
                             "the storage plugin does not say at once which index it has; this "
                             "daemon does not wait for that");
    return status == DKV_OK
               ? DKV_OK
               : dkv_error_set(err, status, "ask storage for its index: %s", status_text(status));
}

/* With a reader of its own: one without a loop answers at once. */
static int read_state(struct kv_machine *m, struct state_get *g, struct dkv_error *err)
{
    struct dkv_reader *reader;
    int status = m->store->ops->reader_open(m->store, NULL, &reader, err);

    if (status != DKV_OK)
        return status;
    g->get.read.op.done = not_awaited;
    status = m->store->ops->get(reader, &g->get);
    m->store->ops->reader_close(reader);
    if (status == DKV_PENDING)
        return dkv_error_set(err, DKV_ENOTSUP,
                             "the storage plugin answers a reader that has no loop later");
    return status == DKV_OK && g->status != DKV_OK ? g->status : status;
}

int kv_machine_reload(struct kv_machine *machine, struct dkv_error *err)
{
    struct state_get g = {
        .get = {.read = {.emit = state_emit}, .key = {state_key, sizeof(state_key)}},
        .cluster_id = machine->cluster_id};
    int status = read_index(machine, err);

    dkv_assert(machine->batch == NULL);
    if (status != DKV_OK)
        return status;
    status = read_state(machine, &g, err);
    if (status == DKV_ENOENT && machine->applied.index == 0)
        status = DKV_OK;
    if (status == KV_EFOREIGN)
        return dkv_error_set(
            err, status,
            "the storage belongs to another cluster.  Put back the one that belongs "
            "to this data directory");
    if (status == DKV_ENOTSUP && g.status == status)
        return dkv_error_set(err, KV_EFOREIGN,
                             "the state in the storage has a format that this daemon does not "
                             "know.  Start the version of dkvd that wrote it");
    if (status != DKV_OK)
        return dkv_error_set(err, status < 0 ? status : DKV_ENOTSUP,
                             "storage holds index %llu but no state of this daemon: %s",
                             (unsigned long long)machine->applied.index, status_text(status));
    machine->state = g.state;
    machine->state.index = machine->applied.index;
    return DKV_OK;
}

int kv_machine_open(struct dkv_store *store, struct event_base *home,
                    const struct kv_machine_config *config, struct kv_machine **machine_out,
                    struct dkv_error *err)
{
    struct kv_machine *machine = xcalloc(1, sizeof(*machine));
    int status;

    machine->store = store;
    memcpy(machine->cluster_id, config->cluster_id, sizeof(machine->cluster_id));
    overlay_init(&machine->overlay, config->hash_key);
    status = store->ops->reader_open(store, home, &machine->reader, err);
    if (status != DKV_OK)
        goto fail_machine;
    status = kv_machine_reload(machine, err);
    if (status != DKV_OK)
        goto fail_reader;
    *machine_out = machine;
    return DKV_OK;

fail_reader:
    store->ops->reader_close(machine->reader);
fail_machine:
    overlay_fini(&machine->overlay);
    free(machine);
    return status;
}

void kv_machine_seal(struct kv_machine *machine)
{
    struct dkv_reader *reader = machine->reader;

    machine->reader = NULL;
    machine->store->ops->reader_close(reader);
}

void kv_machine_close(struct kv_machine **machine)
{
    struct kv_machine *m = *machine;

    if (m == NULL)
        return;
    *machine = NULL;
    if (m->reader != NULL)
        kv_machine_seal(m);
    overlay_fini(&m->overlay);
    buf_fini(&m->arena);
    free(m->commands);
    free(m->mutations);
    free(m);
}

const struct kv_state *kv_machine_state(const struct kv_machine *machine)
{
    return &machine->state;
}

/* --- step 1: read the commands, learn which keys they touch --- */

static void reserve_commands(struct kv_machine *m, size_t count)
{
    if (count <= m->commands_cap)
        return;
    m->commands = xreallocarray(m->commands, count, sizeof(*m->commands));
    m->mutations = xreallocarray(m->mutations, count + 1, sizeof(*m->mutations));
    m->commands_cap = count;
    m->mutations_cap = count + 1;
}

static int decode_commands(struct kv_machine *m, const struct kv_batch *batch, size_t *bytes_out)
{
    size_t bytes = STATE_BYTES;

    for (size_t i = 0; i < batch->count; i++) {
        const struct raft_entry *entry = &batch->entries[i];
        struct kv_command *command = &m->commands[i];

        batch->results[i] = (struct kv_result){.outcome = KV_OUTCOME_NONE};
        memset(command, 0, sizeof(*command));
        if (entry->type != RAFT_ENTRY_DATA || entry->index <= m->state.index)
            continue;
        if (kv_command_decode(entry->data, entry->len, command) != DKV_OK)
            return DKV_ECORRUPT;
        bytes += 1 + command->key.len + KV_RECORD_HEADER_BYTES + command->value.len;
    }
    *bytes_out = bytes;
    return DKV_OK;
}

static struct dkv_slice arena_add(struct kv_machine *m, uint8_t first, struct dkv_slice rest)
{
    uint8_t *at = m->arena.data + m->arena.len;

    dkv_assert(m->arena.len + 1 + rest.len <= m->arena.cap);
    at[0] = first;
    memcpy(at + 1, rest.data, rest.len);
    m->arena.len += 1 + rest.len;
    return (struct dkv_slice){at, 1 + rest.len};
}

/* --- step 2: fetch what the storage has for them --- */

static int fetch_emit(struct dkv_read *read, struct dkv_slice key, struct dkv_slice value)
{
    struct overlay_item *item = container_of(read, struct overlay_item, get.read);
    struct kv_record record;

    (void)key;
    if (kv_record_decode(value, &record) != DKV_OK) {
        item->fetch_status = DKV_ECORRUPT;
        return 0;
    }
    item->exists = item->existed = true;
    item->changes = record.changes;
    item->create_revision = record.create_revision;
    item->revision = record.revision;
    item->digest_before = kv_digest_of(item->key, value);
    return 0;
}

static void note_fetch(struct kv_machine *m, const struct overlay_item *item, int status)
{
    if (status == DKV_OK)
        status = item->fetch_status;
    if (status != DKV_OK && status != DKV_ENOENT)
        m->fetch_error = status;
}

static int continue_batch(struct kv_machine *m);
static void finish_async(struct kv_machine *m, int status);

static void fetch_done(struct dkv_op *op, int status)
{
    struct overlay_item *item = container_of(op, struct overlay_item, get.read.op);
    struct kv_machine *m = item->owner;

    note_fetch(m, item, status);
    if (--m->fetches_pending > 0)
        return;
    status = continue_batch(m);
    if (status != DKV_PENDING)
        finish_async(m, status);
}

static void fetch(struct kv_machine *m, struct overlay_item *item)
{
    int status;

    item->owner = m;
    item->get.key = arena_add(m, KV_SPACE_USER, item->key);
    item->get.read.emit = fetch_emit;
    item->get.read.op.done = fetch_done;
    status = m->reader->store->ops->get(m->reader, &item->get);
    if (status == DKV_PENDING)
        m->fetches_pending++;
    else
        note_fetch(m, item, status);
}

static void fetch_all(struct kv_machine *m)
{
    for (size_t i = 0; i < m->batch->count; i++) {
        struct kv_command *command = &m->commands[i];
        bool is_new;
        struct overlay_item *item;

        if (command->key.len == 0)
            continue;
        item = overlay_touch(&m->overlay, command->key, &is_new);
        if (is_new)
            fetch(m, item);
    }
}

/* --- step 3: judge and carry out, in log order --- */

static bool condition_holds(const struct overlay_item *item, const struct kv_command *command)
{
    if (command->flags & KV_IF_REVISION)
        return item->exists && item->revision == command->match;
    if (command->flags & KV_IF_EXISTS)
        return item->exists;
    if (command->flags & KV_IF_ABSENT)
        return !item->exists;
    return true;
}

static void carry_out_put(struct kv_machine *m, struct overlay_item *item,
                          const struct kv_command *command, uint64_t index)
{
    struct kv_record record = {
        .changes = item->exists ? item->changes + 1 : 1,
        .create_revision = item->exists ? item->create_revision : index,
        .revision = index,
    };
    uint8_t *at = m->arena.data + m->arena.len;
    size_t len = KV_RECORD_HEADER_BYTES + command->value.len;

    dkv_assert(m->arena.len + len <= m->arena.cap);
    kv_record_put_header(at, &record);
    if (command->value.len > 0)
        memcpy(at + KV_RECORD_HEADER_BYTES, command->value.data, command->value.len);
    m->arena.len += len;
    item->stored = (struct dkv_slice){at, len};
    item->exists = item->changed = true;
    item->changes = record.changes;
    item->create_revision = record.create_revision;
    item->revision = index;
}

static struct kv_result carry_out(struct kv_machine *m, struct overlay_item *item,
                                  const struct kv_command *command, uint64_t index)
{
    bool existed = item->exists;

    if (!condition_holds(item, command))
        return (struct kv_result){KV_OUTCOME_CONDITION, existed ? item->revision : 0};
    if (command->op == KV_OP_PUT) {
        carry_out_put(m, item, command, index);
        return (struct kv_result){existed ? KV_OUTCOME_REPLACED : KV_OUTCOME_CREATED, index};
    }
    if (!existed)
        return (struct kv_result){KV_OUTCOME_NOT_FOUND, 0};
    item->exists = false;
    item->changed = true;
    item->revision = 0;
    return (struct kv_result){KV_OUTCOME_DELETED, index};
}

static void carry_out_all(struct kv_machine *m)
{
    for (size_t i = 0; i < m->batch->count; i++) {
        bool is_new;

        if (m->commands[i].key.len == 0)
            continue;
        m->batch->results[i] = carry_out(m, overlay_touch(&m->overlay, m->commands[i].key, &is_new),
                                         &m->commands[i], m->batch->entries[i].index);
    }
}

/* --- step 4: one mutation for each changed key, and the new state --- */

static void mutate(struct kv_machine *m, const struct overlay_item *item)
{
    if (item->existed)
        kv_digest_subtract(&m->next_state.digest, item->digest_before);
    if (item->exists)
        kv_digest_add(&m->next_state.digest, kv_digest_of(item->key, item->stored));
    m->next_state.keys += (uint64_t)item->exists - (uint64_t)item->existed;
    if (!item->exists && !item->existed)
        return;
    m->mutations[m->apply.count++] = (struct dkv_mutation){
        .kind = item->exists ? DKV_PUT : DKV_DELETE,
        .key = item->get.key,
        .value = item->exists ? item->stored : (struct dkv_slice){NULL, 0},
    };
}

static void apply_done(struct dkv_op *op, int status)
{
    finish_async(container_of(op, struct kv_machine, apply.op), status);
}

static int write_batch(struct kv_machine *m)
{
    uint8_t *state;

    m->next_state = m->state;
    m->next_state.index = m->batch->entries[m->batch->count - 1].index;
    m->next_state.term = m->batch->entries[m->batch->count - 1].term;
    m->apply = (struct dkv_apply){
        .op = {.done = apply_done}, .index = m->next_state.index, .mutations = m->mutations};
    for (size_t i = 0; i < m->overlay.count; i++) {
        if (m->overlay.items[i].changed)
            mutate(m, &m->overlay.items[i]);
    }
    state = m->arena.data + m->arena.len;
    dkv_assert(m->arena.len + STATE_BYTES <= m->arena.cap);
    encode_state(m, state, &m->next_state);
    m->mutations[m->apply.count++] = (struct dkv_mutation){
        .kind = DKV_PUT, .key = {state_key, sizeof(state_key)}, .value = {state, STATE_BYTES}};
    dkv_assert(m->apply.count <= m->mutations_cap);
    return m->store->ops->apply(m->store, &m->apply);
}

/* --- the whole --- */

static void finish(struct kv_machine *m, int status)
{
    if (status == DKV_OK)
        m->state = m->next_state;
    m->batch->state = m->state;
    m->batch = NULL;
}

static void finish_async(struct kv_machine *m, int status)
{
    struct kv_batch *batch = m->batch;

    dkv_assert(m->is_async);
    finish(m, status);
    batch->done(batch, status);
}

static int continue_batch(struct kv_machine *m)
{
    if (m->fetch_error != DKV_OK)
        return m->fetch_error;
    carry_out_all(m);
    return write_batch(m);
}

int kv_machine_apply(struct kv_machine *machine, struct kv_batch *batch)
{
    struct kv_machine *m = machine;
    size_t bytes;
    int status;

    dkv_assert(m->batch == NULL);
    dkv_assert(batch->count > 0);
    if (batch->entries[batch->count - 1].index <= m->state.index) {
        for (size_t i = 0; i < batch->count; i++)
            batch->results[i] = (struct kv_result){.outcome = KV_OUTCOME_NONE};
        batch->state = m->state;
        return DKV_OK;
    }
    reserve_commands(m, batch->count);
    status = decode_commands(m, batch, &bytes);
    if (status != DKV_OK)
        return status;
    m->batch = batch;
    m->is_async = false;
    m->fetch_error = DKV_OK;
    m->fetches_pending = 0;
    overlay_reset(&m->overlay, batch->count);
    buf_reset(&m->arena);
    (void)buf_reserve(&m->arena, bytes);
    fetch_all(m);
    status = m->fetches_pending > 0 ? DKV_PENDING : continue_batch(m);
    if (status == DKV_PENDING)
        m->is_async = true;
    else
        finish(m, status);
    return status;
}
