/* A directory in memory that loses what was not synced.
 *
 * Every change is an op that pends until sync() of its file or sync_dir() of its folder; a crash
 * decides which pending ops reached the disk, for writes by the sector of 512 bytes.  New names
 * pend too, also those of synced files.  Ops that change something are counted, so that a test can
 * fail or cut the power at each of them in turn.  One thread. */
#ifndef TESTS_FS_MEM_H
#define TESTS_FS_MEM_H

#include "base/fs.h"

enum fs_mem_crash_mode {
    FS_MEM_LOSE_ALL,
    FS_MEM_KEEP_ALL,    /* also what a killed process leaves */
    FS_MEM_KEEP_PREFIX, /* of the ops; the next one is torn */
    FS_MEM_KEEP_SOME,   /* any sectors; names in order */
    FS_MEM_TEAR,        /* as before, and lost sectors may read as zeros or garbage */
    FS_MEM_CRASH_MODES
};

/* Gives an empty one, freed by ops->free. */
struct fs *fs_mem_new(void);
/* Gives what the disk would hold after a power cut now; the argument stays as it is.  Close all
 * files of fs before freeing it. */
struct fs *fs_mem_crash(const struct fs *fs, enum fs_mem_crash_mode mode, uint64_t seed);

uint64_t fs_mem_ops(const struct fs *fs); /* changing ops so far */
/* Op number nth (from 1, counted from now) fails with this status and changes nothing; 0 = none. */
void fs_mem_fail_at(struct fs *fs, uint64_t nth, int status);
/* Op number nth and all later ones, of any kind, fail with DKV_EIO and change nothing. */
void fs_mem_power_off_at(struct fs *fs, uint64_t nth);
/* Reads of the file that touch these bytes give DKV_EIO from now on. */
void fs_mem_make_unreadable(struct fs *fs, const char *path, uint64_t offset, uint64_t len);
/* Growing files beyond this many bytes in all gives DKV_ENOSPC. */
void fs_mem_set_capacity(struct fs *fs, uint64_t bytes);
/* The bytes of a file, borrowed until it grows or fs is freed; NULL if there is no such file.
 * What a test changes there is read at once, and taken back by fs_mem_crash. */
uint8_t *fs_mem_bytes(struct fs *fs, const char *path, size_t *len_out);

#endif
