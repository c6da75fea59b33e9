#include "node/datadir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/exit_codes.h"
#include "base/mem.h"
#include "node/fs_kind.h"

#define FORMAT_TEXT "dkv data 1\n"
#ifndef CIFS_SUPER_MAGIC
#define CIFS_SUPER_MAGIC 0xff534d42
#endif
#ifndef FUSE_SUPER_MAGIC
#define FUSE_SUPER_MAGIC 0x65735546
#endif

struct datadir {
    char *path;
    struct fs *fs;
    int lock_fd;
};

static int fail(struct dkv_error *err, int *exit_code_out, int exit_code, int status)
{
    *exit_code_out = exit_code;
    return err->status = status;
}

static int exit_code_of(int status)
{
    return status == DKV_EPERM ? EXIT_CODE_PERMISSION : EXIT_CODE_IO;
}

/* --- the directory itself --- */

static int check_fs(const char *path, bool allow_any_fs, int *exit_code_out, struct dkv_error *err)
{
    struct fs_kind kind;

    if (!fs_kind_of(path, &kind)) {
        (void)dkv_error_set(err, DKV_EIO, "data directory %s: %s", path, strerror(errno));
        return fail(err, exit_code_out, EXIT_CODE_IO, DKV_EIO);
    }
    if (!kind.is_unsafe || allow_any_fs)
        return DKV_OK;
    (void)dkv_error_set(err, DKV_EINVAL,
                        "data directory %s is on %s, which can lose acknowledged writes; choose a "
                        "directory on a local disk, or set node.allow_any_filesystem = yes",
                        path, kind.name);
    return fail(err, exit_code_out, EXIT_CODE_CONFIG, DKV_EINVAL);
}

/* A restart does not make the parent: that is not EXIT_CODE_IO. */
static int exit_code_of_mkdir(int error)
{
    if (error == ENOENT || error == ENOTDIR || error == ENAMETOOLONG || error == ELOOP)
        return EXIT_CODE_CONFIG;
    return error == EACCES || error == EPERM || error == EROFS ? EXIT_CODE_PERMISSION
                                                               : EXIT_CODE_IO;
}

static int make_directory(const char *path, int *exit_code_out, struct dkv_error *err)
{
    struct stat st;

    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        int error = errno;
        int status = status_from_errno(error);

        (void)dkv_error_set(err, status, "create data directory %s: %s%s", path, strerror(error),
                            error == ENOENT
                                ? "; create its parent first"
                                : "; is node.data_dir right, and may this user write there?");
        return fail(err, exit_code_out, exit_code_of_mkdir(error), status);
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        (void)dkv_error_set(err, DKV_EINVAL, "data directory %s is not a directory", path);
        return fail(err, exit_code_out, EXIT_CODE_CONFIG, DKV_EINVAL);
    }
    if (access(path, R_OK | W_OK | X_OK) != 0) {
        (void)dkv_error_set(err, DKV_EPERM,
                            "data directory %s: %s; give it to the user that runs dkvd", path,
                            strerror(errno));
        return fail(err, exit_code_out, EXIT_CODE_PERMISSION, DKV_EPERM);
    }
    if ((st.st_mode & 077) != 0 && chmod(path, 0700) != 0) {
        (void)dkv_error_set(
            err, DKV_EPERM,
            "data directory %s can be read by others, and that cannot be changed: %s", path,
            strerror(errno));
        return fail(err, exit_code_out, EXIT_CODE_PERMISSION, DKV_EPERM);
    }
    return DKV_OK;
}

/* Somebody ran dkvd as another user here, and gave only the directory back. */
static int lock_error(const char *path, int error, struct dkv_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat st;
    bool is_found = fd >= 0 && fstatat(fd, "LOCK", &st, AT_SYMLINK_NOFOLLOW) == 0;

    if (fd >= 0)
        close(fd);
    if (error == EACCES && is_found && st.st_uid != geteuid())
        return dkv_error_set(err, DKV_EPERM,
                             "data directory %s: file LOCK in it belongs to user %u, and this dkvd "
                             "runs as user %u; chown -R it to the user that runs dkvd: chown -R %u "
                             "%s",
                             path, (unsigned)st.st_uid, (unsigned)geteuid(), (unsigned)geteuid(),
                             path);
    return dkv_error_set(err, status_from_errno(error), "data directory %s: open LOCK: %s", path,
                         strerror(error));
}

static int lock_directory(struct datadir *dir, int *exit_code_out, struct dkv_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *path = NULL;

    if (asprintf(&path, "%s/LOCK", dir->path) < 0)
        abort();
    dir->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    free(path);
    if (dir->lock_fd < 0) {
        int status = lock_error(dir->path, errno, err);

        return fail(err, exit_code_out, exit_code_of(status), status);
    }
    /* A lock of the open file, not of the process: it cannot be lost by closing another fd. */
    if (fcntl(dir->lock_fd, F_OFD_SETLK, &lock) == 0)
        return DKV_OK;
    (void)dkv_error_set(err, DKV_EUNAVAIL,
                        "data directory %s is used by another dkvd; stop it, or give this node a "
                        "node.data_dir of its own",
                        dir->path);
    close(dir->lock_fd);
    return fail(err, exit_code_out, EXIT_CODE_UNAVAILABLE, DKV_EUNAVAIL);
}

/* --- small files, replaced as a whole --- */

static int read_text(struct fs *fs, const char *name, char *to, size_t size)
{
    struct fs_file *file;
    size_t len = 0;
    int status = fs->ops->open(fs, name, FS_READ, &file);

    if (status != DKV_OK)
        return status;
    status = fs->ops->read(file, to, size - 1, 0, &len);
    (void)fs->ops->close(file);
    to[len] = '\0';
    return status == DKV_OK && len == size - 1 ? DKV_ETOOBIG : status;
}

static int write_text(struct fs *fs, const char *name, const char *text)
{
    char temporary[64];
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct fs_file *file;
    int status, closed;

    snprintf(temporary, sizeof(temporary), "%s.tmp", name);
    status = fs->ops->remove(fs, temporary);
    if (status != DKV_OK && status != DKV_ENOENT)
        return status;
    status = fs->ops->open(fs, temporary, FS_WRITE | FS_CREATE, &file);
    if (status != DKV_OK)
        return status;
    status = fs->ops->write(file, &iov, 1, 0);
    if (status == DKV_OK)
        status = fs->ops->sync(file);
    closed = fs->ops->close(file);
    if (status == DKV_OK)
        status = closed;
    if (status == DKV_OK)
        status = fs->ops->rename(fs, temporary, name);
    return status == DKV_OK ? fs->ops->sync_dir(fs, ".") : status;
}

/* --- identity --- */

static void format_id(const uint8_t id[16], char to[33])
{
    for (int i = 0; i < 16; i++)
        snprintf(to + i * 2, 3, "%02x", id[i]);
}

static bool parse_id(const char *text, uint8_t id_out[16])
{
    for (int i = 0; i < 16; i++) {
        unsigned byte;

        if (sscanf(text + i * 2, "%2x", &byte) != 1)
            return false;
        id_out[i] = (uint8_t)byte;
    }
    return text[32] == '\0';
}

static int write_identity(struct fs *fs, const struct datadir_identity *identity)
{
    struct buf text = {0};
    char id[33];
    int status;

    format_id(identity->cluster_id, id);
    buf_addf(&text,
             "# Who this data belongs to; dkvd checks it at every start.  Do not edit.\n"
             "node = %s\nincarnation = %016llx\ncluster = %s\ncluster_id = %s\nmembers = %s\n%s",
             identity->node_name, (unsigned long long)identity->incarnation, identity->cluster_name,
             id, identity->members, identity->has_log ? "log = made\n" : "");
    buf_add_u8(&text, 0);
    status = write_text(fs, "NODE", (const char *)text.data);
    buf_fini(&text);
    return status;
}

static bool take_line(const char *line, struct datadir_identity *identity)
{
    char id[64];

    if (line[0] == '#' || line[0] == '\0')
        return true;
    if (sscanf(line, "node = %63s", identity->node_name) == 1 ||
        sscanf(line, "cluster = %63s", identity->cluster_name) == 1)
        return true;
    if (strncmp(line, "incarnation = ", 14) == 0) {
        identity->incarnation = strtoull(line + 14, NULL, 16);
        return true;
    }
    if (sscanf(line, "cluster_id = %63s", id) == 1)
        return parse_id(id, identity->cluster_id);
    if (strcmp(line, "log = made") == 0) {
        identity->has_log = true;
        return true;
    }
    if (strncmp(line, "members = ", 10) == 0) {
        snprintf(identity->members, sizeof(identity->members), "%s", line + 10);
        return true;
    }
    return false;
}

int datadir_read_identity(struct fs *fs, struct datadir_identity *identity_out)
{
    size_t size = DATADIR_MEMBERS_TEXT_MAX + 1024;
    char *text = xmalloc(size), *at = text;
    struct datadir_identity identity = {0};
    int status = read_text(fs, "NODE", text, size);

    while (status == DKV_OK && at != NULL) {
        char *line = strsep(&at, "\n");

        if (!take_line(line, &identity))
            status = DKV_ECORRUPT;
    }
    free(text);
    if (status == DKV_OK && (identity.node_name[0] == '\0' || identity.incarnation == 0))
        status = DKV_ECORRUPT;
    if (status == DKV_OK)
        *identity_out = identity;
    return status;
}

static int check_identity(struct datadir *dir, struct datadir_identity *wanted, int *exit_code_out,
                          struct dkv_error *err)
{
    struct datadir_identity found;
    int status = datadir_read_identity(dir->fs, &found);

    if (status != DKV_OK) {
        (void)dkv_error_set(err, status, "data directory %s: file NODE: %s", dir->path,
                            status_text(status));
        return fail(err, exit_code_out, status == DKV_EIO ? EXIT_CODE_IO : EXIT_CODE_DAMAGE,
                    status);
    }
    if (strcmp(found.node_name, wanted->node_name) != 0 ||
        strcmp(found.cluster_name, wanted->cluster_name) != 0) {
        (void)dkv_error_set(
            err, DKV_EINVAL,
            "data directory %s belongs to node %s of cluster %s, but the configuration "
            "says node %s of cluster %s; correct node.name, cluster.name or "
            "node.data_dir",
            dir->path, found.node_name, found.cluster_name, wanted->node_name,
            wanted->cluster_name);
        return fail(err, exit_code_out, EXIT_CODE_DATA, DKV_EINVAL);
    }
    *wanted = found;
    return DKV_OK;
}

static int is_other_file(void *ctx, const char *name)
{
    (void)ctx;
    return strcmp(name, "LOCK") != 0 && strcmp(name, "lost+found") != 0 &&
           strcmp(name, "NODE") != 0 && strcmp(name, "NODE.tmp") != 0 &&
           strcmp(name, "FORMAT.tmp") != 0;
}

static int identify(struct datadir *dir, struct datadir_identity *identity, int *exit_code_out,
                    struct dkv_error *err)
{
    char format[64];
    int status = read_text(dir->fs, "FORMAT", format, sizeof(format));

    if (status == DKV_OK && strcmp(format, FORMAT_TEXT) == 0)
        return check_identity(dir, identity, exit_code_out, err);
    if (status == DKV_OK) {
        format[strcspn(format, "\n")] = '\0';
        (void)dkv_error_set(
            err, DKV_ENOTSUP,
            "data directory %s has format \"%.40s\", this dkvd reads \"dkv data 1\"; "
            "use the dkvd that wrote it, or a newer one",
            dir->path, format);
        return fail(err, exit_code_out, EXIT_CODE_DATA, DKV_ENOTSUP);
    }
    if (status == DKV_ENOENT) {
        status = dir->fs->ops->list(dir->fs, ".", is_other_file, NULL);
        if (status == 1) {
            (void)dkv_error_set(
                err, DKV_EINVAL,
                "data directory %s is not empty and has no file FORMAT, so it is not "
                "dkv's; choose an empty directory",
                dir->path);
            return fail(err, exit_code_out, EXIT_CODE_DATA, DKV_EINVAL);
        }
        if (status == DKV_OK)
            status = write_identity(dir->fs, identity);
        /* FORMAT comes last: a directory without it was never used. */
        if (status == DKV_OK)
            status = write_text(dir->fs, "FORMAT", FORMAT_TEXT);
    }
    if (status == DKV_OK)
        return DKV_OK;
    (void)dkv_error_set(err, status, "data directory %s: %s", dir->path, status_text(status));
    return fail(err, exit_code_out, exit_code_of(status), status);
}

static bool is_locked(const char *path)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char *name = NULL;
    bool is_taken;
    int fd;

    if (asprintf(&name, "%s/LOCK", path) < 0)
        abort();
    fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    free(name);
    is_taken = fd >= 0 && fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    if (fd >= 0)
        close(fd);
    return is_taken;
}

int datadir_inspect(const char *path, struct fs *fs, struct datadir_identity *identity_out,
                    int *exit_code_out, struct dkv_error *err)
{
    char format[64] = "";
    int status = read_text(fs, "FORMAT", format, sizeof(format));

    if (is_locked(path)) {
        (void)dkv_error_set(err, DKV_EUNAVAIL,
                            "data directory %s is used by a dkvd that runs; stop it first", path);
        return fail(err, exit_code_out, EXIT_CODE_UNAVAILABLE, DKV_EUNAVAIL);
    }
    if (status == DKV_ENOENT || (status == DKV_OK && strcmp(format, FORMAT_TEXT) != 0)) {
        format[strcspn(format, "\n")] = '\0';
        (void)dkv_error_set(err, DKV_ENOTSUP,
                            "data directory %s has %s%.40s%s, this dkvd reads \"dkv data 1\"", path,
                            status == DKV_OK ? "format \"" : "no file FORMAT", format,
                            status == DKV_OK ? "\"" : "");
        return fail(err, exit_code_out, EXIT_CODE_DATA, DKV_ENOTSUP);
    }
    if (status == DKV_OK)
        status = datadir_read_identity(fs, identity_out);
    if (status == DKV_OK)
        return DKV_OK;
    (void)dkv_error_set(err, status, "data directory %s: file %s: %s", path,
                        format[0] == '\0' ? "FORMAT" : "NODE", status_text(status));
    return fail(err, exit_code_out,
                status == DKV_ECORRUPT || status == DKV_ENOENT || status == DKV_ETOOBIG
                    ? EXIT_CODE_DAMAGE
                    : exit_code_of(status),
                status);
}

int datadir_open(const char *path, bool allow_any_fs, struct datadir_identity *identity,
                 struct datadir **dir_out, int *exit_code_out, struct dkv_error *err)
{
    struct datadir *dir;
    int status = make_directory(path, exit_code_out, err);

    if (status == DKV_OK)
        status = check_fs(path, allow_any_fs, exit_code_out, err);
    if (status != DKV_OK)
        return status;
    dir = xcalloc(1, sizeof(*dir));
    dir->path = xstrdup(path);
    status = lock_directory(dir, exit_code_out, err);
    if (status != DKV_OK)
        goto fail_path;
    status = fs_posix_open(path, &dir->fs, err);
    if (status != DKV_OK) {
        *exit_code_out = exit_code_of(status);
        goto fail_lock;
    }
    status = identify(dir, identity, exit_code_out, err);
    if (status != DKV_OK)
        goto fail_fs;
    *dir_out = dir;
    return DKV_OK;

fail_fs:
    dir->fs->ops->free(dir->fs);
fail_lock:
    close(dir->lock_fd);
fail_path:
    free(dir->path);
    free(dir);
    return status;
}

void datadir_close(struct datadir **dir)
{
    struct datadir *d = *dir;

    if (d == NULL)
        return;
    *dir = NULL;
    d->fs->ops->free(d->fs);
    close(d->lock_fd);
    free(d->path);
    free(d);
}

int datadir_note_log(struct datadir *dir, struct datadir_identity *identity)
{
    if (identity->has_log)
        return DKV_OK;
    identity->has_log = true;
    return write_identity(dir->fs, identity);
}

struct fs *datadir_fs(struct datadir *dir)
{
    return dir->fs;
}

const char *datadir_path(const struct datadir *dir)
{
    return dir->path;
}

/* --- peers --- */

int datadir_read_peers(struct fs *fs, struct datadir_peer *peers_out, uint32_t *count_out,
                       struct dkv_error *err)
{
    char text[DATADIR_PEERS_MAX * 40 + 1], *at = text;
    uint32_t count = 0;
    int status = read_text(fs, "PEERS", text, sizeof(text));

    *count_out = 0;
    if (status == DKV_ENOENT)
        return DKV_OK;
    while (status == DKV_OK && at != NULL && *at != '\0') {
        unsigned long long id, incarnation;
        char *line = strsep(&at, "\n");

        if (count == DATADIR_PEERS_MAX || sscanf(line, "%llx %llx", &id, &incarnation) != 2)
            status = DKV_ECORRUPT;
        else
            peers_out[count++] = (struct datadir_peer){id, incarnation};
    }
    if (status != DKV_OK)
        return dkv_error_set(err, status, "file PEERS: %s", status_text(status));
    *count_out = count;
    return DKV_OK;
}

int datadir_write_peers(struct fs *fs, const struct datadir_peer *peers, uint32_t count)
{
    struct buf text = {0};
    int status;

    dkv_assert(count <= DATADIR_PEERS_MAX);
    for (uint32_t i = 0; i < count; i++)
        buf_addf(&text, "%016llx %016llx\n", (unsigned long long)peers[i].id,
                 (unsigned long long)peers[i].incarnation);
    buf_add_u8(&text, 0);
    status = write_text(fs, "PEERS", (const char *)text.data);
    buf_fini(&text);
    return status;
}
