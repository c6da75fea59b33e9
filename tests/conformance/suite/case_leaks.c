/* Opening and closing, again and again. */
#include <dirent.h>
#include <inttypes.h>
#include <sys/resource.h>
#include <unistd.h>

#include "db.h"

/* Descriptors, without those of libraries, which the loader keeps. */
static unsigned count_files(void)
{
    DIR *dir = opendir("/proc/self/fd");
    const struct dirent *entry;
    unsigned count = 0;

    if (dir == NULL)
        suite_skip("/proc/self/fd is not readable here");
    while ((entry = readdir(dir)) != NULL) {
        char target[512] = "";
        ssize_t len = readlinkat(dirfd(dir), entry->d_name, target, sizeof(target) - 1);

        count += len < 3 || strcmp(target + len - 3, ".so") != 0;
    }
    (void)closedir(dir);
    return count;
}

static unsigned count_threads(void)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned count = 0;

    while (dir != NULL && readdir(dir) != NULL)
        count++;
    if (dir != NULL)
        (void)closedir(dir);
    return count;
}

static void open_and_close(unsigned times)
{
    struct dkv_snapshot *snapshot;
    struct db db;

    for (unsigned i = 0; i < times; i++) {
        db_open(&db);
        CHECK_STATUS(db_put(&db, db_applied(&db) + 1, "k", "v"), DKV_OK);
        if ((suite.caps & DKV_CAP_SNAPSHOT) != 0) {
            snapshot = snapshot_open(&db);
            snapshot_close(snapshot);
        }
        for (unsigned readers = 0; readers < 3; readers++) {
            struct dkv_reader *reader;
            struct dkv_error err = {0};

            CHECK_STATUS(db.store->ops->reader_open(db.store, db.home, &reader, &err), DKV_OK);
            db.store->ops->reader_close(reader);
        }
        restore_abort(restore_open(&db, 7));
        db_close(&db);
    }
}

/* The loader keeps a descriptor for each plugin of a chain each time, so their limit is one. */
static unsigned cycles(void)
{
    bool is_quick = (suite.caps & DKV_CAP_DURABLE) == 0 && !suite.is_slow;
    unsigned wanted = SUITE_SANITIZED ? 200 : is_quick || suite.is_long ? 10000 : 2000;
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur / 8 < wanted)
        wanted = (unsigned)(limit.rlim_cur / 8);
    return wanted;
}

static void no_leaks(void)
{
    enum { WARM = 100, GROWTH_KB = 16384 };
    unsigned files, threads, count = cycles();
    uint64_t before;

    open_and_close(WARM);
    files = count_files();
    threads = count_threads();
    before = memory_kb();
    open_and_close(count);
    CHECK_EQ(count_files(), files);
    CHECK_EQ(count_threads(), threads);
    suite_note("%u times, memory from %" PRIu64 " to %" PRIu64 " KiB", count, before, memory_kb());
    CHECK(SUITE_SANITIZED || memory_kb() < before + GROWTH_KB);
}

const struct suite_case leak_cases[] = {
    {40, "opening and closing leaks no descriptor, no thread and no memory", no_leaks, 0},
    {0, NULL, NULL, 0},
};
