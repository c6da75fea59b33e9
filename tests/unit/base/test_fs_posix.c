#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"

struct dir {
    char path[64];
    struct fs *fs;
};

static int setup(void **state)
{
    struct dir *d = calloc(1, sizeof(*d));

    snprintf(d->path, sizeof(d->path), "test_fs_posix.XXXXXX");
    if (mkdtemp(d->path) == NULL || fs_posix_open(d->path, &d->fs, NULL) != DKV_OK)
        return -1;
    *state = d;
    return 0;
}

static int remove_each(void *ctx, const char *name)
{
    struct fs *fs = ctx;

    return fs->ops->remove(fs, name);
}

static int teardown(void **state)
{
    struct dir *d = *state;
    int status = d->fs->ops->list(d->fs, ".", remove_each, d->fs);

    d->fs->ops->free(d->fs);
    if (rmdir(d->path) != 0)
        status = -1;
    free(d);
    return status;
}

static struct fs *fs_of(void **state)
{
    return ((struct dir *)*state)->fs;
}

static struct fs_file *must_open(struct fs *fs, const char *path, unsigned flags)
{
    struct fs_file *file = NULL;

    assert_int_equal(fs->ops->open(fs, path, flags, &file), DKV_OK);
    return file;
}

static void must_write(struct fs_file *file, const char *text, uint64_t offset)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};

    assert_int_equal(file->fs->ops->write(file, &iov, 1, offset), DKV_OK);
}

static void make_file(struct fs *fs, const char *path, const char *text)
{
    struct fs_file *file = must_open(fs, path, FS_WRITE | FS_CREATE);

    must_write(file, text, 0);
    assert_int_equal(fs->ops->sync(file), DKV_OK);
    assert_int_equal(fs->ops->close(file), DKV_OK);
}

static void must_hold(struct fs *fs, const char *path, const char *text)
{
    struct fs_file *file = must_open(fs, path, FS_READ);
    char bytes[64] = "";
    size_t len;

    assert_int_equal(fs->ops->read(file, bytes, sizeof(bytes) - 1, 0, &len), DKV_OK);
    assert_int_equal(len, strlen(text));
    assert_string_equal(bytes, text);
    assert_int_equal(fs->ops->close(file), DKV_OK);
}

static void a_read_is_short_only_at_the_end_of_the_file(void **state)
{
    struct fs *fs = fs_of(state);
    struct fs_file *file;
    char bytes[16];
    size_t len = 99;

    make_file(fs, "f", "0123456789");
    file = must_open(fs, "f", FS_READ);
    assert_int_equal(fs->ops->read(file, bytes, 4, 3, &len), DKV_OK);
    assert_int_equal(len, 4);
    assert_memory_equal(bytes, "3456", 4);
    assert_int_equal(fs->ops->read(file, bytes, sizeof(bytes), 8, &len), DKV_OK);
    assert_int_equal(len, 2);
    assert_int_equal(fs->ops->read(file, bytes, sizeof(bytes), 1000, &len), DKV_OK);
    assert_int_equal(len, 0);
    assert_int_equal(fs->ops->read(file, bytes, sizeof(bytes), UINT64_MAX, &len), DKV_EINVAL);
    assert_int_equal(fs->ops->close(file), DKV_OK);
}

static void more_pieces_than_the_kernel_takes_are_written_in_order(void **state)
{
    struct fs *fs = fs_of(state);
    struct fs_file *file = must_open(fs, "f", FS_READ | FS_WRITE | FS_CREATE);
    static struct iovec iov[5000];
    static char bytes[10000], back[10000];
    size_t len;

    for (size_t i = 0; i < 5000; i++) {
        bytes[i * 2] = (char)('a' + i % 26);
        bytes[i * 2 + 1] = (char)('a' + i / 26 % 26);
        iov[i] = (struct iovec){bytes + i * 2, i % 7 == 0 ? 0 : 2};
    }
    assert_int_equal(fs->ops->write(file, iov, 5000, 100), DKV_OK);
    assert_int_equal(fs->ops->read(file, back, sizeof(back), 100, &len), DKV_OK);
    for (size_t i = 0, at = 0; i < 5000; at += iov[i].iov_len, i++)
        assert_memory_equal(back + at, iov[i].iov_base, iov[i].iov_len);
    assert_int_equal(len, (5000 - 715) * 2);
    assert_int_equal(fs->ops->close(file), DKV_OK);
}

/* A limit on the file's size makes the kernel write a part only, and then refuse. */
static void a_short_write_goes_on_and_a_refused_one_is_an_error(void **state)
{
    struct fs *fs = fs_of(state);
    struct fs_file *file = must_open(fs, "f", FS_READ | FS_WRITE | FS_CREATE);
    char first[60], second[60];
    struct iovec iov[2] = {{first, sizeof(first)}, {second, sizeof(second)}};
    struct rlimit limit, before;
    uint64_t size = 0;

    memset(first, '1', sizeof(first));
    memset(second, '2', sizeof(second));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(fs->ops->write(file, iov, 2, 0), DKV_ETOOBIG);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(fs->ops->size(file, &size), DKV_OK);
    assert_int_equal(size, 100);
    assert_int_equal(fs->ops->close(file), DKV_OK);
}

static void a_full_disk_is_told(void **state)
{
    struct fs_file *file;
    struct fs *fs;
    char byte[] = "x";

    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_int_equal(fs_posix_open("/dev", &fs, NULL), DKV_OK);
    file = must_open(fs, "full", FS_WRITE);
    assert_int_equal(fs->ops->write(file, &(struct iovec){byte, 1}, 1, 0), DKV_ENOSPC);
    assert_int_equal(fs->ops->close(file), DKV_OK);
    fs->ops->free(fs);
}

static void direct_reads_give_the_same_bytes_at_any_offset(void **state)
{
    struct fs *fs = fs_of(state);
    struct fs_file *file = must_open(fs, "f", FS_WRITE | FS_CREATE);
    size_t size = (3u << 20) + 777, len;
    uint8_t *bytes = malloc(size), *back = malloc(size + 10);
    const size_t cases[][2] = {{0, size},           {1, 10},         {4095, 2},
                               {4096, 4096},        {size - 5, 100}, {size, 1},
                               {(1u << 20) - 1, 2}, {777, 2u << 20}, {size + 10000, 10}};

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(i * 31 + i / 4096);
    assert_int_equal(fs->ops->write(file, &(struct iovec){bytes, size}, 1, 0), DKV_OK);
    assert_int_equal(fs->ops->sync(file), DKV_OK);
    assert_int_equal(fs->ops->close(file), DKV_OK);
    file = must_open(fs, "f", FS_READ | FS_DIRECT);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t offset = cases[i][0], left = offset < size ? size - offset : 0;
        size_t want = cases[i][1] < left ? cases[i][1] : left;

        assert_int_equal(fs->ops->read(file, back, cases[i][1], offset, &len), DKV_OK);
        assert_int_equal(len, want);
        if (want > 0)
            assert_memory_equal(back, bytes + offset, want);
    }
    assert_int_equal(fs->ops->close(file), DKV_OK);
    free(bytes);
    free(back);
}

static void creating_what_exists_is_refused_and_modes_are_private(void **state)
{
    struct dir *d = *state;
    struct fs *fs = d->fs;
    struct fs_file *file;
    char path[128];
    struct stat st;

    make_file(fs, "f", "x");
    assert_int_equal(fs->ops->open(fs, "f", FS_WRITE | FS_CREATE, &file), DKV_EINVAL);
    assert_int_equal(fs->ops->open(fs, "none", FS_READ, &file), DKV_ENOENT);
    snprintf(path, sizeof(path), "%s/f", d->path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(fs->ops->mkdir(fs, "d"), DKV_OK);
    assert_int_equal(fs->ops->mkdir(fs, "d"), DKV_OK);
    assert_int_equal(fs->ops->mkdir(fs, "f"), DKV_EINVAL);
    snprintf(path, sizeof(path), "%s/d", d->path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
}

static void paths_stay_inside_the_root(void **state)
{
    static const char *const bad[] = {"../f", "/tmp", "d/../../f", "", "..", "d/.."};
    struct dir *d = *state;
    struct fs *fs = d->fs;
    struct fs_file *file;
    char path[128];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(fs->ops->open(fs, bad[i], FS_READ, &file), DKV_EINVAL);
        assert_int_equal(fs->ops->remove(fs, bad[i]), DKV_EINVAL);
        assert_int_equal(fs->ops->mkdir(fs, bad[i]), DKV_EINVAL);
        assert_int_equal(fs->ops->rename(fs, "f", bad[i]), DKV_EINVAL);
        assert_int_equal(fs->ops->rename(fs, bad[i], "f"), DKV_EINVAL);
        assert_int_equal(fs->ops->link(fs, "f", bad[i]), DKV_EINVAL);
        assert_int_equal(fs->ops->sync_dir(fs, bad[i]), DKV_EINVAL);
    }
    snprintf(path, sizeof(path), "%s/sneaky", d->path);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(fs->ops->open(fs, "sneaky", FS_READ, &file), DKV_EINVAL);
    make_file(fs, "..f", "two dots may start a name");
}

static void names_are_renamed_linked_listed_and_removed(void **state)
{
    struct fs *fs = fs_of(state);

    assert_int_equal(fs->ops->mkdir(fs, "d"), DKV_OK);
    make_file(fs, "a", "one");
    make_file(fs, "b", "two");
    assert_int_equal(fs->ops->rename(fs, "a", "b"), DKV_OK);
    must_hold(fs, "b", "one");
    assert_int_equal(fs->ops->link(fs, "b", "d/c"), DKV_OK);
    must_hold(fs, "d/c", "one");
    assert_int_equal(fs->ops->link(fs, "b", "d/c"), DKV_EINVAL);
    assert_int_equal(fs->ops->sync_dir(fs, "."), DKV_OK);
    assert_int_equal(fs->ops->sync_dir(fs, "d"), DKV_OK);
    assert_int_equal(fs->ops->remove(fs, "d"), DKV_EINVAL);
    assert_int_equal(fs->ops->remove(fs, "d/c"), DKV_OK);
    assert_int_equal(fs->ops->remove(fs, "d"), DKV_OK);
    assert_int_equal(fs->ops->remove(fs, "d"), DKV_ENOENT);
    assert_int_equal(fs->ops->list(fs, "none", remove_each, fs), DKV_ENOENT);
}

static int stop_at_first(void *ctx, const char *name)
{
    (void)name;
    ++*(int *)ctx;
    return -77;
}

static void a_listing_stops_where_it_is_told(void **state)
{
    struct fs *fs = fs_of(state);
    int count = 0;

    make_file(fs, "a", "");
    make_file(fs, "b", "");
    assert_int_equal(fs->ops->list(fs, ".", stop_at_first, &count), -77);
    assert_int_equal(count, 1);
}

static void files_are_allocated_truncated_and_measured(void **state)
{
    struct fs *fs = fs_of(state);
    struct fs_file *file = must_open(fs, "f", FS_WRITE | FS_CREATE);
    struct fs_space space = {0};
    uint64_t size = 99;

    assert_int_equal(fs->ops->size(file, &size), DKV_OK);
    assert_int_equal(size, 0);
    assert_int_equal(fs->ops->allocate(file, 0), DKV_OK);
    assert_int_equal(fs->ops->allocate(file, 1 << 20), DKV_OK);
    assert_int_equal(fs->ops->size(file, &size), DKV_OK);
    assert_int_equal(size, 1 << 20);
    assert_int_equal(fs->ops->truncate(file, 10), DKV_OK);
    assert_int_equal(fs->ops->size(file, &size), DKV_OK);
    assert_int_equal(size, 10);
    assert_int_equal(fs->ops->truncate(file, UINT64_MAX), DKV_EINVAL);
    assert_int_equal(fs->ops->close(file), DKV_OK);
    assert_int_equal(fs->ops->space(fs, &space), DKV_OK);
    assert_true(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
}

static void a_root_that_is_missing_is_named_in_the_error(void **state)
{
    struct dkv_error err;
    struct fs *fs;

    (void)state;
    assert_int_equal(fs_posix_open("no/such/root", &fs, &err), DKV_ENOENT);
    assert_non_null(strstr(err.text, "no/such/root"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_read_is_short_only_at_the_end_of_the_file),
        TEST(more_pieces_than_the_kernel_takes_are_written_in_order),
        TEST(a_short_write_goes_on_and_a_refused_one_is_an_error),
        TEST(a_full_disk_is_told),
        TEST(direct_reads_give_the_same_bytes_at_any_offset),
        TEST(creating_what_exists_is_refused_and_modes_are_private),
        TEST(paths_stay_inside_the_root),
        TEST(names_are_renamed_linked_listed_and_removed),
        TEST(a_listing_stops_where_it_is_told),
        TEST(files_are_allocated_truncated_and_measured),
        TEST(a_root_that_is_missing_is_named_in_the_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
