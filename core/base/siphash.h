/* SipHash-1-3 with a 128-bit key: for every table whose keys a client chooses.  XXH3, seeded or
 * not, is for checksums only (colliding inputs for it are published). */
#ifndef BASE_SIPHASH_H
#define BASE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t siphash13(const void *data, size_t len, const uint64_t key[2]);

#endif
