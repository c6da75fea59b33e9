/* Fixed-width little-endian numbers in byte buffers, and a bounds-checked reader.
 *
 * Everything that goes to disk or over the wire goes through here.  The reader's error is sticky:
 * after the first read past the end every read gives 0 and `failed` stays true, so that a decoder
 * checks once at its end. */
#ifndef BASE_CODEC_H
#define BASE_CODEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline void put_u16(void *to, uint16_t v)
{
    memcpy(to, &v, sizeof(v)); /* configure refuses big-endian machines */
}

static inline void put_u32(void *to, uint32_t v)
{
    memcpy(to, &v, sizeof(v));
}

static inline void put_u64(void *to, uint64_t v)
{
    memcpy(to, &v, sizeof(v));
}

static inline uint16_t get_u16(const void *from)
{
    uint16_t v;
    memcpy(&v, from, sizeof(v));
    return v;
}

static inline uint32_t get_u32(const void *from)
{
    uint32_t v;
    memcpy(&v, from, sizeof(v));
    return v;
}

static inline uint64_t get_u64(const void *from)
{
    uint64_t v;
    memcpy(&v, from, sizeof(v));
    return v;
}

struct decoder {
    const uint8_t *at, *end;
    bool failed;
};

/* data may be NULL when len is 0. */
static inline void decoder_init(struct decoder *d, const void *data, size_t len)
{
    d->at = len == 0 ? (const uint8_t *)"" : data;
    d->end = d->at + len;
    d->failed = false;
}

static inline size_t decoder_left(const struct decoder *d)
{
    return (size_t)(d->end - d->at);
}

/* Borrows len bytes of the buffer; NULL and a sticky error if there are fewer. */
static inline const uint8_t *decoder_bytes(struct decoder *d, size_t len)
{
    const uint8_t *bytes = d->at;

    if (d->failed || decoder_left(d) < len) {
        d->failed = true;
        return NULL;
    }
    d->at += len;
    return bytes;
}

static inline uint8_t decoder_u8(struct decoder *d)
{
    const uint8_t *bytes = decoder_bytes(d, 1);
    return bytes == NULL ? 0 : bytes[0];
}

static inline uint16_t decoder_u16(struct decoder *d)
{
    const uint8_t *bytes = decoder_bytes(d, 2);
    return bytes == NULL ? 0 : get_u16(bytes);
}

static inline uint32_t decoder_u32(struct decoder *d)
{
    const uint8_t *bytes = decoder_bytes(d, 4);
    return bytes == NULL ? 0 : get_u32(bytes);
}

static inline uint64_t decoder_u64(struct decoder *d)
{
    const uint8_t *bytes = decoder_bytes(d, 8);
    return bytes == NULL ? 0 : get_u64(bytes);
}

#endif
