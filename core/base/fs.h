/* Files, as everything in core sees them: a table of blocking operations on one directory.
 *
 * fs_posix is the real one.  Tests bind the same callers to a directory in memory that loses what
 * was not synced.  Calls block, so they are made at start, or inside an env job on an I/O thread,
 * never on the raft loop.  Paths are relative to the root, without "..".
 *
 * All return DKV_OK or a negative status; EINTR and short transfers are handled inside.  After a
 * failed write or sync the file must not be used again: Linux reports a lost page once
 * (reliability rule C5), so the caller stops the process and never retries. */
#ifndef BASE_FS_H
#define BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dkv/types.h"

struct fs;
struct fs_file; /* one thread at a time */

#define FS_READ   (1u << 0)
#define FS_WRITE  (1u << 1)
#define FS_CREATE (1u << 2) /* fails with DKV_EINVAL if it exists */
#define FS_DIRECT (1u << 3) /* read past the page cache if the file system can; a hint */

struct fs_space {
    uint64_t free_bytes, total_bytes;
};

struct fs_ops {
    /* Gives a file, closed by close(); a close error counts as an I/O error. */
    int (*open)(struct fs *fs, const char *path, unsigned flags, struct fs_file **file_out);
    int (*close)(struct fs_file *file);
    /* Reads up to len bytes; fewer only at the end of the file. */
    int (*read)(struct fs_file *file, void *to, size_t len, uint64_t offset, size_t *len_out);
    int (*write)(struct fs_file *file, const struct iovec *iov, int iov_count, uint64_t offset);
    int (*sync)(struct fs_file *file); /* fdatasync */
    int (*size)(struct fs_file *file, uint64_t *size_out);
    int (*allocate)(struct fs_file *file, uint64_t size); /* reserves blocks; grows the file */
    int (*truncate)(struct fs_file *file, uint64_t size);
    int (*rename)(struct fs *fs, const char *from, const char *to); /* replaces `to` */
    int (*link)(struct fs *fs, const char *from, const char *to);
    int (*remove)(struct fs *fs, const char *path);   /* a file or an empty directory */
    int (*mkdir)(struct fs *fs, const char *path);    /* mode 0700; DKV_OK if it is there */
    int (*sync_dir)(struct fs *fs, const char *path); /* "." is the root */
    /* Calls each() for every name but . and .. in no order; a non-zero return stops and is
     * returned. */
    int (*list)(struct fs *fs, const char *path, int (*each)(void *ctx, const char *name),
                void *ctx);
    int (*space)(struct fs *fs, struct fs_space *space_out);
    void (*free)(struct fs *fs);
};

struct fs {
    const struct fs_ops *ops;
};

/* The base of every implementation's file. */
struct fs_file {
    struct fs *fs;
};

/* The directory must exist.  Gives an fs, freed by ops->free.  Errors name the path. */
int fs_posix_open(const char *root, struct fs **fs_out, struct dkv_error *err);

#endif
