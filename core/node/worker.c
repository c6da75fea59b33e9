#include "node/worker.h"

#include <event2/event.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"

struct worker {
    struct worker_config config;
    struct thread thread;
    struct exchange from_raft;
    atomic_bool drain_wanted, is_drained;
    struct api_barrier wake_to_drain, wake_to_stop;

    /* The worker's thread. */
    struct event_base *base;
    struct event *mail_events[EXCHANGE_KINDS];
    struct rest *rest;
    bool is_draining;
};

/* --- the backend of this thread --- */

static void post(struct api_backend *backend, enum exchange_kind kind, struct list *link,
                 void **home)
{
    struct worker *w = rest_ctx(backend);

    *home = w;
    mailbox_post(&w->config.to_raft->boxes[kind], link);
}

static void on_write(struct api_backend *backend, struct api_write *write)
{
    post(backend, EXCHANGE_WRITE, &write->link, &write->home);
}

static void on_barrier(struct api_backend *backend, struct api_barrier *barrier)
{
    post(backend, EXCHANGE_BARRIER, &barrier->link, &barrier->home);
}

static void on_query(struct api_backend *backend, struct api_cluster_query *query)
{
    post(backend, EXCHANGE_QUERY, &query->link, &query->home);
}

static void on_node_view(struct api_backend *backend, struct api_node_view *view_out)
{
    struct worker *w = rest_ctx(backend);

    w->config.node_view(w->config.ctx, view_out);
}

static void on_members(struct api_backend *backend, struct api_cluster_view *view_out)
{
    struct worker *w = rest_ctx(backend);

    w->config.members(w->config.ctx, view_out);
}

static const struct api_backend_ops worker_ops = {.write = on_write,
                                                  .barrier = on_barrier,
                                                  .cluster = on_query,
                                                  .node_view = on_node_view,
                                                  .members = on_members};

/* --- its loop --- */

static void take_mail(struct worker *w)
{
    struct list mail;
    struct list *node;

    list_init(&mail);
    (void)mailbox_drain(&w->from_raft.boxes[EXCHANGE_WRITE], &mail);
    while ((node = list_pop(&mail)) != NULL) {
        struct api_write *write = container_of(node, struct api_write, link);

        write->done(write);
    }
    (void)mailbox_drain(&w->from_raft.boxes[EXCHANGE_BARRIER], &mail);
    while ((node = list_pop(&mail)) != NULL) {
        struct api_barrier *barrier = container_of(node, struct api_barrier, link);

        barrier->done(barrier);
    }
    (void)mailbox_drain(&w->from_raft.boxes[EXCHANGE_QUERY], &mail);
    while ((node = list_pop(&mail)) != NULL) {
        struct api_cluster_query *query = container_of(node, struct api_cluster_query, link);

        query->done(query);
    }
}

static void on_mail(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* the loop looks at every mailbox after every pass */
}

static void on_drained(void *ctx)
{
    struct worker *w = ctx;

    atomic_store(&w->is_drained, true);
}

static int begin(void *ctx, struct dkv_error *err)
{
    struct worker *w = ctx;
    struct event_config *config = event_config_new();
    struct rest_config rest = {.settings = w->config.settings,
                               .store = w->config.store,
                               .transport = w->config.transport,
                               .ops = &worker_ops,
                               .ctx = w,
                               .connections_max = w->config.connections_max,
                               .reuse_port = true};
    int status;

    (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    w->base = event_base_new_with_config(config);
    event_config_free(config);
    if (w->base == NULL)
        return dkv_error_set(err, DKV_ENOMEM, "make an event loop for a worker");
    for (int i = 0; i < EXCHANGE_KINDS; i++) {
        w->mail_events[i] = event_new(w->base, mailbox_fd(&w->from_raft.boxes[i]),
                                      EV_READ | EV_PERSIST, on_mail, w);
        dkv_assert(w->mail_events[i] != NULL);
        (void)event_add(w->mail_events[i], NULL);
    }
    rest.base = w->base;
    status = rest_open(&rest, &w->rest, err);
    if (status == DKV_OK)
        status = rest_listen(w->rest, err);
    return status;
}

static void end(struct worker *w)
{
    rest_close(&w->rest);
    for (int i = 0; i < EXCHANGE_KINDS; i++) {
        if (w->mail_events[i] != NULL)
            event_free(w->mail_events[i]);
    }
    if (w->base != NULL)
        event_base_free(w->base);
}

static int begin_or_end(void *ctx, struct dkv_error *err)
{
    int status = begin(ctx, err);

    if (status != DKV_OK)
        end(ctx);
    return status;
}

static void run(void *ctx)
{
    struct worker *w = ctx;

    while (!thread_should_stop(&w->thread)) {
        bool can_block;

        take_mail(w);
        if (atomic_load(&w->drain_wanted) && !w->is_draining) {
            w->is_draining = true;
            rest_drain(w->rest, on_drained, w);
        }
        rest_flush(w->rest);
        can_block = exchange_sleep(&w->from_raft);
        (void)event_base_loop(w->base, EVLOOP_ONCE | (can_block ? 0 : EVLOOP_NONBLOCK));
    }
    take_mail(w);
    end(w);
}

/* --- for the raft thread --- */

int worker_open(const struct worker_config *config, struct worker **worker_out,
                struct dkv_error *err)
{
    struct worker *w = xcalloc(1, sizeof(*w));
    char name[16];
    int status;

    w->config = *config;
    status = exchange_open(&w->from_raft, err);
    if (status != DKV_OK) {
        free(w);
        return status;
    }
    snprintf(name, sizeof(name), "dkv-worker-%d", config->number % 1000);
    status = thread_start(&w->thread, name, begin_or_end, run, w, err);
    if (status != DKV_OK) {
        exchange_close(&w->from_raft);
        free(w);
        return status;
    }
    *worker_out = w;
    return DKV_OK;
}

void worker_give_back(struct worker *worker, enum exchange_kind kind, struct list *link)
{
    mailbox_post(&worker->from_raft.boxes[kind], link);
}

static void nothing(struct api_barrier *barrier)
{
    (void)barrier;
}

/* A barrier that nobody waits for wakes a loop that waits for sockets. */
static void wake(struct api_barrier *barrier, struct worker *w)
{
    barrier->done = nothing;
    mailbox_post(&w->from_raft.boxes[EXCHANGE_BARRIER], &barrier->link);
}

/* News on its way to a worker's thread. */
struct limits_mail {
    struct api_barrier barrier;
    struct worker *worker;
    struct rest_limits limits;
};

static void take_limits(struct api_barrier *barrier)
{
    struct limits_mail *mail = container_of(barrier, struct limits_mail, barrier);

    rest_set_limits(mail->worker->rest, &mail->limits);
    free(mail);
}

void worker_set_limits(struct worker *worker, const struct rest_limits *limits)
{
    struct limits_mail *mail = xcalloc(1, sizeof(*mail));

    mail->worker = worker;
    mail->limits = *limits;
    mail->barrier.done = take_limits;
    mailbox_post(&worker->from_raft.boxes[EXCHANGE_BARRIER], &mail->barrier.link);
}

void worker_drain(struct worker *worker)
{
    atomic_store(&worker->drain_wanted, true);
    wake(&worker->wake_to_drain, worker);
}

bool worker_is_drained(const struct worker *worker)
{
    return atomic_load(&worker->is_drained);
}

void worker_close(struct worker **worker)
{
    struct worker *w = *worker;

    if (w == NULL)
        return;
    *worker = NULL;
    thread_request_stop(&w->thread);
    wake(&w->wake_to_stop, w);
    thread_join(&w->thread);
    exchange_close(&w->from_raft);
    free(w);
}
