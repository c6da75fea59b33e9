#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/list.h"
#include "base/mem.h"

/* Covers every sector size in use, so one value serves all file systems. */
#define DIRECT_ALIGN 4096u
#define DIRECT_CHUNK ((size_t)1 << 20)

struct posix_fs {
    struct fs base;
    int root;
};

struct posix_file {
    struct fs_file base;
    int fd;
    bool is_direct;
    uint8_t *bounce; /* DIRECT_CHUNK bytes, made at the first direct read */
};

static int root_of(struct fs *fs)
{
    return container_of(fs, struct posix_fs, base)->root;
}

static struct posix_file *posix_file(struct fs_file *file)
{
    return container_of(file, struct posix_file, base);
}

static bool path_is_inside(const char *path)
{
    if (path[0] == '/' || path[0] == '\0')
        return false;
    for (const char *part = path; part != NULL;) {
        size_t len = strcspn(part, "/");

        if (len == 2 && part[0] == '.' && part[1] == '.')
            return false;
        part = part[len] == '\0' ? NULL : part + len + 1;
    }
    return true;
}

static bool range_fits(uint64_t offset, size_t len)
{
    uint64_t end;

    return !__builtin_add_overflow(offset, len, &end) && end <= INT64_MAX;
}

static int open_retry(int root, const char *path, int flags)
{
    int fd;

    do
        fd = openat(root, path, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static int posix_flags(unsigned flags)
{
    int how = O_RDONLY;

    if ((flags & FS_WRITE) != 0)
        how = (flags & FS_READ) != 0 ? O_RDWR : O_WRONLY;
    if ((flags & FS_CREATE) != 0)
        how |= O_CREAT | O_EXCL;
    return how;
}

static int posix_open(struct fs *fs, const char *path, unsigned flags, struct fs_file **file_out)
{
    /* Direct writes would need aligned buffers from every caller. */
    bool is_direct = (flags & FS_DIRECT) != 0 && (flags & FS_WRITE) == 0;
    int how = posix_flags(flags);
    struct posix_file *file;
    int fd;

    dkv_assert((flags & (FS_READ | FS_WRITE)) != 0);
    dkv_assert((flags & FS_CREATE) == 0 || (flags & FS_WRITE) != 0);
    if (!path_is_inside(path))
        return DKV_EINVAL;
    fd = open_retry(root_of(fs), path, how | (is_direct ? O_DIRECT : 0));
    if (fd < 0 && errno == EINVAL && is_direct) {
        is_direct = false;
        fd = open_retry(root_of(fs), path, how);
    }
    if (fd < 0)
        return status_from_errno(errno);
    if ((flags & FS_DIRECT) != 0)
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    file = xcalloc(1, sizeof(*file));
    file->base.fs = fs;
    file->fd = fd;
    file->is_direct = is_direct;
    *file_out = &file->base;
    return DKV_OK;
}

static int posix_close(struct fs_file *base)
{
    struct posix_file *file = posix_file(base);
    /* On Linux the descriptor is gone even after EINTR, and nothing was lost. */
    int status = close(file->fd) == 0 || errno == EINTR ? DKV_OK : status_from_errno(errno);

    free(file->bounce);
    free(file);
    return status;
}

static int read_buffered(struct posix_file *file, uint8_t *to, size_t len, uint64_t offset,
                         size_t *len_out)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(file->fd, to + done, len - done, (off_t)(offset + done));

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return status_from_errno(errno);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    *len_out = done;
    return DKV_OK;
}

static void stop_direct(struct posix_file *file)
{
    int flags = fcntl(file->fd, F_GETFL);

    file->is_direct = false;
    if (flags >= 0)
        (void)fcntl(file->fd, F_SETFL, flags & ~O_DIRECT);
}

/* Reads the aligned blocks around what is wanted and copies the middle. */
static int read_direct(struct posix_file *file, uint8_t *to, size_t len, uint64_t offset,
                       size_t *len_out)
{
    size_t done = 0;

    while (done < len) {
        uint64_t start = (offset + done) & ~(uint64_t)(DIRECT_ALIGN - 1);
        size_t skip = (size_t)(offset + done - start);
        size_t want = len - done < DIRECT_CHUNK - skip ? skip + len - done : DIRECT_CHUNK;
        ssize_t n;

        want = (want + DIRECT_ALIGN - 1) & ~(size_t)(DIRECT_ALIGN - 1);
        n = pread(file->fd, file->bounce, want, (off_t)start);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL) {
            size_t rest = 0;
            int status;

            stop_direct(file);
            status = read_buffered(file, to + done, len - done, offset + done, &rest);
            if (status == DKV_OK)
                *len_out = done + rest;
            return status;
        }
        if (n < 0)
            return status_from_errno(errno);
        if ((size_t)n <= skip)
            break;
        n -= (ssize_t)skip;
        if ((size_t)n > len - done)
            n = (ssize_t)(len - done);
        memcpy(to + done, file->bounce + skip, (size_t)n);
        done += (size_t)n;
    }
    *len_out = done;
    return DKV_OK;
}

static int posix_read(struct fs_file *base, void *to, size_t len, uint64_t offset, size_t *len_out)
{
    struct posix_file *file = posix_file(base);
    void *bounce;

    if (!range_fits(offset, len))
        return DKV_EINVAL;
    if (!file->is_direct)
        return read_buffered(file, to, len, offset, len_out);
    if (file->bounce == NULL) {
        if (posix_memalign(&bounce, DIRECT_ALIGN, DIRECT_CHUNK) != 0)
            return DKV_ENOMEM;
        file->bounce = bounce;
    }
    return read_direct(file, to, len, offset, len_out);
}

/* The first iovec may be partly written already: its rest goes alone, so that the caller's array
 * need not be copied. */
static ssize_t write_some(int fd, const struct iovec *iov, int iov_count, size_t skip,
                          uint64_t offset)
{
    ssize_t n;

    do {
        if (skip > 0)
            n = pwrite(fd, (const char *)iov->iov_base + skip, iov->iov_len - skip, (off_t)offset);
        else
            n = pwritev(fd, iov, iov_count < IOV_MAX ? iov_count : IOV_MAX, (off_t)offset);
    } while (n < 0 && errno == EINTR);
    return n;
}

static int posix_write(struct fs_file *base, const struct iovec *iov, int iov_count,
                       uint64_t offset)
{
    int fd = posix_file(base)->fd;
    size_t skip = 0;
    int i = 0;

    while (true) {
        ssize_t n;

        while (i < iov_count && skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            i++;
        }
        if (i == iov_count)
            return DKV_OK;
        if (!range_fits(offset, iov[i].iov_len - skip))
            return DKV_EINVAL;
        n = write_some(fd, iov + i, iov_count - i, skip, offset);
        if (n < 0)
            return status_from_errno(errno);
        if (n == 0)
            return DKV_EIO;
        offset += (uint64_t)n;
        skip += (size_t)n;
    }
}

static int posix_sync(struct fs_file *base)
{
    int rc;

    do
        rc = fdatasync(posix_file(base)->fd);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? DKV_OK : status_from_errno(errno);
}

static int posix_size(struct fs_file *base, uint64_t *size_out)
{
    struct stat st;

    if (fstat(posix_file(base)->fd, &st) != 0)
        return status_from_errno(errno);
    *size_out = (uint64_t)st.st_size;
    return DKV_OK;
}

static int posix_allocate(struct fs_file *base, uint64_t size)
{
    int error;

    if (size == 0)
        return DKV_OK;
    if (size > INT64_MAX)
        return DKV_EINVAL;
    do
        error = posix_fallocate(posix_file(base)->fd, 0, (off_t)size);
    while (error == EINTR);
    return error == 0 ? DKV_OK : status_from_errno(error);
}

static int posix_truncate(struct fs_file *base, uint64_t size)
{
    int rc;

    if (size > INT64_MAX)
        return DKV_EINVAL;
    do
        rc = ftruncate(posix_file(base)->fd, (off_t)size);
    while (rc != 0 && errno == EINTR);
    return rc == 0 ? DKV_OK : status_from_errno(errno);
}

static int posix_rename(struct fs *fs, const char *from, const char *to)
{
    int root = root_of(fs);

    if (!path_is_inside(from) || !path_is_inside(to))
        return DKV_EINVAL;
    return renameat(root, from, root, to) == 0 ? DKV_OK : status_from_errno(errno);
}

static int posix_link(struct fs *fs, const char *from, const char *to)
{
    int root = root_of(fs);

    if (!path_is_inside(from) || !path_is_inside(to))
        return DKV_EINVAL;
    return linkat(root, from, root, to, 0) == 0 ? DKV_OK : status_from_errno(errno);
}

static int posix_remove(struct fs *fs, const char *path)
{
    int root = root_of(fs);

    if (!path_is_inside(path))
        return DKV_EINVAL;
    if (unlinkat(root, path, 0) == 0)
        return DKV_OK;
    if (errno == EISDIR && unlinkat(root, path, AT_REMOVEDIR) == 0)
        return DKV_OK;
    return status_from_errno(errno);
}

static int posix_mkdir(struct fs *fs, const char *path)
{
    struct stat st;
    int root = root_of(fs);

    if (!path_is_inside(path))
        return DKV_EINVAL;
    if (mkdirat(root, path, 0700) == 0)
        return DKV_OK;
    if (errno != EEXIST)
        return status_from_errno(errno);
    if (fstatat(root, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return status_from_errno(errno);
    return S_ISDIR(st.st_mode) ? DKV_OK : DKV_EINVAL;
}

static int posix_sync_dir(struct fs *fs, const char *path)
{
    int fd, rc, error;

    if (!path_is_inside(path))
        return DKV_EINVAL;
    fd = open_retry(root_of(fs), path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return status_from_errno(errno);
    do
        rc = fsync(fd);
    while (rc != 0 && errno == EINTR);
    error = errno;
    close(fd);
    return rc == 0 ? DKV_OK : status_from_errno(error);
}

static int list_names(DIR *dir, int (*each)(void *ctx, const char *name), void *ctx)
{
    while (true) {
        struct dirent *entry;
        int stop;

        errno = 0;
        entry = readdir(dir);
        if (entry == NULL)
            return errno == 0 ? DKV_OK : status_from_errno(errno);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        stop = each(ctx, entry->d_name);
        if (stop != 0)
            return stop;
    }
}

static int posix_list(struct fs *fs, const char *path, int (*each)(void *ctx, const char *name),
                      void *ctx)
{
    DIR *dir;
    int fd, status;

    if (!path_is_inside(path))
        return DKV_EINVAL;
    fd = open_retry(root_of(fs), path, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return status_from_errno(errno);
    dir = fdopendir(fd);
    if (dir == NULL) {
        status = status_from_errno(errno);
        close(fd);
        return status;
    }
    status = list_names(dir, each, ctx);
    closedir(dir);
    return status;
}

static int posix_space(struct fs *fs, struct fs_space *space_out)
{
    struct statvfs sv;
    int rc;

    do
        rc = fstatvfs(root_of(fs), &sv);
    while (rc != 0 && errno == EINTR);
    if (rc != 0)
        return status_from_errno(errno);
    space_out->free_bytes = (uint64_t)sv.f_bavail * sv.f_frsize;
    space_out->total_bytes = (uint64_t)sv.f_blocks * sv.f_frsize;
    return DKV_OK;
}

static void posix_free(struct fs *fs)
{
    close(root_of(fs));
    free(container_of(fs, struct posix_fs, base));
}

static const struct fs_ops posix_ops = {
    .open = posix_open,
    .close = posix_close,
    .read = posix_read,
    .write = posix_write,
    .sync = posix_sync,
    .size = posix_size,
    .allocate = posix_allocate,
    .truncate = posix_truncate,
    .rename = posix_rename,
    .link = posix_link,
    .remove = posix_remove,
    .mkdir = posix_mkdir,
    .sync_dir = posix_sync_dir,
    .list = posix_list,
    .space = posix_space,
    .free = posix_free,
};

int fs_posix_open(const char *root, struct fs **fs_out, struct dkv_error *err)
{
    struct posix_fs *fs;
    int fd;

    do
        fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return dkv_error_set(err, status_from_errno(errno), "open directory %s: %s", root,
                             strerror(errno));
    fs = xcalloc(1, sizeof(*fs));
    fs->base.ops = &posix_ops;
    fs->root = fd;
    *fs_out = &fs->base;
    return DKV_OK;
}
