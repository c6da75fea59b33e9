/* Stores that survive their process: closed, killed, out of space. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/rng.h"
#include "db.h"
#include "disk.h"

/* What a process that may be killed leaves behind.  The workload is made again from the seed. */
struct shared {
    _Atomic uint64_t begun;   /* stored before apply() or restore_commit() is called */
    _Atomic uint64_t durable; /* what sync() has promised */
    _Atomic bool is_restored;
};

enum { RESTORED = 1000000 };

static struct shared *shared_new(void)
{
    struct shared *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(shared != MAP_FAILED);
    return shared;
}

/* True if it was killed.  Ends the case if the child has failed by itself. */
static bool run_killed(void (*work)(struct shared *), struct shared *shared, useconds_t kill_after)
{
    int status;
    pid_t pid;

    (void)fflush(stdout);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        work(shared);
        _exit(0);
    }
    if (kill_after != 0) {
        (void)usleep(kill_after);
        (void)kill(pid, SIGKILL);
    }
    while (waitpid(pid, &status, 0) < 0)
        CHECK(errno == EINTR);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    if (WIFSIGNALED(status))
        suite_fail(__FILE__, __LINE__, "killed by signal %d", WTERMSIG(status));
    if (WEXITSTATUS(status) != 0)
        suite_fail(__FILE__, __LINE__, "the child has failed");
    return false;
}

static struct model model_at(uint64_t seed, uint64_t index)
{
    struct model model = {.index = 0};

    workload_advance(&model, seed, index);
    return model;
}

static void closed_and_opened(void)
{
    struct model model = {.index = 0};
    uint64_t durable = 0;
    struct db db;

    db_open(&db);
    for (unsigned i = 1; i <= 8; i++) {
        db_run(&db, &model, suite.seed, i * 20);
        if (i % 2 == 0) {
            CHECK_STATUS(db_sync(&db, &durable), DKV_OK);
            CHECK_EQ(durable, model.index);
        }
        db_reopen(&db);
        if (db_applied(&db) < model.index) { /* it need not sync when it is closed */
            CHECK(i % 2 == 1);
            CHECK(db_applied(&db) >= durable);
            model_clear(&model);
            model = model_at(suite.seed, db_applied(&db));
        }
        db_expect_model(&db, &model);
        durable = model.index;
    }
    model_clear(&model);
    db_close(&db);
}

static void apply_some(struct shared *shared, uint64_t batches)
{
    struct model model;
    uint64_t durable;
    struct db db;

    db_open(&db);
    model = model_at(suite.seed, db_applied(&db));
    for (uint64_t last = model.index + batches; model.index < last;) {
        shared->begun = model.index + 1;
        db_run(&db, &model, suite.seed, model.index + 1);
        if (model.index % 10 == 0) {
            CHECK_STATUS(db_sync(&db, &durable), DKV_OK);
            CHECK(durable >= model.index);
            shared->durable = durable;
        }
    }
    db_close(&db);
}

static void work_apply(struct shared *shared)
{
    apply_some(shared, 300);
}

static void work_little(struct shared *shared)
{
    apply_some(shared, 60);
}

/* What is opened now is the state after one index, and not an older one than was promised. */
static void expect_prefix(const struct shared *shared)
{
    struct model model;
    uint64_t applied;
    struct db db;

    db_open(&db);
    applied = db_applied(&db);
    if (applied < shared->durable || applied > shared->begun)
        suite_fail(__FILE__, __LINE__,
                   "it came back at index %" PRIu64 ", but %" PRIu64 " was durable and %" PRIu64
                   " the last one begun",
                   applied, shared->durable, shared->begun);
    model = model_at(suite.seed, applied);
    db_expect_model(&db, &model);
    model_clear(&model);
    db_close(&db);
}

static uint64_t kills_wanted(void)
{
    if (suite.is_long)
        return 5000;
    if (SUITE_SANITIZED)
        return 8;
    return suite.is_slow || suite_is_decorated() ? 50 : 500;
}

static void killed_at_random(void)
{
    enum { LIVES = 25 }; /* then a new store: what is read again after a kill grows */
    uint64_t times = kills_wanted();
    struct shared *shared = shared_new();
    uint64_t kills = 0;
    struct rng rng;

    rng_init(&rng, suite.seed);
    for (uint64_t i = 0; i < times; i++) {
        if (i % LIVES == 0) {
            db_forget();
            shared->begun = shared->durable = 0;
        }
        kills += run_killed(work_apply, shared, 1 + (useconds_t)rng_below(&rng, 40000));
        expect_prefix(shared);
    }
    suite_note("killed %" PRIu64 " times in %" PRIu64 ", now at index %" PRIu64, kills, times,
               shared->durable);
    CHECK(kills > 0);
}

/* Calls `each` for some numbers from 1 to the count of file changes that `work` makes. */
static void at_points_of(void (*work)(struct shared *), void (*each)(uint64_t point))
{
    struct shared *shared = shared_new();
    uint64_t points, step;

    disk_count();
    CHECK(!run_killed(work, shared, 0));
    points = disk_counted();
    if (points == 0)
        suite_skip("it changes no file by a call that the suite sees");
    step = suite.is_long ? 1 : 1 + points / (SUITE_SANITIZED ? 12 : 60);
    suite_note("%" PRIu64 " changes of files, every %" PRIu64 ". is a point", points, step);
    for (uint64_t point = 1; point <= points; point += step) {
        disk_count();
        db_forget();
        each(point);
    }
    disk_count();
}

static void kill_apply_at(uint64_t point)
{
    struct shared *shared = shared_new();

    disk_kill_at(point);
    (void)run_killed(work_little, shared, 0);
    disk_count();
    expect_prefix(shared);
    (void)munmap(shared, sizeof(*shared));
}

static void killed_at_each_point(void)
{
    at_points_of(work_little, kill_apply_at);
}

/* From 20 batches to a content of another kind. */
static void work_restore(struct shared *shared)
{
    struct model model = {.index = 0}, restored = model_at(suite.seed + 1, 60);
    uint64_t durable;
    struct db db;

    restored.index = RESTORED;
    db_open(&db);
    shared->begun = 20;
    db_run(&db, &model, suite.seed, 20);
    CHECK_STATUS(db_sync(&db, &durable), DKV_OK);
    shared->durable = durable;
    db_restore(&db, &restored);
    shared->is_restored = true;
    db_close(&db);
}

static void kill_restore_at(uint64_t point)
{
    struct shared *shared = shared_new();
    struct model restored;
    struct db db;

    disk_kill_at(point);
    (void)run_killed(work_restore, shared, 0);
    disk_count();
    db_open(&db);
    if (db_applied(&db) == RESTORED) {
        restored = model_at(suite.seed + 1, 60);
        restored.index = RESTORED;
        db_expect_model(&db, &restored);
        model_clear(&restored);
        db_close(&db);
    } else {
        CHECK(!shared->is_restored);
        db_close(&db);
        expect_prefix(shared);
    }
    (void)munmap(shared, sizeof(*shared));
}

static void restore_killed(void)
{
    at_points_of(work_restore, kill_restore_at);
}

/* Killed, and what was not synced is gone: all, some or none of it. */
static void lose_power(void (*work)(struct shared *), uint64_t round)
{
    struct shared *shared = shared_new();
    struct model restored;
    struct db db;

    db_forget();
    if (!disk_record())
        suite_skip("no memory for a journal of what is written");
    disk_kill_at(3 + round * 7 % 45);
    (void)run_killed(work, shared, 0);
    disk_count();
    disk_lose(round % 2 == 0, suite.seed + round);
    db_open(&db);
    if (db_applied(&db) == RESTORED) {
        restored = model_at(suite.seed + 1, 60);
        restored.index = RESTORED;
        db_expect_model(&db, &restored);
        model_clear(&restored);
        db_close(&db);
    } else {
        CHECK(!shared->is_restored);
        db_close(&db);
        expect_prefix(shared);
    }
    (void)munmap(shared, sizeof(*shared));
}

/* Closing could sync what restore_commit() has not. */
static void work_restore_only(struct shared *shared)
{
    struct model restored = model_at(suite.seed + 1, 60);
    struct db db;

    restored.index = RESTORED;
    db_open(&db);
    db_restore(&db, &restored);
    shared->is_restored = true;
    (void)kill(getpid(), SIGKILL);
}

static void power_fails(void)
{
    uint64_t rounds = suite.is_long ? 1000 : SUITE_SANITIZED ? 16 : 60;

    for (uint64_t round = 0; round < rounds; round++)
        lose_power(round % 4 == 2   ? work_restore
                   : round % 4 == 3 ? work_restore_only
                                    : work_little,
                   round);
}

static int failing_error;

/* Memory comes back by itself, as space does; a disk does not. */
static bool may_pass_by(void)
{
    return failing_error == ENOSPC || failing_error == ENOMEM;
}

static bool is_right_answer(int status)
{
    return status == DKV_EIO || (status == DKV_ENOSPC && may_pass_by()) ||
           (status == DKV_ENOMEM && failing_error == ENOMEM);
}

static int expect_value(void *ctx, struct dkv_slice key, struct dkv_slice value)
{
    const struct model_pair *pair = model_find(ctx, key);

    CHECK(pair != NULL && slice_compare(pair->value, value) == 0);
    return 0;
}

/* A store that has failed may refuse to read, but what it gives is right. */
static void expect_right_or_refused(struct db *db, struct model *model)
{
    unsigned char bytes[MODEL_KEY_MAX];

    for (unsigned i = 0; i < WORKLOAD_KEYS; i += 2) {
        struct dkv_slice key = workload_key(i, bytes);
        int want = model_find(model, key) == NULL ? DKV_ENOENT : DKV_OK;
        int status = read_get(db->reader, db->home, key, expect_value, model);

        if (status != DKV_EIO)
            CHECK_STATUS(status, want);
    }
}

/* Goes on until something fails; what can be read is right all the time. */
static void work_until_failure(struct shared *shared)
{
    struct model model = {.index = 0};
    struct dkv_error err = {0};
    int status = DKV_OK;
    struct db db;

    if (db_try_open(&db, &err) != DKV_OK) {
        CHECK(err.status < 0 && err.text[0] != '\0');
        return;
    }
    CHECK_STATUS(db.store->ops->reader_open(db.store, db.home, &db.reader, &err), DKV_OK);
    for (uint64_t i = 1; i <= 60 && status == DKV_OK; i++) {
        uint64_t durable;
        struct batch batch;

        workload_batch(suite.seed, i, &batch);
        shared->begun = i;
        status = db_apply(&db, i, batch.mutations, batch.count);
        if (status == DKV_OK)
            model_apply(&model, i, batch.mutations, batch.count);
        batch_free(&batch);
        if (status == DKV_OK && i % 10 == 0 && (status = db_sync(&db, &durable)) == DKV_OK)
            shared->durable = durable;
    }
    if (status != DKV_OK && !is_right_answer(status))
        suite_fail(__FILE__, __LINE__, "with errno %d it says \"%s\"", failing_error,
                   suite_status_text(status));
    expect_right_or_refused(&db, &model);
    if (may_pass_by() && status != DKV_OK)
        disk_count(); /* the cause is gone; how it closes is its own affair */
    db_close(&db);
}

static void fail_from(uint64_t point)
{
    struct shared *shared = shared_new();

    disk_fail_from(point, failing_error);
    (void)run_killed(work_until_failure, shared, 0);
    disk_count();
    expect_prefix(shared);
    (void)munmap(shared, sizeof(*shared));
}

static void disk_fails(void)
{
    static const int errors[] = {ENOSPC, EIO, ENOMEM};

    for (size_t i = 0; i < 3; i++) {
        failing_error = errors[i];
        db_forget();
        at_points_of(work_until_failure, fail_from);
    }
}

static void each_file(const char *folder, void (*fn)(const char *path))
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    char path[4300];
    struct stat st;

    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || lstat(path, &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            each_file(path, fn);
        else
            fn(path);
    }
    (void)closedir(dir);
}

static void overwrite(const char *path)
{
    char nonsense[65536];
    struct stat st;
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    CHECK(fd >= 0 && fstat(fd, &st) == 0);
    memset(nonsense, 0xa5, sizeof(nonsense));
    for (off_t at = 0; at < st.st_size; at += (off_t)sizeof(nonsense))
        CHECK(pwrite(fd, nonsense, sizeof(nonsense), at) == (ssize_t)sizeof(nonsense));
    (void)close(fd);
}

static void foreign_content(void)
{
    struct model model = {.index = 0};
    struct dkv_error err = {0};
    char folder[4200];
    uint64_t durable;
    struct db db;
    int status;

    db_open(&db);
    db_run(&db, &model, suite.seed, 30);
    CHECK_STATUS(db_sync(&db, &durable), DKV_OK);
    db_close(&db);
    (void)snprintf(folder, sizeof(folder), "%s/store", suite.folder);
    each_file(folder, overwrite);
    status = db_try_open(&db, &err);
    if (status == DKV_OK)
        suite_fail(__FILE__, __LINE__, "files full of nonsense were opened as a store");
    CHECK(status < 0 && err.text[0] != '\0');
    suite_note("%s", err.text);
    model_clear(&model);
}

static void work_second(struct shared *shared)
{
    struct dkv_error err = {0};
    struct db db;
    int status = db_try_open(&db, &err);

    (void)shared;
    if (status == DKV_OK)
        suite_fail(__FILE__, __LINE__, "a second process could open the store");
    CHECK(err.text[0] != '\0');
}

static void locks(void)
{
    struct shared *shared = shared_new();
    struct dkv_error err = {0};
    struct db db, second;

    while (!run_killed(work_apply, shared, 5000))
        continue;
    db_open(&db); /* what the killed one has left does not matter */
    if (db_try_open(&second, &err) == DKV_OK)
        suite_fail(__FILE__, __LINE__, "the store could be opened twice");
    (void)run_killed(work_second, shared, 0);
    CHECK_STATUS(db_put(&db, 1000000, "k", "v"), DKV_OK); /* and took no harm */
    db_expect(&db, "k", "v");
    db_close(&db);
    db_open(&db);
    db_close(&db);
}

const struct suite_case durable_cases[] = {
    {30, "what is synced is there after closing and opening", closed_and_opened, DKV_CAP_DURABLE},
    {31, "killed at random moments it is a prefix, and not below what was durable",
     killed_at_random, DKV_CAP_DURABLE},
    {32, "killed at a change of a file it is a prefix, and not below what was durable",
     killed_at_each_point, DKV_CAP_DURABLE},
    {33, "when power fails it is a prefix, and not below what was durable", power_fails,
     DKV_CAP_DURABLE},
    {37, "when changes of files fail it answers so, stays a prefix and opens again", disk_fails,
     DKV_CAP_DURABLE},
    {38, "what is not a store is refused with a text", foreign_content, DKV_CAP_DURABLE},
    {39, "a killed process does not keep the store locked, a living one does", locks,
     DKV_CAP_DURABLE},
    {47, "killed in a restore it has the old content or the new", restore_killed, DKV_CAP_DURABLE},
    {0, NULL, NULL, 0},
};
