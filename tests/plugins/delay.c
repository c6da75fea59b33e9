/* A decorator that answers get, scan, apply and sync of the store it wraps later, so that any storage
 * can play one that is asynchronous and slow.  Each loop has a lane of its own: calls leave it in the
 * order in which they came, as those of one connection would.  Without a loop the call itself sleeps.
 * The other calls, which may not be pending, are passed on. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "dkv/storage.h"

struct delay_options {
    uint64_t delay_ms;
    const char *token;
};

struct later {
    struct later *next;
    uint64_t due_ms;
    struct dkv_op *op;
    int (*call)(void *inner, struct dkv_op *op);
    void *inner;
};

struct lane {
    struct event *timer; /* NULL: no loop */
    uint64_t delay_ms;
    struct later *head, **tail;
};

struct delay_store {
    struct dkv_store base;
    struct dkv_store *inner;
    struct lane home;
};

struct delay_reader {
    struct dkv_reader base;
    struct dkv_reader *inner;
    struct lane lane;
};

struct delay_snapshot {
    struct dkv_snapshot base;
    struct dkv_snapshot *inner;
};

struct delay_restore {
    struct dkv_restore base;
    struct dkv_restore *inner;
};

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void lane_arm(struct lane *lane, uint64_t now)
{
    uint64_t wait_ms = lane->head->due_ms > now ? lane->head->due_ms - now : 0;
    struct timeval wait = {.tv_sec = (time_t)(wait_ms / 1000),
                           .tv_usec = (suseconds_t)(wait_ms % 1000) * 1000};

    if (evtimer_add(lane->timer, &wait) != 0)
        abort();
}

static struct later *lane_pop(struct lane *lane)
{
    struct later *later = lane->head;

    lane->head = later->next;
    if (lane->head == NULL)
        lane->tail = &lane->head;
    return later;
}

/* What the wrapped store answers later goes to done() by itself: the operation is the same. */
static void lane_fire(evutil_socket_t fd, short what, void *context)
{
    struct lane *lane = context;
    uint64_t now = now_ms();
    struct later *due = NULL, **tail = &due;

    (void)fd;
    (void)what;
    while (lane->head != NULL && lane->head->due_ms <= now) {
        *tail = lane_pop(lane);
        tail = &(*tail)->next;
    }
    *tail = NULL;
    if (lane->head != NULL)
        lane_arm(lane, now);
    while (due != NULL) {
        struct later later = *due;
        int status;

        free(due);
        due = later.next;
        status = later.call(later.inner, later.op);
        if (status != DKV_PENDING)
            later.op->done(later.op, status);
    }
}

static int lane_open(struct lane *lane, const struct delay_store *store, struct event_base *base)
{
    *lane = (struct lane){.delay_ms = store->home.delay_ms};
    lane->tail = &lane->head;
    if (base == NULL)
        return DKV_OK;
    lane->timer = evtimer_new(base, lane_fire, lane);
    return lane->timer == NULL ? DKV_ENOMEM : DKV_OK;
}

static void lane_close(struct lane *lane)
{
    while (lane->head != NULL) {
        struct later *later = lane_pop(lane);
        struct dkv_op *op = later->op;

        free(later);
        op->done(op, DKV_ECANCELED);
    }
    if (lane->timer != NULL)
        event_free(lane->timer);
}

static int lane_add(struct lane *lane, void *inner, struct dkv_op *op,
                    int (*call)(void *inner, struct dkv_op *op))
{
    struct timespec pause = {.tv_sec = (time_t)(lane->delay_ms / 1000),
                             .tv_nsec = (long)(lane->delay_ms % 1000) * 1000000};
    uint64_t now = now_ms();
    struct later *later;

    if (lane->timer == NULL) {
        (void)nanosleep(&pause, NULL);
        return call(inner, op);
    }
    later = malloc(sizeof(*later));
    if (later == NULL)
        return DKV_ENOMEM;
    *later = (struct later){.due_ms = now + lane->delay_ms, .op = op, .call = call, .inner = inner};
    *lane->tail = later;
    lane->tail = &later->next;
    if (lane->head == later)
        lane_arm(lane, now);
    return DKV_PENDING;
}

static int call_get(void *inner, struct dkv_op *op)
{
    struct dkv_reader *reader = inner;

    return reader->store->ops->get(reader, (struct dkv_get *)op);
}

static int call_scan(void *inner, struct dkv_op *op)
{
    struct dkv_reader *reader = inner;

    return reader->store->ops->scan == NULL
               ? DKV_ENOTSUP
               : reader->store->ops->scan(reader, (struct dkv_scan *)op);
}

static int call_apply(void *inner, struct dkv_op *op)
{
    struct dkv_store *store = inner;

    return store->ops->apply(store, (struct dkv_apply *)op);
}

static int call_sync(void *inner, struct dkv_op *op)
{
    struct dkv_store *store = inner;

    return store->ops->sync == NULL ? DKV_ENOTSUP : store->ops->sync(store, (struct dkv_index *)op);
}

static struct delay_store *store_of(struct dkv_store *base)
{
    return (struct delay_store *)base;
}

static int delay_open(const struct dkv_store_args *args, struct dkv_store **store_out,
                      struct dkv_error *err)
{
    const struct delay_options *options = args->options;
    struct delay_store *store = calloc(1, sizeof(*store));

    (void)err;
    if (store == NULL)
        return DKV_ENOMEM;
    store->home.delay_ms = options->delay_ms;
    store->inner = args->inner;
    if (lane_open(&store->home, store, args->home) != DKV_OK) {
        free(store);
        return DKV_ENOMEM;
    }
    store->base.caps = args->inner->caps | (args->home != NULL ? DKV_CAP_ASYNC : 0);
    store->base.key_max = args->inner->key_max;
    store->base.value_max = args->inner->value_max;
    *store_out = &store->base;
    return DKV_OK;
}

static void delay_close(struct dkv_store *base)
{
    lane_close(&store_of(base)->home);
    free(base);
}

static int delay_reader_open(struct dkv_store *base, struct event_base *loop,
                             struct dkv_reader **reader_out, struct dkv_error *err)
{
    struct dkv_store *inner = store_of(base)->inner;
    struct delay_reader *reader = calloc(1, sizeof(*reader));
    int status = reader == NULL ? DKV_ENOMEM : lane_open(&reader->lane, store_of(base), loop);

    if (status == DKV_OK) {
        status = inner->ops->reader_open(inner, loop, &reader->inner, err);
        if (status != DKV_OK)
            lane_close(&reader->lane);
    }
    if (status != DKV_OK) {
        free(reader);
        return status;
    }
    reader->base.store = base;
    *reader_out = &reader->base;
    return DKV_OK;
}

static void delay_reader_close(struct dkv_reader *base)
{
    struct delay_reader *reader = (struct delay_reader *)base;

    lane_close(&reader->lane);
    reader->inner->store->ops->reader_close(reader->inner);
    free(reader);
}

static int delay_get(struct dkv_reader *base, struct dkv_get *get)
{
    struct delay_reader *reader = (struct delay_reader *)base;

    return lane_add(&reader->lane, reader->inner, &get->read.op, call_get);
}

static int delay_scan(struct dkv_reader *base, struct dkv_scan *scan)
{
    struct delay_reader *reader = (struct delay_reader *)base;

    return lane_add(&reader->lane, reader->inner, &scan->read.op, call_scan);
}

static int delay_apply(struct dkv_store *base, struct dkv_apply *apply)
{
    return lane_add(&store_of(base)->home, store_of(base)->inner, &apply->op, call_apply);
}

static int delay_applied(struct dkv_store *base, struct dkv_index *index)
{
    struct dkv_store *inner = store_of(base)->inner;

    return inner->ops->applied(inner, index);
}

static int delay_sync(struct dkv_store *base, struct dkv_index *index)
{
    return lane_add(&store_of(base)->home, store_of(base)->inner, &index->op, call_sync);
}

static int delay_snapshot_open(struct dkv_store *base, struct event_base *loop,
                               struct dkv_snapshot **snapshot_out)
{
    struct dkv_store *inner = store_of(base)->inner;
    struct delay_snapshot *snapshot = calloc(1, sizeof(*snapshot));
    int status =
        snapshot == NULL ? DKV_ENOMEM : inner->ops->snapshot_open(inner, loop, &snapshot->inner);

    if (status != DKV_OK) {
        free(snapshot);
        return status;
    }
    snapshot->base.store = base;
    snapshot->base.index = snapshot->inner->index;
    *snapshot_out = &snapshot->base;
    return DKV_OK;
}

static int delay_snapshot_read(struct dkv_snapshot *base, struct dkv_snapshot_read *read)
{
    struct delay_snapshot *snapshot = (struct delay_snapshot *)base;

    return snapshot->inner->store->ops->snapshot_read(snapshot->inner, read);
}

static void delay_snapshot_close(struct dkv_snapshot *base)
{
    struct delay_snapshot *snapshot = (struct delay_snapshot *)base;

    snapshot->inner->store->ops->snapshot_close(snapshot->inner);
    free(snapshot);
}

static int delay_restore_open(struct dkv_store *base, uint64_t index,
                              struct dkv_restore **restore_out)
{
    struct dkv_store *inner = store_of(base)->inner;
    struct delay_restore *restore = calloc(1, sizeof(*restore));
    int status =
        restore == NULL ? DKV_ENOMEM : inner->ops->restore_open(inner, index, &restore->inner);

    if (status != DKV_OK) {
        free(restore);
        return status;
    }
    restore->base.store = base;
    *restore_out = &restore->base;
    return DKV_OK;
}

static int delay_restore_write(struct dkv_restore *base, struct dkv_restore_write *write)
{
    struct dkv_restore *inner = ((struct delay_restore *)base)->inner;

    return inner->store->ops->restore_write(inner, write);
}

static int delay_restore_commit(struct dkv_restore *base, struct dkv_op *op)
{
    struct dkv_restore *inner = ((struct delay_restore *)base)->inner;

    free(base);
    return inner->store->ops->restore_commit(inner, op);
}

static void delay_restore_abort(struct dkv_restore *base)
{
    struct dkv_restore *inner = ((struct delay_restore *)base)->inner;

    free(base);
    inner->store->ops->restore_abort(inner);
}

static const struct dkv_option options[] = {
    {.name = "delay",
     .type = DKV_OPTION_DURATION,
     .offset = offsetof(struct delay_options, delay_ms),
     .fallback = "1ms",
     .help = "how late each answer comes; 0ms = in the next turn of the loop"},
    {.name = "token",
     .type = DKV_OPTION_STRING,
     .flags = DKV_OPTION_SECRET,
     .offset = offsetof(struct delay_options, token),
     .help = "not used: for tests of what is shown"},
    {.name = NULL},
};

static const struct dkv_storage_ops operations = {
    .size = sizeof(struct dkv_storage_ops),
    .open = delay_open,
    .close = delay_close,
    .reader_open = delay_reader_open,
    .reader_close = delay_reader_close,
    .get = delay_get,
    .scan = delay_scan,
    .apply = delay_apply,
    .applied = delay_applied,
    .sync = delay_sync,
    .snapshot_open = delay_snapshot_open,
    .snapshot_read = delay_snapshot_read,
    .snapshot_close = delay_snapshot_close,
    .restore_open = delay_restore_open,
    .restore_write = delay_restore_write,
    .restore_commit = delay_restore_commit,
    .restore_abort = delay_restore_abort,
};

DKV_PLUGIN_DECLARE(.name = "delay", .version = "1.0", .kind = DKV_PLUGIN_STORAGE,
                   .flags = DKV_PLUGIN_WRAPS, .summary = "answers every call later, for tests",
                   .options = options, .options_size = sizeof(struct delay_options),
                   .ops.storage = &operations);
