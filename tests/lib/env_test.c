#include "env_test.h"

#include <stdio.h>

#include "base/assert.h"

static struct env_test *test_of(struct env *env)
{
    return container_of(env, struct env_test, env);
}

static uint64_t now_us(struct env *env)
{
    return test_of(env)->now_us;
}

static int64_t wall_us(struct env *env)
{
    return (int64_t)test_of(env)->now_us;
}

static uint64_t next_random(struct env *env)
{
    return rng_next(&test_of(env)->rng);
}

static void submit(struct env *env, enum env_queue queue, struct env_job *job)
{
    list_push(&test_of(env)->waiting[queue], &job->link);
}

static void fail_stop(struct env *env, int exit_code, const char *why)
{
    struct env_test *e = test_of(env);

    if (e->exit_code != 0)
        return;
    e->exit_code = exit_code;
    snprintf(e->why, sizeof(e->why), "%s", why);
}

static const struct env_ops test_ops = {
    .now_us = now_us,
    .wall_us = wall_us,
    .random = next_random,
    .submit = submit,
    .fail_stop = fail_stop,
};

void env_test_init(struct env_test *e, struct fs *fs, uint64_t seed)
{
    *e = (struct env_test){.env = {.ops = &test_ops, .fs = fs}};
    rng_init(&e->rng, seed);
    for (int i = 0; i < ENV_QUEUE_COUNT; i++)
        list_init(&e->waiting[i]);
    list_init(&e->finished);
}

bool env_test_work(struct env_test *e, enum env_queue queue)
{
    struct list *link = list_pop(&e->waiting[queue]);
    struct env_job *job;

    if (link == NULL)
        return false;
    job = container_of(link, struct env_job, link);
    job->work(job);
    list_push(&e->finished, &job->link);
    return true;
}

bool env_test_finish(struct env_test *e)
{
    struct list *link = list_pop(&e->finished);
    bool any = link != NULL;

    for (; link != NULL; link = list_pop(&e->finished)) {
        struct env_job *job = container_of(link, struct env_job, link);

        job->done(job);
    }
    return any;
}

void env_test_run(struct env_test *e)
{
    bool any = true;

    for (int rounds = 0; any; rounds++) {
        dkv_assert(rounds < 100000); /* jobs that beget jobs */
        any = false;
        for (int queue = 0; queue < ENV_QUEUE_COUNT; queue++)
            any |= env_test_work(e, (enum env_queue)queue);
        any |= env_test_finish(e);
    }
}
