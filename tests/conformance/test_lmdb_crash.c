/* Processes killed with SIGKILL, at named points and at random moments: what is opened afterwards
 * is the model's state at the index that the store names, and not below what was reported. */
#include "lmdb_fixture.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define RESTORED 100000u

struct shared {
    _Atomic uint64_t applied; /* before the call: the child may be killed inside */
    _Atomic uint64_t durable;
    _Atomic uint64_t committed_restore;
};

static struct shared *shared_new(void)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(shared != MAP_FAILED);
    return shared;
}

static void model_run_to(struct model *model, uint64_t index)
{
    struct dkv_mutation mutations[16];
    size_t count;

    while (model->index < index)
        model_advance(model, mutations, &count);
}

static void child_apply(struct fixture *f, struct shared *shared, uint64_t seed, int steps)
{
    struct model model = {.seed = seed};

    store_reopen(f);
    model_run_to(&model, applied_now(f));
    for (int i = 0; i < steps; i++) {
        shared->applied = model.index + 1;
        if (model_apply(f, &model) != DKV_OK)
            _exit(2);
        if (i % 40 == 0)
            shared->durable = sync_now(f);
    }
    store_shut(f);
    shared->durable = model.index;
}

static int run_child(struct fixture *f, struct shared *shared, const char *site,
                     void (*work)(struct fixture *f, struct shared *shared), useconds_t kill_after)
{
    pid_t pid = fork();
    int status;

    assert_true(pid >= 0);
    if (pid == 0) {
        if (site != NULL)
            (void)setenv("DKV_LMDB_CRASH_AT", site, 1);
        work(f, shared);
        _exit(0);
    }
    if (kill_after != 0) {
        usleep(kill_after);
        (void)kill(pid, SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL : WEXITSTATUS(status) == 0);
    return WIFSIGNALED(status);
}

#define SEED 4711u

static void work_apply(struct fixture *f, struct shared *shared)
{
    child_apply(f, shared, SEED, 400);
}

static void verify(struct fixture *f, const struct shared *shared)
{
    struct model model = {.seed = SEED};
    uint64_t applied;

    store_reopen(f);
    applied = applied_now(f);
    assert_true(applied >= shared->durable);
    assert_true(applied <= shared->applied);
    model_run_to(&model, applied);
    assert_is_model(f, &model);
    store_shut(f);
}

static void test_r_p12_killed_at_each_named_point_the_store_is_a_prefix(void **state)
{
    struct fixture *f = *state;
    static const char *const sites[] = {"staged", "take",      "begin", "written",
                                        "commit", "committed", "retire"};
    struct shared *shared = shared_new();
    char site[32];
    int kills = 0;

    f->options.commit_ops = 64;
    for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++)
        for (int pass = 1; pass <= 9; pass += 2) {
            (void)snprintf(site, sizeof(site), "%s:%d", sites[i], pass);
            kills += run_child(f, shared, site, work_apply, 0);
            verify(f, shared);
        }
    assert_true(kills >= 33);
    (void)munmap(shared, sizeof(*shared));
}

static void test_killed_at_random_moments_the_store_is_a_prefix(void **state)
{
    struct fixture *f = *state;
    struct shared *shared = shared_new();
    uint64_t random = 99;
    int kills = 0;

    f->options.commit_ops = 64;
    /* On a fast machine the child is sometimes done before it is killed. */
    for (int i = 0; i < 500 && kills < 25; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        kills +=
            run_child(f, shared, NULL, work_apply, 1000 + (useconds_t)((random >> 33) % 60000));
        verify(f, shared);
    }
    assert_int_equal(kills, 25);
    (void)munmap(shared, sizeof(*shared));
}

static void restore_model(struct fixture *f, const struct model *model)
{
    const struct dkv_storage_ops *ops = f->store->ops;
    struct dkv_restore *restore;
    struct dkv_op op = {0};
    static char filler[700];

    if (ops->restore_open(f->store, RESTORED, &restore) != DKV_OK)
        _exit(3);
    for (int i = 0; i < 100; i++) {
        char name[16];
        struct dkv_mutation one = {.kind = DKV_PUT, .key = {name, 6}, .value = {filler, 700}};
        struct dkv_restore_write write = {.puts = &one, .count = 1};

        (void)snprintf(name, sizeof(name), "r%05d", i);
        if (ops->restore_write(restore, &write) != DKV_OK)
            _exit(4);
    }
    (void)model;
    if (ops->restore_commit(restore, &op) != DKV_OK)
        _exit(5);
}

static void work_restore(struct fixture *f, struct shared *shared)
{
    struct model model = {.seed = SEED};

    store_reopen(f);
    for (int i = 0; i < 50; i++)
        if (model_apply(f, &model) != DKV_OK)
            _exit(2);
    (void)sync_now(f);
    shared->applied = shared->durable = 50;
    restore_model(f, &model);
    shared->committed_restore = 1;
    store_shut(f);
}

/* True if the new content is there. */
static int verify_restore(struct fixture *f)
{
    struct model model = {.seed = SEED};
    struct collected got = {.limit = 0};
    uint64_t applied;

    store_reopen(f);
    applied = applied_now(f);
    if (applied == RESTORED) {
        assert_int_equal(scan_into(f->reader, "r", "", 0, &got), DKV_OK);
        assert_int_equal(got.count, 100);
        assert_int_equal(scan_into(f->reader, "", "", 0, &got), DKV_OK);
        assert_int_equal(got.count, 100);
    } else {
        assert_true(applied <= 50);
        model_run_to(&model, applied);
        assert_is_model(f, &model);
    }
    store_shut(f);
    return applied == RESTORED;
}

static void test_killed_in_a_restore_the_store_is_old_or_new(void **state)
{
    struct fixture *f;
    void *own;
    static const char *const sites[] = {"restore-flush:1", "restore-flush:2",  "restore-flush:4",
                                        "restore-turn:1",  "restore-turned:1", "commit:3",
                                        "commit:4",        "commit:6",         "committed:3",
                                        "committed:4",     "committed:5",      "committed:6",
                                        "committed:7",     "committed:8",      "never:1"};
    struct shared *shared = shared_new();
    int renewed = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(sites) / sizeof(sites[0]); i++) {
        (void)fixture_setup(&own);
        f = own;
        f->options.commit_bytes = 16 << 10;
        shared->committed_restore = 0;
        (void)run_child(f, shared, sites[i], work_restore, 0);
        if (verify_restore(f))
            renewed++;
        else
            assert_int_equal(shared->committed_restore, 0);
        (void)fixture_teardown(&own);
    }
    assert_true(renewed >= 2);
    assert_true(renewed < (int)(sizeof(sites) / sizeof(sites[0])) - 4);
    (void)munmap(shared, sizeof(*shared));
}

static void test_a_killed_process_does_not_keep_the_lock(void **state)
{
    struct fixture *f = *state;
    struct shared *shared = shared_new();

    assert_int_equal(run_child(f, shared, "commit:3", work_apply, 0), 1);
    store_reopen(f);
    (void)munmap(shared, sizeof(*shared));
}

/* The two pages of which each commit writes one. */
static void read_meta(const struct fixture *f, char pages_out[8192])
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/data.mdb", f->path);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(pages_out, 1, 8192, file), 8192);
    (void)fclose(file);
}

/* A node with a full disk can start. */
static void test_opening_writes_nothing_where_nothing_is_to_do(void **state)
{
    struct fixture *f = *state;
    char before[8192], after[8192];

    store_reopen(f);
    assert_int_equal(put(f, 1, "a", "one", 3), DKV_OK);
    store_shut(f);
    read_meta(f, before);
    store_reopen(f);
    read_meta(f, after);
    assert_memory_equal(before, after, sizeof(before));
    assert_int_equal(applied_now(f), 1);
    assert_value(f, "a", "one");
    assert_int_equal(put(f, 2, "b", "two", 3), DKV_OK);
    store_reopen(f);
    assert_value(f, "b", "two");
}

#define T(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_r_p12_killed_at_each_named_point_the_store_is_a_prefix),
        T(test_killed_at_random_moments_the_store_is_a_prefix),
        T(test_killed_in_a_restore_the_store_is_old_or_new),
        T(test_a_killed_process_does_not_keep_the_lock),
        T(test_opening_writes_nothing_where_nothing_is_to_do),
    };

    return cmocka_run_group_tests_name("lmdb crash", tests, NULL, NULL);
}
