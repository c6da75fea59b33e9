#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/codec.h"
#include "base/mem.h"

void buf_fini(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

void buf_reset(struct buf *b)
{
    b->len = 0;
}

uint8_t *buf_reserve(struct buf *b, size_t len)
{
    size_t need;

    dkv_assert(!__builtin_add_overflow(b->len, len, &need));
    if (need > b->cap || b->data == NULL) {
        size_t cap = b->cap == 0 ? 64 : b->cap;

        while (cap < need)
            cap = cap > SIZE_MAX / 2 ? need : cap * 2;
        b->data = xrealloc(b->data, cap);
        b->cap = cap;
    }
    return b->data + b->len;
}

void buf_add(struct buf *b, const void *data, size_t len)
{
    if (len == 0)
        return;
    memcpy(buf_reserve(b, len), data, len);
    b->len += len;
}

void buf_add_text(struct buf *b, const char *text)
{
    buf_add(b, text, strlen(text));
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;
    int len;

    va_start(ap, fmt);
    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    dkv_assert(len >= 0);
    vsnprintf((char *)buf_reserve(b, (size_t)len + 1), (size_t)len + 1, fmt, again);
    va_end(again);
    b->len += (size_t)len;
}

void buf_add_u8(struct buf *b, uint8_t v)
{
    buf_add(b, &v, 1);
}

void buf_add_u16(struct buf *b, uint16_t v)
{
    put_u16(buf_reserve(b, 2), v);
    b->len += 2;
}

void buf_add_u32(struct buf *b, uint32_t v)
{
    put_u32(buf_reserve(b, 4), v);
    b->len += 4;
}

void buf_add_u64(struct buf *b, uint64_t v)
{
    put_u64(buf_reserve(b, 8), v);
    b->len += 8;
}
