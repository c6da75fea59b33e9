/* Named threads that never see a signal.
 *
 * Signals are for the main thread, which reads them with libevent; a thread starts with all of them
 * blocked except those that a fault raises.  The owner starts, asks to stop, wakes (by the thread's
 * mailbox or eventfd, which this module knows nothing of) and joins. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "dkv/types.h"

struct thread {
    pthread_t id;
    char name[16]; /* cut at the 15 characters that the kernel keeps */
    int (*begin)(void *ctx, struct dkv_error *err);
    void (*run)(void *ctx);
    void *ctx;
    struct dkv_error *begin_err;
    int begin_status;
    pthread_mutex_t lock; /* guards is_begun */
    pthread_cond_t begun;
    bool is_begun;
    atomic_bool stop_requested;
};

/* Returns once begin (NULL: nothing to prepare) has run on the new thread.  When begin fails the
 * thread is gone and its error is returned; otherwise run goes on until it returns, and the owner
 * must call thread_join.  The struct must not move. */
int thread_start(struct thread *t, const char *name, int (*begin)(void *ctx, struct dkv_error *err),
                 void (*run)(void *ctx), void *ctx, struct dkv_error *err);

void thread_request_stop(struct thread *t); /* any thread; run() looks at it when it is woken */
bool thread_should_stop(const struct thread *t);
void thread_join(struct thread *t);             /* not from the thread itself */
bool thread_is_current(const struct thread *t); /* for asserts */

#endif
