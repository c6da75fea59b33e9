#include "store.h"

#include <errno.h>
#include <event2/event.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void queue_push(struct op_queue *queue, struct dkv_op *op)
{
    op->plugin[0] = NULL;
    if (queue->head == NULL)
        queue->head = op;
    else
        queue->tail->plugin[0] = op;
    queue->tail = op;
}

static struct dkv_op *queue_pop(struct op_queue *queue)
{
    struct dkv_op *op = queue->head;

    if (op != NULL)
        queue->head = op->plugin[0];
    return op;
}

static void home_waits_set(struct lmdb_store *store, bool waits)
{
    pthread_mutex_lock(&store->lock);
    store->home_waits = waits;
    pthread_mutex_unlock(&store->lock);
}

/* done() may call the store again, so each operation has left its queue before. */
static void applies_go_on(struct lmdb_store *store)
{
    while (store->applies.head != NULL) {
        struct dkv_apply *apply = (struct dkv_apply *)store->applies.head;
        int status = apply->index <= store->applied ? DKV_OK : apply_try(store, apply);

        if (status == DKV_PENDING)
            return;
        (void)queue_pop(&store->applies);
        apply->op.done(&apply->op, status);
    }
}

static void syncs_go_on(struct lmdb_store *store)
{
    struct op_queue waiting = store->syncs;
    struct dkv_op *op;

    store->syncs = (struct op_queue){NULL, NULL};
    while ((op = queue_pop(&waiting)) != NULL) {
        int status = sync_try(store, (struct dkv_index *)op);

        if (status == DKV_PENDING)
            queue_push(&store->syncs, op);
        else
            op->done(op, status);
    }
}

static void on_settled(evutil_socket_t fd, short what, void *context)
{
    struct lmdb_store *store = context;
    uint64_t count;

    (void)what;
    while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
        continue;
    applies_go_on(store);
    syncs_go_on(store);
    if (store->applies.head == NULL && store->syncs.head == NULL) {
        home_waits_set(store, false);
        (void)event_del(store->settled_event);
    }
}

int pending_open(struct lmdb_store *store, struct event_base *home, struct dkv_error *err)
{
    store->settled_fd = -1;
    if (home == NULL)
        return DKV_OK;
    store->settled_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (store->settled_fd < 0)
        return error_set(err, lmdb_status(errno), "eventfd: %s", strerror(errno));
    store->settled_event =
        event_new(home, store->settled_fd, EV_READ | EV_PERSIST, on_settled, store);
    if (store->settled_event == NULL) {
        (void)close(store->settled_fd);
        return error_set(err, DKV_ENOMEM, "event: out of memory");
    }
    return DKV_OK;
}

static void cancel(struct op_queue *queue)
{
    struct dkv_op *op;

    while ((op = queue_pop(queue)) != NULL)
        op->done(op, DKV_ECANCELED);
}

void pending_close(struct lmdb_store *store)
{
    cancel(&store->applies);
    cancel(&store->syncs);
    if (store->settled_event == NULL)
        return;
    event_free(store->settled_event);
    (void)close(store->settled_fd);
}

/* The loop is watched only while somebody waits, so that it can end otherwise.  A commit that
 * ended before the flag was up has written nothing: look once more by writing ourselves. */
void pending_add(struct lmdb_store *store, struct op_queue *queue, struct dkv_op *op)
{
    uint64_t one = 1;
    bool was_idle = store->applies.head == NULL && store->syncs.head == NULL;

    queue_push(queue, op);
    if (!was_idle)
        return;
    (void)event_add(store->settled_event, NULL);
    home_waits_set(store, true);
    if (write(store->settled_fd, &one, sizeof(one)) < 0)
        host_log(store->host, LOG_LEVEL_ERROR, "lmdb: eventfd: %s", strerror(errno));
}
