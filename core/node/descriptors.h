/* How many files this process may open, and how many of them clients may use: a log that cannot
 * open its next segment must end the node, so clients never get the last descriptors. */
#ifndef NODE_DESCRIPTORS_H
#define NODE_DESCRIPTORS_H

#include <stdint.h>

#include "dkv/types.h"

/* Raises the soft limit to the hard one.  wanted: client connections in all; members: of the
 * cluster; workers: threads for clients.  Gives how many connections there is room for, at most
 * `wanted`.  DKV_ENOMEM: the limit is too low to run at all, err says what it must be. */
int descriptors_reserve(uint64_t wanted, uint64_t members, uint64_t workers,
                        uint64_t *connections_out, struct dkv_error *err);

#endif
