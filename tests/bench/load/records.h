/* Real data: writes every stanza of a file and logs what was acknowledged; later reads all of that
 * back and compares.
 *
 * A write that is refused, or whose outcome is unknown, is tried again at the next server until it
 * is acknowledged: each key is written with one value only, so doing it twice does no harm. */
#ifndef LOAD_RECORDS_H
#define LOAD_RECORDS_H

#include "bench/load/options.h"

/* 0: all acknowledged.  1: some were not.  -1: could not start, said on stderr. */
int records_write(const struct options *options, const volatile int *stop);
/* 0: all there and the same.  1: something is lost or different.  -1 as above. */
int records_verify(const struct options *options, const volatile int *stop);

#endif
