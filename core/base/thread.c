#include "base/thread.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/error.h"

static void tell_begun(struct thread *t, int status)
{
    pthread_mutex_lock(&t->lock);
    t->begin_status = status;
    t->is_begun = true;
    pthread_cond_signal(&t->begun);
    pthread_mutex_unlock(&t->lock);
}

static void *thread_main(void *arg)
{
    struct thread *t = arg;
    int status = DKV_OK;

    t->id = pthread_self(); /* before anything here asks thread_is_current */
    (void)pthread_setname_np(t->id, t->name);
    if (t->begin != NULL)
        status = t->begin(t->ctx, t->begin_err);
    tell_begun(t, status);
    if (status == DKV_OK)
        t->run(t->ctx);
    return NULL;
}

/* A blocked fault signal would kill without the handlers of sanitizers and crash reporters. */
static void signals_for_threads(sigset_t *set)
{
    sigfillset(set);
    sigdelset(set, SIGSEGV);
    sigdelset(set, SIGBUS);
    sigdelset(set, SIGFPE);
    sigdelset(set, SIGILL);
    sigdelset(set, SIGTRAP);
    sigdelset(set, SIGABRT);
    sigdelset(set, SIGSYS);
}

static int create_blocked(struct thread *t)
{
    sigset_t blocked, before;
    pthread_t id;
    int error;

    signals_for_threads(&blocked);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    error = pthread_create(&id, NULL, thread_main, t);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

static void release(struct thread *t)
{
    pthread_mutex_destroy(&t->lock);
    pthread_cond_destroy(&t->begun);
}

int thread_start(struct thread *t, const char *name, int (*begin)(void *ctx, struct dkv_error *err),
                 void (*run)(void *ctx), void *ctx, struct dkv_error *err)
{
    int error;

    *t = (struct thread){.begin = begin, .run = run, .ctx = ctx, .begin_err = err};
    snprintf(t->name, sizeof(t->name), "%s", name);
    atomic_init(&t->stop_requested, false);
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->begun, NULL);
    error = create_blocked(t);
    if (error != 0) {
        release(t);
        return dkv_error_set(err, status_from_errno(error), "start thread %s: %s", name,
                             strerror(error));
    }
    pthread_mutex_lock(&t->lock);
    while (!t->is_begun)
        pthread_cond_wait(&t->begun, &t->lock);
    pthread_mutex_unlock(&t->lock);
    if (t->begin_status != DKV_OK)
        thread_join(t);
    return t->begin_status;
}

void thread_request_stop(struct thread *t)
{
    atomic_store_explicit(&t->stop_requested, true, memory_order_release);
}

bool thread_should_stop(const struct thread *t)
{
    return atomic_load_explicit(&t->stop_requested, memory_order_acquire);
}

void thread_join(struct thread *t)
{
    int error;

    dkv_assert(!thread_is_current(t));
    error = pthread_join(t->id, NULL);
    dkv_assert(error == 0);
    release(t);
}

bool thread_is_current(const struct thread *t)
{
    return pthread_equal(pthread_self(), t->id) != 0;
}
