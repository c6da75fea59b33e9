/* How long one fdatasync of 512 bytes takes that were preallocated and written before: the floor
 * under every durable write on that disk. */
#ifndef LOAD_FSYNC_H
#define LOAD_FSYNC_H

#include <stdbool.h>

/* 0 after it has printed, or -1 after it has said on stderr what failed. */
int fsync_measure(const char *dir, double seconds, bool json);

#endif
