/* What the tests of the log stand on: a disk that loses exactly what it may lose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "env_test.h"
#include "fs_mem.h"

static struct fs_file *create(struct fs *fs, const char *path)
{
    struct fs_file *file;

    assert_int_equal(fs->ops->open(fs, path, FS_READ | FS_WRITE | FS_CREATE, &file), DKV_OK);
    return file;
}

static int write_at(struct fs_file *file, uint8_t fill, size_t len, uint64_t offset)
{
    static uint8_t bytes[4096];
    struct iovec iov = {.iov_base = bytes, .iov_len = len};

    memset(bytes, fill, sizeof(bytes));
    return file->fs->ops->write(file, &iov, 1, offset);
}

/* A file `a` whose first 2048 bytes are synced as 1 and then written as 2. */
static struct fs *half_synced(void)
{
    struct fs *fs = fs_mem_new();
    struct fs_file *file = create(fs, "a");

    assert_int_equal(write_at(file, 1, 2048, 0), DKV_OK);
    assert_int_equal(fs->ops->sync(file), DKV_OK);
    assert_int_equal(fs->ops->sync_dir(fs, "."), DKV_OK);
    assert_int_equal(write_at(file, 2, 2048, 0), DKV_OK);
    assert_int_equal(fs->ops->close(file), DKV_OK);
    return fs;
}

static void a_crash_keeps_what_was_synced(void **state)
{
    struct fs *fs = half_synced(), *after = fs_mem_crash(fs, FS_MEM_LOSE_ALL, 1);
    size_t len = 0;
    const uint8_t *bytes = fs_mem_bytes(after, "a", &len);

    (void)state;
    assert_non_null(bytes);
    assert_int_equal(len, 2048);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], 1);
    after->ops->free(after);
    fs->ops->free(fs);
}

static void a_killed_process_loses_nothing(void **state)
{
    struct fs *fs = half_synced(), *after = fs_mem_crash(fs, FS_MEM_KEEP_ALL, 1);
    size_t len = 0;
    const uint8_t *bytes = fs_mem_bytes(after, "a", &len);

    (void)state;
    assert_int_equal(bytes[0], 2);
    assert_int_equal(bytes[2047], 2);
    after->ops->free(after);
    fs->ops->free(fs);
}

static void sectors_of_a_torn_write_are_old_or_new(void **state)
{
    struct fs *fs = half_synced();
    bool was_mixed = false;

    (void)state;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct fs *after = fs_mem_crash(fs, FS_MEM_KEEP_SOME, seed);
        size_t len = 0;
        const uint8_t *bytes = fs_mem_bytes(after, "a", &len);

        for (size_t i = 0; i < len; i++) {
            assert_true(bytes[i] == 1 || bytes[i] == 2);
            assert_int_equal(bytes[i], bytes[i / 512 * 512]);
            was_mixed |= bytes[i] != bytes[0];
        }
        after->ops->free(after);
    }
    assert_true(was_mixed);
    fs->ops->free(fs);
}

static void a_prefix_is_cut_once(void **state)
{
    struct fs *fs = half_synced();
    bool seen[5] = {false};

    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct fs *after = fs_mem_crash(fs, FS_MEM_KEEP_PREFIX, seed);
        size_t len = 0, fresh = 0;
        const uint8_t *bytes = fs_mem_bytes(after, "a", &len);

        while (fresh < 4 && bytes[fresh * 512] == 2)
            fresh++;
        for (size_t sector = fresh; sector < 4; sector++)
            assert_int_equal(bytes[sector * 512], 1);
        seen[fresh] = true;
        after->ops->free(after);
    }
    assert_true(seen[0] && seen[2] && seen[4]);
    fs->ops->free(fs);
}

static void a_name_pends_until_its_folder_is_synced(void **state)
{
    struct fs *fs = fs_mem_new(), *after;
    struct fs_file *file;
    size_t len;

    (void)state;
    assert_int_equal(fs->ops->mkdir(fs, "d"), DKV_OK);
    assert_int_equal(fs->ops->sync_dir(fs, "."), DKV_OK);
    file = create(fs, "d/a.tmp");
    assert_int_equal(write_at(file, 7, 10, 0), DKV_OK);
    assert_int_equal(fs->ops->sync(file), DKV_OK);
    assert_int_equal(fs->ops->close(file), DKV_OK);
    assert_int_equal(fs->ops->rename(fs, "d/a.tmp", "d/a"), DKV_OK);
    after = fs_mem_crash(fs, FS_MEM_LOSE_ALL, 1);
    assert_null(fs_mem_bytes(after, "d/a", &len));
    assert_null(fs_mem_bytes(after, "d/a.tmp", &len));
    after->ops->free(after);
    assert_int_equal(fs->ops->sync_dir(fs, "d"), DKV_OK);
    after = fs_mem_crash(fs, FS_MEM_LOSE_ALL, 1);
    assert_non_null(fs_mem_bytes(after, "d/a", &len));
    assert_int_equal(len, 10);
    assert_null(fs_mem_bytes(after, "d/a.tmp", &len));
    after->ops->free(after);
    fs->ops->free(fs);
}

static void what_is_in_a_lost_folder_is_lost(void **state)
{
    struct fs *fs = fs_mem_new(), *after;
    size_t len;

    (void)state;
    assert_int_equal(fs->ops->mkdir(fs, "d"), DKV_OK);
    assert_int_equal(fs->ops->close(create(fs, "d/a")), DKV_OK);
    assert_int_equal(fs->ops->sync_dir(fs, "d"), DKV_OK);
    after = fs_mem_crash(fs, FS_MEM_LOSE_ALL, 1);
    assert_null(fs_mem_bytes(after, "d/a", &len));
    after->ops->free(after);
    fs->ops->free(fs);
}

static void an_op_fails_where_the_test_says(void **state)
{
    struct fs *fs = fs_mem_new();
    struct fs_file *file = create(fs, "a");

    (void)state;
    fs_mem_fail_at(fs, 2, DKV_EIO);
    assert_int_equal(write_at(file, 1, 10, 0), DKV_OK);
    assert_int_equal(write_at(file, 2, 10, 0), DKV_EIO);
    assert_int_equal(write_at(file, 3, 10, 0), DKV_OK);
    fs_mem_power_off_at(fs, 1);
    assert_int_equal(write_at(file, 4, 10, 0), DKV_EIO);
    assert_int_equal(fs->ops->sync(file), DKV_EIO);
    assert_int_equal(fs->ops->close(file), DKV_OK);
    fs->ops->free(fs);
}

static void a_full_disk_takes_no_growth_but_overwrites(void **state)
{
    struct fs *fs = fs_mem_new();
    struct fs_file *file = create(fs, "a");

    (void)state;
    fs_mem_set_capacity(fs, 1000);
    assert_int_equal(fs->ops->allocate(file, 900), DKV_OK);
    assert_int_equal(fs->ops->allocate(file, 1001), DKV_ENOSPC);
    assert_int_equal(write_at(file, 1, 200, 850), DKV_ENOSPC);
    assert_int_equal(write_at(file, 1, 200, 700), DKV_OK);
    assert_int_equal(fs->ops->close(file), DKV_OK);
    fs->ops->free(fs);
}

struct counted_job {
    struct env_job job;
    int worked, done;
};

static void count_work(struct env_job *job)
{
    container_of(job, struct counted_job, job)->worked++;
}

static void count_done(struct env_job *job)
{
    container_of(job, struct counted_job, job)->done++;
}

static void jobs_run_when_the_test_says_so(void **state)
{
    struct counted_job job = {.job = {.work = count_work, .done = count_done}};
    struct env_test e;

    (void)state;
    env_test_init(&e, NULL, 1);
    e.env.ops->submit(&e.env, ENV_QUEUE_LOG, &job.job);
    assert_int_equal(job.worked, 0);
    assert_false(env_test_work(&e, ENV_QUEUE_BACKGROUND));
    assert_true(env_test_work(&e, ENV_QUEUE_LOG));
    assert_int_equal(job.worked, 1);
    assert_int_equal(job.done, 0);
    assert_true(env_test_finish(&e));
    assert_int_equal(job.done, 1);
    env_test_run(&e);
    assert_int_equal(job.worked, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_keeps_what_was_synced),
        cmocka_unit_test(a_killed_process_loses_nothing),
        cmocka_unit_test(sectors_of_a_torn_write_are_old_or_new),
        cmocka_unit_test(a_prefix_is_cut_once),
        cmocka_unit_test(a_name_pends_until_its_folder_is_synced),
        cmocka_unit_test(what_is_in_a_lost_folder_is_lost),
        cmocka_unit_test(an_op_fails_where_the_test_says),
        cmocka_unit_test(a_full_disk_takes_no_growth_but_overwrites),
        cmocka_unit_test(jobs_run_when_the_test_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
