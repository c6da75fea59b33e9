#include "node/daemon_env.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/thread.h"

struct queue {
    struct thread thread;
    struct mailbox jobs;
    struct list stop_mail; /* only wakes the thread, which looks at the flag before the mail */
    struct daemon_env *env;
};

struct daemon_env {
    struct env base;
    struct mailbox finished;
    struct queue queues[ENV_QUEUE_COUNT];
    struct rng rng; /* raft thread */
};

static const char *const queue_names[ENV_QUEUE_COUNT] = {
    [ENV_QUEUE_LOG] = "dkv-log",
    [ENV_QUEUE_BACKGROUND] = "dkv-background",
    [ENV_QUEUE_NAMES] = "dkv-names",
};

static uint64_t now_us(struct env *env)
{
    (void)env;
    return clock_now_us();
}

static int64_t wall_us(struct env *env)
{
    (void)env;
    return clock_wall_us();
}

static uint64_t next_random(struct env *env)
{
    return rng_next(&container_of(env, struct daemon_env, base)->rng);
}

static void submit(struct env *env, enum env_queue queue, struct env_job *job)
{
    mailbox_post(&container_of(env, struct daemon_env, base)->queues[queue].jobs, &job->link);
}

static void fail_stop(struct env *env, int exit_code, const char *why)
{
    (void)env;
    log_error("node", "node.fail_stop", "the node cannot go on and stops", LOG_STR("why", why),
              LOG_I64("exit_code", exit_code), LOG_END);
    log_flush(1000);
    _exit(exit_code);
}

static const struct env_ops daemon_ops = {.now_us = now_us,
                                          .wall_us = wall_us,
                                          .random = next_random,
                                          .submit = submit,
                                          .fail_stop = fail_stop};

static void wait_for_jobs(struct queue *q)
{
    struct pollfd fd = {.fd = mailbox_fd(&q->jobs), .events = POLLIN};

    while (poll(&fd, 1, -1) < 0)
        dkv_assert(errno == EINTR);
}

static void run_queue(void *ctx)
{
    struct queue *q = ctx;
    struct list jobs;
    struct list *node;

    list_init(&jobs);
    while (!thread_should_stop(&q->thread)) {
        if (!mailbox_drain(&q->jobs, &jobs) && mailbox_sleep(&q->jobs)) {
            wait_for_jobs(q);
            continue;
        }
        while (!thread_should_stop(&q->thread) && (node = list_pop(&jobs)) != NULL) {
            struct env_job *job = container_of(node, struct env_job, link);

            job->work(job);
            mailbox_post(&q->env->finished, &job->link);
        }
    }
}

static void stop_queue(struct queue *q)
{
    list_init(&q->stop_mail);
    thread_request_stop(&q->thread);
    mailbox_post(&q->jobs, &q->stop_mail);
    thread_join(&q->thread);
    mailbox_close(&q->jobs);
}

static int start_queue(struct daemon_env *env, int i, struct dkv_error *err)
{
    struct queue *q = &env->queues[i];
    int status = mailbox_open(&q->jobs, err);

    if (status != DKV_OK)
        return status;
    q->env = env;
    status = thread_start(&q->thread, queue_names[i], NULL, run_queue, q, err);
    if (status != DKV_OK)
        mailbox_close(&q->jobs);
    return status;
}

int daemon_env_open(struct fs *fs, struct daemon_env **env_out, struct dkv_error *err)
{
    struct daemon_env *env = xcalloc(1, sizeof(*env));
    uint64_t seed;
    int status, started = 0;

    env->base = (struct env){.ops = &daemon_ops, .fs = fs};
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        status = dkv_error_set(err, DKV_EIO, "getrandom: %s", strerror(errno));
        goto fail_env;
    }
    rng_init(&env->rng, seed);
    status = mailbox_open(&env->finished, err);
    if (status != DKV_OK)
        goto fail_env;
    for (; started < ENV_QUEUE_COUNT; started++) {
        status = start_queue(env, started, err);
        if (status != DKV_OK)
            goto fail_queues;
    }
    *env_out = env;
    return DKV_OK;

fail_queues:
    while (started-- > 0)
        stop_queue(&env->queues[started]);
    mailbox_close(&env->finished);
fail_env:
    free(env);
    return status;
}

void daemon_env_close(struct daemon_env **env)
{
    struct daemon_env *e = *env;

    if (e == NULL)
        return;
    *env = NULL;
    for (int i = 0; i < ENV_QUEUE_COUNT; i++)
        stop_queue(&e->queues[i]);
    mailbox_close(&e->finished);
    free(e);
}

struct env *daemon_env_base(struct daemon_env *env)
{
    return &env->base;
}

struct mailbox *daemon_env_mailbox(struct daemon_env *env)
{
    return &env->finished;
}

bool daemon_env_turn(struct daemon_env *env)
{
    struct list jobs;
    struct list *node;

    list_init(&jobs);
    if (!mailbox_drain(&env->finished, &jobs))
        return false;
    while ((node = list_pop(&jobs)) != NULL) {
        struct env_job *job = container_of(node, struct env_job, link);

        job->done(job);
    }
    return true;
}
