/* A hash map from bytes to a pointer, for keys that clients choose: SipHash-1-3 under a secret key.
 *
 * Open addressing; keys are copied into one arena, so that a table filled and cleared for every
 * batch stops allocating once it has seen the largest one.  Growing is amortised: one put in a
 * while takes time linear in the size.  One thread at a time.  The caller bounds what it puts in;
 * the map ends the process when memory is out.
 *
 * Pointers to values and borrowed keys hold until the next put, remove or clear. */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "dkv/types.h"

struct map;

struct map *map_new(const uint64_t key[2]); /* random per process, or chosen by a test */
void map_free(struct map *m);               /* NULL is fine; values are the caller's */
size_t map_count(const struct map *m);
void map_clear(struct map *m); /* keeps the memory */

/* Where the key's value is, or NULL. */
void **map_get(const struct map *m, struct dkv_slice key);
/* Where the key's value is; a new key starts with NULL. */
void **map_put(struct map *m, struct dkv_slice key);
/* False if it was not there; value_out may be NULL. */
bool map_remove(struct map *m, struct dkv_slice key, void **value_out);

/* In no order.  Start with *at = 0; false at the end.  The outs may be NULL. */
bool map_next(const struct map *m, size_t *at, struct dkv_slice *key_out, void ***value_out);

#endif
