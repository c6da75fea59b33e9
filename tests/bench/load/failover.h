/* How long a cluster takes no writes after its leader was killed.
 *
 * Kills the process with SIGKILL, then tries to write at each of the other servers, every 20 ms on
 * a connection of its own, until one acknowledges. */
#ifndef LOAD_FAILOVER_H
#define LOAD_FAILOVER_H

#include "bench/load/options.h"

/* 0 after it has printed the time, or -1 after it has said on stderr what went wrong. */
int failover_measure(const struct options *options, const volatile int *stop);

#endif
