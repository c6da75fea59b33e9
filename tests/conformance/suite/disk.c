#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/rng.h"
#include "dkv/types.h"

enum { JOURNAL_BYTES = 256 << 20, PATH_BYTES = 256 };

/* One write; the bytes that it replaced and its own follow. */
struct change {
    uint64_t device, inode, at, len;
    uint64_t old_size, old_len;
    _Atomic bool is_synced;
    char path[PATH_BYTES];
    unsigned char bytes[];
};

struct journal {
    atomic_flag is_locked;
    _Atomic bool is_on;
    _Atomic uint64_t used;
    unsigned char changes[];
};

struct disk {
    _Atomic uint64_t count;
    _Atomic uint64_t kill_at;   /* 0 = never */
    _Atomic uint64_t fail_from; /* 0 = never */
    _Atomic int error;
};

static struct disk *disk;
static struct journal *journal;

void disk_init(void)
{
    disk = mmap(NULL, sizeof(*disk), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (disk == MAP_FAILED)
        abort();
}

static void arm(uint64_t kill_at, uint64_t fail_from, int error)
{
    disk->kill_at = disk->fail_from = 0;
    disk->count = 0;
    disk->error = error;
    disk->kill_at = kill_at;
    disk->fail_from = fail_from;
}

void disk_count(void)
{
    arm(0, 0, 0);
}

uint64_t disk_counted(void)
{
    return disk->count;
}

void disk_kill_at(uint64_t nth)
{
    arm(nth, 0, 0);
}

void disk_fail_from(uint64_t nth, int error)
{
    arm(0, nth, error);
}

/* False: the call is not to be made, errno says why. */
static bool may_pass(void)
{
    uint64_t nth, from;

    if (disk == NULL)
        return true;
    nth = ++disk->count;
    if (nth == disk->kill_at) {
        (void)kill(getpid(), SIGKILL);
        for (;;)
            (void)pause();
    }
    from = disk->fail_from;
    if (from == 0 || nth < from)
        return true;
    errno = disk->error;
    return false;
}

bool disk_record(void)
{
    if (journal == NULL) {
        void *at = mmap(NULL, JOURNAL_BYTES, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

        if (at == MAP_FAILED)
            return false;
        journal = at;
    }
    journal->used = 0;
    atomic_flag_clear(&journal->is_locked);
    journal->is_on = true;
    return true;
}

static size_t change_size(const struct change *c)
{
    return (sizeof(*c) + c->old_len + c->len + 15) & ~(size_t)15;
}

static struct change *change_at(uint64_t at)
{
    return (struct change *)(void *)(journal->changes + at);
}

static uint64_t gather(unsigned char *to, const struct iovec *parts, int count)
{
    uint64_t len = 0;

    for (int i = 0; i < count; i++) {
        if (to != NULL)
            memcpy(to + len, parts[i].iov_base, parts[i].iov_len);
        len += parts[i].iov_len;
    }
    return len;
}

/* Before the write.  A file that is written through to the disk has nothing to lose. */
static void record(int fd, const struct iovec *parts, int count, off_t at)
{
    char link[64];
    struct change *c;
    struct stat st;
    ssize_t len;

    if (journal == NULL || !journal->is_on || (fcntl(fd, F_GETFL) & O_DSYNC) != 0 ||
        fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return;
    while (atomic_flag_test_and_set(&journal->is_locked))
        (void)sched_yield();
    c = change_at(journal->used);
    *c = (struct change){.device = st.st_dev,
                         .inode = st.st_ino,
                         .at = (uint64_t)at,
                         .len = gather(NULL, parts, count),
                         .old_size = (uint64_t)st.st_size};
    if (journal->used + sizeof(*c) + 2 * c->len + sizeof(*journal) + 4096 > JOURNAL_BYTES)
        abort();
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    len = readlink(link, c->path, PATH_BYTES - 1);
    c->path[len < 0 ? 0 : len] = '\0';
    len = pread(fd, c->bytes, c->len, at);
    c->old_len = len < 0 ? 0 : (uint64_t)len;
    (void)gather(c->bytes + c->old_len, parts, count);
    journal->used += change_size(c);
    atomic_flag_clear(&journal->is_locked);
}

/* Changes of this file before `end` have arrived. */
static void synced(int fd, uint64_t end)
{
    struct stat st;

    if (journal == NULL || !journal->is_on || fstat(fd, &st) != 0)
        return;
    for (uint64_t at = 0; at < end; at += change_size(change_at(at))) {
        struct change *c = change_at(at);

        if (c->device == st.st_dev && c->inode == st.st_ino)
            c->is_synced = true;
    }
}

static uint64_t journal_end(void)
{
    return journal == NULL ? 0 : journal->used;
}

static void put_back(const struct change *c, bool is_old)
{
    int fd = open(c->path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    if (is_old) {
        (void)syscall(SYS_pwrite64, fd, c->bytes, c->old_len, c->at);
        (void)syscall(SYS_ftruncate, fd, c->old_size);
    } else {
        (void)syscall(SYS_pwrite64, fd, c->bytes + c->old_len, c->len, c->at);
    }
    (void)close(fd);
}

/* Backwards all that is not on the disk is undone, then forwards some of it is done again. */
void disk_lose(bool all, uint64_t seed)
{
    uint64_t count = 0, end = journal_end();
    uint64_t *lost = xmalloc((end / sizeof(struct change) + 1) * sizeof(*lost));
    struct rng rng;

    rng_init(&rng, seed);
    journal->is_on = false;
    for (uint64_t at = 0; at < end; at += change_size(change_at(at)))
        if (!change_at(at)->is_synced)
            lost[count++] = at;
    for (uint64_t i = count; i-- > 0;)
        put_back(change_at(lost[i]), true);
    for (uint64_t i = 0; i < count && !all; i++)
        if (rng_below(&rng, 2) == 0)
            put_back(change_at(lost[i]), false);
    free(lost);
}

static bool is_of_disk(int fd)
{
    struct stat st;

    return disk != NULL && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

#define PASS(fd, ...) (is_of_disk(fd) && !may_pass() ? -1 : syscall(__VA_ARGS__))

/* Not declared in a header here: the attributes there would have to be repeated. */
#define EXPORTED(type, name, ...)                                                                  \
    DKV_EXPORT type name(__VA_ARGS__);                                                             \
    DKV_EXPORT type name(__VA_ARGS__)

EXPORTED(ssize_t, write, int fd, const void *bytes, size_t len)
{
    if (journal != NULL)
        record(fd, &(struct iovec){(void *)(uintptr_t)bytes, len}, 1, lseek(fd, 0, SEEK_CUR));
    return PASS(fd, SYS_write, fd, bytes, len);
}

EXPORTED(ssize_t, writev, int fd, const struct iovec *parts, int count)
{
    if (journal != NULL)
        record(fd, parts, count, lseek(fd, 0, SEEK_CUR));
    return PASS(fd, SYS_writev, fd, parts, count);
}

EXPORTED(ssize_t, pwrite, int fd, const void *bytes, size_t len, off_t at)
{
    record(fd, &(struct iovec){(void *)(uintptr_t)bytes, len}, 1, at);
    return PASS(fd, SYS_pwrite64, fd, bytes, len, at);
}

EXPORTED(ssize_t, pwrite64, int fd, const void *bytes, size_t len, off64_t at)
{
    record(fd, &(struct iovec){(void *)(uintptr_t)bytes, len}, 1, at);
    return PASS(fd, SYS_pwrite64, fd, bytes, len, at);
}

EXPORTED(ssize_t, pwritev, int fd, const struct iovec *parts, int count, off_t at)
{
    record(fd, parts, count, at);
    return PASS(fd, SYS_pwritev, fd, parts, count, at, (off_t)0);
}

EXPORTED(ssize_t, pwritev64, int fd, const struct iovec *parts, int count, off64_t at)
{
    record(fd, parts, count, at);
    return PASS(fd, SYS_pwritev, fd, parts, count, at, (off64_t)0);
}

EXPORTED(int, fsync, int fd)
{
    uint64_t end = journal_end();
    int result = (int)PASS(fd, SYS_fsync, fd);

    if (result == 0)
        synced(fd, end);
    return result;
}

EXPORTED(int, fdatasync, int fd)
{
    uint64_t end = journal_end();
    int result = (int)PASS(fd, SYS_fdatasync, fd);

    if (result == 0)
        synced(fd, end);
    return result;
}

EXPORTED(int, ftruncate, int fd, off_t len)
{
    return (int)PASS(fd, SYS_ftruncate, fd, len);
}

EXPORTED(int, ftruncate64, int fd, off64_t len)
{
    return (int)PASS(fd, SYS_ftruncate, fd, len);
}

EXPORTED(int, msync, void *at, size_t len, int flags)
{
    return may_pass() ? (int)syscall(SYS_msync, at, len, flags) : -1;
}

EXPORTED(int, rename, const char *from, const char *to)
{
    return may_pass() ? (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0) : -1;
}
