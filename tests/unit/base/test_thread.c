#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <string.h>

#include "base/error.h"
#include "base/thread.h"

struct job {
    struct thread thread;
    bool has_begun, has_run, was_current, saw_stop;
    int fail_with;
    sigset_t blocked;
    char name[16];
};

static int begin(void *ctx, struct dkv_error *err)
{
    struct job *job = ctx;

    job->has_begun = true;
    job->was_current = thread_is_current(&job->thread);
    pthread_sigmask(SIG_SETMASK, NULL, &job->blocked);
    pthread_getname_np(pthread_self(), job->name, sizeof(job->name));
    return job->fail_with == 0 ? DKV_OK : dkv_error_set(err, job->fail_with, "no disk");
}

static void run(void *ctx)
{
    struct job *job = ctx;

    while (!thread_should_stop(&job->thread))
        ;
    job->has_run = true;
}

static void start_returns_after_begin_and_run_ends_when_asked(void **state)
{
    struct job job = {0};

    (void)state;
    assert_int_equal(thread_start(&job.thread, "a-rather-long-name", begin, run, &job, NULL),
                     DKV_OK);
    assert_true(job.has_begun);
    assert_true(job.was_current);
    assert_false(thread_is_current(&job.thread));
    assert_string_equal(job.name, "a-rather-long-n");
    thread_request_stop(&job.thread);
    thread_join(&job.thread);
    assert_true(job.has_run);
}

static void a_failed_begin_is_reported_and_nothing_runs(void **state)
{
    struct job job = {.fail_with = DKV_EIO};
    struct dkv_error err;

    (void)state;
    assert_int_equal(thread_start(&job.thread, "t", begin, run, &job, &err), DKV_EIO);
    assert_string_equal(err.text, "no disk");
    assert_false(job.has_run);
}

static void signals_are_blocked_in_the_thread_and_not_in_its_starter(void **state)
{
    struct job job = {0};
    sigset_t own;

    (void)state;
    assert_int_equal(thread_start(&job.thread, "t", begin, run, &job, NULL), DKV_OK);
    thread_request_stop(&job.thread);
    thread_join(&job.thread);
    pthread_sigmask(SIG_SETMASK, NULL, &own);
    assert_true(sigismember(&job.blocked, SIGTERM));
    assert_true(sigismember(&job.blocked, SIGPIPE));
    assert_true(sigismember(&job.blocked, SIGUSR1));
    assert_false(sigismember(&job.blocked, SIGSEGV));
    assert_false(sigismember(&own, SIGTERM));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(start_returns_after_begin_and_run_ends_when_asked),
        cmocka_unit_test(a_failed_begin_is_reported_and_nothing_runs),
        cmocka_unit_test(signals_are_blocked_in_the_thread_and_not_in_its_starter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
