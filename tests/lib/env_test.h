/* The world of unit tests: time stands still until a test moves it, randomness comes from a seed,
 * and jobs run when the test says so, on its own thread. */
#ifndef TESTS_ENV_TEST_H
#define TESTS_ENV_TEST_H

#include <stdbool.h>

#include "base/env.h"
#include "base/rng.h"

struct env_test {
    struct env env; /* give this to what is tested */
    struct rng rng;
    uint64_t now_us;
    struct list waiting[ENV_QUEUE_COUNT];
    struct list finished; /* worked, not done */
    int exit_code;        /* of the first fail_stop; 0 = none */
    char why[256];
};

/* fs is borrowed and may be NULL. */
void env_test_init(struct env_test *e, struct fs *fs, uint64_t seed);
/* Runs work() of the queue's first job; false if there is none. */
bool env_test_work(struct env_test *e, enum env_queue queue);
/* Calls done() of the jobs that have worked; false if there is none. */
bool env_test_finish(struct env_test *e);
/* Until no queue has a job left. */
void env_test_run(struct env_test *e);

#endif
