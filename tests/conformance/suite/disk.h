/* Stands between the storage under test and its files: counts what changes a file or a folder, kills
 * the process at the Nth of these calls, or lets all from the Nth on fail.
 *
 * The suite exports pwrite(), fdatasync() and the like, and a symbol of the program goes before that
 * of a library, so this holds for every plugin, and for the libraries it uses, as they are.  The
 * state is in memory that forked processes share.  Only regular files and folders count. */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stdint.h>

/* Before any fork whose calls are to be seen here. */
void disk_init(void);
/* Everything passes, and is counted from 0. */
void disk_count(void);
uint64_t disk_counted(void);
/* The nth call from now on, from 1, kills the process instead of being made. */
void disk_kill_at(uint64_t nth);
/* From the nth call on all fail with this errno. */
void disk_fail_from(uint64_t nth, int error);

/* From now on what is written and not synced yet can be lost; false: no memory for that. */
bool disk_record(void);
/* After the writer was killed: loses what was not synced, all of it or, by the seed, some; nothing
 * is recorded any more. */
void disk_lose(bool all, uint64_t seed);

#endif
