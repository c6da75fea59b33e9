#include "node/applier.h"

#include <errno.h>
#include <event2/event.h>
#include <poll.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/thread.h"

struct applier {
    struct dkv_store *store;
    struct env *env;
    struct kv_machine_config machine_config;
    struct kv_machine *machine;
    struct mailbox finished; /* the raft thread reads */

    /* Home thread. */
    struct event_base *base;
    bool is_folded; /* home is the raft thread */
    struct thread thread;
    struct mailbox inbox;
    struct list stop_mail; /* only wakes the thread, which looks at the flag before the mail */
    struct event *inbox_event;
    struct list jobs;
    struct apply_job *job; /* at work */
    bool is_stopped;       /* no job is begun any more */
    bool is_starting;      /* nobody serves the background queue's results yet */
    struct env_job restore_job;
};

static void run_jobs(struct applier *a);

static void finish(struct applier *a, int status)
{
    struct apply_job *job = a->job;

    a->job = NULL;
    job->status = status;
    job->state = *kv_machine_state(a->machine);
    mailbox_post(&a->finished, &job->link);
}

/* --- the four kinds of jobs; each returns a status or DKV_PENDING --- */

static void batch_done(struct kv_batch *batch, int status)
{
    struct apply_job *job = container_of(batch, struct apply_job, batch);
    struct applier *a = job->batch_owner;

    finish(a, status);
    run_jobs(a);
}

static void sync_done(struct dkv_op *op, int status)
{
    struct dkv_index *index = container_of(op, struct dkv_index, op);
    struct apply_job *job = container_of(index, struct apply_job, index);
    struct applier *a = job->batch_owner;

    job->durable_index = index->index;
    finish(a, status);
    run_jobs(a);
}

static int run_sync(struct applier *a, struct apply_job *job)
{
    int status;

    if (a->store->ops->sync == NULL)
        return DKV_ENOTSUP;
    job->index = (struct dkv_index){.op = {.done = sync_done}};
    status = a->store->ops->sync(a->store, &job->index);
    job->durable_index = job->index.index;
    return status;
}

static int run_pin(struct applier *a, struct apply_job *job)
{
    int status;

    if (!(a->store->caps & DKV_CAP_SNAPSHOT))
        return dkv_error_set(&job->err, DKV_ENOTSUP, "this storage plugin cannot make snapshots");
    status = a->store->ops->snapshot_open(a->store, NULL, &job->view);
    if (status != DKV_OK)
        return dkv_error_set(&job->err, status, "pin a view: %s", status_text(status));
    dkv_assert(job->view->index == kv_machine_state(a->machine)->index);
    return DKV_OK;
}

static int restore_now(struct applier *a, struct apply_job *job)
{
    return kv_snapshot_restore(a->env->fs, job->path, a->store, &job->err);
}

static void restore_work(struct env_job *env_job)
{
    struct applier *a = container_of(env_job, struct applier, restore_job);

    a->job->status = restore_now(a, a->job);
}

static void restore_done(struct env_job *env_job)
{
    struct applier *a = container_of(env_job, struct applier, restore_job);
    int status = a->job->status;

    if (status == DKV_OK)
        status = kv_machine_reload(a->machine, &a->job->err);
    finish(a, status);
    run_jobs(a);
}

static int run_restore(struct applier *a, struct apply_job *job)
{
    int status;

    if (a->is_folded && !a->is_starting) {
        a->restore_job = (struct env_job){.work = restore_work, .done = restore_done};
        a->env->ops->submit(a->env, ENV_QUEUE_BACKGROUND, &a->restore_job);
        return DKV_PENDING;
    }
    status = restore_now(a, job);
    return status == DKV_OK ? kv_machine_reload(a->machine, &job->err) : status;
}

static int run_job(struct applier *a, struct apply_job *job)
{
    switch (job->kind) {
    case APPLY_ENTRIES:
        job->batch.done = batch_done;
        return kv_machine_apply(a->machine, &job->batch);
    case APPLY_SYNC:
        return run_sync(a, job);
    case APPLY_PIN:
        return run_pin(a, job);
    case APPLY_RESTORE:
        return run_restore(a, job);
    }
    return DKV_EINVAL;
}

static void run_jobs(struct applier *a)
{
    struct list *node;

    while (!a->is_stopped && a->job == NULL && (node = list_pop(&a->jobs)) != NULL) {
        int status;

        a->job = container_of(node, struct apply_job, link);
        a->job->batch_owner = a;
        status = run_job(a, a->job);
        if (status != DKV_PENDING)
            finish(a, status);
    }
}

/* What the storage has under way may wait for a disk that is full, and so for ever: closing the
 * storage ends it. */
static void seal(struct applier *a)
{
    a->is_stopped = true;
    kv_machine_seal(a->machine);
}

/* --- the home thread's loop --- */

static void on_inbox(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg; /* the loop drains after every pass */
}

static int begin_home(void *ctx, struct dkv_error *err)
{
    struct applier *a = ctx;
    int status;

    a->inbox_event = event_new(a->base, mailbox_fd(&a->inbox), EV_READ | EV_PERSIST, on_inbox, a);
    dkv_assert(a->inbox_event != NULL);
    (void)event_add(a->inbox_event, NULL);
    status = kv_machine_open(a->store, a->base, &a->machine_config, &a->machine, err);
    if (status != DKV_OK)
        event_free(a->inbox_event);
    return status;
}

static void run_home(void *ctx)
{
    struct applier *a = ctx;

    while (!thread_should_stop(&a->thread)) {
        bool can_block;

        (void)mailbox_drain(&a->inbox, &a->jobs);
        if (thread_should_stop(&a->thread))
            break;
        run_jobs(a);
        can_block = mailbox_sleep(&a->inbox);
        (void)event_base_loop(a->base, EVLOOP_ONCE | (can_block ? 0 : EVLOOP_NONBLOCK));
    }
    seal(a);
    event_free(a->inbox_event);
}

/* --- for the raft thread --- */

static int start_home(struct applier *a, struct dkv_error *err)
{
    if (!a->is_folded)
        return thread_start(&a->thread, "dkv-apply", begin_home, run_home, a, err);
    return kv_machine_open(a->store, a->base, &a->machine_config, &a->machine, err);
}

int applier_open(const struct applier_config *config, struct applier **applier_out,
                 struct kv_state *state_out, struct dkv_error *err)
{
    struct applier *a = xcalloc(1, sizeof(*a));
    int status;

    a->store = config->store;
    a->env = config->env;
    a->base = config->home;
    a->is_folded = config->is_folded;
    a->machine_config = config->machine;
    list_init(&a->jobs);
    status = mailbox_open(&a->finished, err);
    if (status != DKV_OK)
        goto fail_self;
    status = mailbox_open(&a->inbox, err);
    if (status != DKV_OK)
        goto fail_finished;
    status = start_home(a, err);
    if (status != DKV_OK)
        goto fail_inbox;
    *state_out = *kv_machine_state(a->machine);
    *applier_out = a;
    return DKV_OK;

fail_inbox:
    mailbox_close(&a->inbox);
fail_finished:
    mailbox_close(&a->finished);
fail_self:
    free(a);
    return status;
}

void applier_stop(struct applier *a)
{
    if (a->is_folded) {
        seal(a);
        return;
    }
    list_init(&a->stop_mail);
    thread_request_stop(&a->thread);
    mailbox_post(&a->inbox, &a->stop_mail);
    thread_join(&a->thread);
}

void applier_close(struct applier **applier)
{
    struct applier *a = *applier;

    if (a == NULL)
        return;
    *applier = NULL;
    dkv_assert(a->is_stopped);
    kv_machine_close(&a->machine);
    mailbox_close(&a->inbox);
    mailbox_close(&a->finished);
    free(a);
}

void applier_post(struct applier *applier, struct apply_job *job)
{
    list_init(&job->link);
    if (applier->is_folded)
        list_push(&applier->jobs, &job->link);
    else
        mailbox_post(&applier->inbox, &job->link);
}

bool applier_turn(struct applier *applier)
{
    struct list finished;
    struct list *node;

    if (applier->is_folded)
        run_jobs(applier);
    list_init(&finished);
    if (!mailbox_drain(&applier->finished, &finished))
        return false;
    while ((node = list_pop(&finished)) != NULL) {
        struct apply_job *job = container_of(node, struct apply_job, link);

        job->done(job);
    }
    return true;
}

struct mailbox *applier_mailbox(struct applier *applier)
{
    return &applier->finished;
}

static void note_run(struct apply_job *job)
{
    (void)job;
}

void applier_run(struct applier *applier, struct apply_job *job)
{
    struct pollfd fd = {.fd = mailbox_fd(&applier->finished), .events = POLLIN};

    job->done = note_run;
    applier->is_starting = true;
    applier_post(applier, job);
    while (!applier_turn(applier)) {
        if (!mailbox_sleep(&applier->finished))
            continue;
        while (poll(&fd, 1, -1) < 0)
            dkv_assert(errno == EINTR);
    }
    applier->is_starting = false;
}
