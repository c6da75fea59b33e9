/* A growable byte buffer with little-endian appenders.  Zero-initialised is empty; the owner
 * frees it with buf_fini. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdint.h>

#include "dkv/types.h"

struct buf {
    uint8_t *data;
    size_t len, cap;
};

void buf_fini(struct buf *b);
void buf_reset(struct buf *b); /* keeps the memory */
/* Room for len more bytes at the end; they count once b->len is raised.  Borrowed until the next
 * append. */
uint8_t *buf_reserve(struct buf *b, size_t len);
void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_text(struct buf *b, const char *text);
void buf_addf(struct buf *b, const char *fmt, ...) DKV_PRINTF(2, 3);
void buf_add_u8(struct buf *b, uint8_t v);
void buf_add_u16(struct buf *b, uint16_t v);
void buf_add_u32(struct buf *b, uint32_t v);
void buf_add_u64(struct buf *b, uint64_t v);

#endif
