/* Status texts and the error object of calls that run rarely (open, load, configure).
 *
 * A message says what was being done, on what, why it failed and, if we know, what to do.  Each
 * layer puts its own words in front: storage "lmdb": open /var/lib/dkv: No space left on device. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "dkv/types.h"

/* "not found" for DKV_ENOENT and so on; never NULL. */
const char *status_text(int status);

/* The status that stands for an errno of a system call. */
int status_from_errno(int error);

/* Both return the status, so that `return dkv_error_set(err, ...)` reads well; err may be NULL. */
int dkv_error_set(struct dkv_error *err, int status, const char *fmt, ...) DKV_PRINTF(3, 4);
/* Puts "fmt: " in front of the text that is there; returns err's status. */
int dkv_error_wrap(struct dkv_error *err, const char *fmt, ...) DKV_PRINTF(2, 3);

#endif
