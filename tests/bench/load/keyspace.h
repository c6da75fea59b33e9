/* Which key is next: uniform, or by Zipf's law, where the key of rank k is taken in proportion to
 * 1 / k^s.
 *
 * Zipf ranks are drawn by rejection-inversion (W. Hörmann, G. Derflinger, 1996): exact, no table, a
 * few logarithms each.  A rank's key is its place in a fixed permutation, so that the popular ones
 * are not neighbours in the store. */
#ifndef LOAD_KEYSPACE_H
#define LOAD_KEYSPACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/rng.h"

struct keyspace {
    uint64_t count;
    size_t key_size;
    double exponent; /* 0: uniform */
    double h_first, h_last, shortcut;
    struct rng rng;
};

/* 0, or -1 if so many keys don't fit into key_size bytes. */
int keyspace_init(struct keyspace *keys, uint64_t count, size_t key_size, double exponent,
                  uint64_t seed);
uint64_t keyspace_next(struct keyspace *keys); /* 0 .. count - 1; 0 is the most popular */
/* key_size bytes of [0-9a-v], different for each index. */
void keyspace_key(const struct keyspace *keys, uint64_t index, char *key_out);

#endif
