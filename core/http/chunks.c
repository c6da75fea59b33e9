#include "http/parser.h"

#include <string.h>

#include "base/assert.h"

enum chunks_state {
    CHUNK_SIZE,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_END_CR,
    CHUNK_END_LF,
    CHUNK_DONE,
};

static int refuse(struct http_chunks *chunks, const char *detail)
{
    chunks->fault =
        (struct http_fault){.status = 400, .code = "malformed_request", .detail = detail};
    return DKV_EINVAL;
}

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void http_chunks_init(struct http_chunks *chunks)
{
    *chunks = (struct http_chunks){.state = CHUNK_SIZE};
}

static int take_size_byte(struct http_chunks *chunks, uint8_t c)
{
    int digit = hex_value(c);

    if (digit >= 0) {
        if (chunks->digits == 8)
            return refuse(chunks, "a chunk's size has more than eight digits");
        chunks->digits++;
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        return DKV_OK;
    }
    if (chunks->digits == 0 || c != '\r')
        return refuse(chunks, "a chunk's size is not 1 to 8 hex digits and nothing else");
    chunks->digits = 0;
    chunks->state = CHUNK_SIZE_LF;
    return DKV_OK;
}

/* One byte of what stands around the data. */
static int take_frame_byte(struct http_chunks *chunks, uint8_t c)
{
    switch (chunks->state) {
    case CHUNK_SIZE:
        return take_size_byte(chunks, c);
    case CHUNK_SIZE_LF:
        if (c != '\n')
            return refuse(chunks, "a chunk's size is not followed by CRLF");
        chunks->state = chunks->left == 0 ? CHUNK_END_CR : CHUNK_DATA;
        return DKV_OK;
    case CHUNK_DATA_CR:
        if (c != '\r')
            return refuse(chunks, "a chunk's data is not followed by CRLF");
        chunks->state = CHUNK_DATA_LF;
        return DKV_OK;
    case CHUNK_DATA_LF:
        if (c != '\n')
            return refuse(chunks, "a chunk's data is not followed by CRLF");
        chunks->state = CHUNK_SIZE;
        return DKV_OK;
    case CHUNK_END_CR:
        if (c != '\r')
            return refuse(chunks, "trailers are not taken");
        chunks->state = CHUNK_END_LF;
        return DKV_OK;
    default:
        dkv_assert(chunks->state == CHUNK_END_LF);
        if (c != '\n')
            return refuse(chunks, "the last chunk is not followed by CRLF");
        chunks->state = CHUNK_DONE;
        return DKV_OK;
    }
}

int http_chunks_parse(struct http_chunks *chunks, const void *bytes, size_t len, size_t *used_out,
                      struct dkv_slice *piece_out)
{
    const uint8_t *data = bytes;
    size_t at = 0;

    *piece_out = (struct dkv_slice){0};
    while (at < len && chunks->state != CHUNK_DATA && chunks->state != CHUNK_DONE)
        if (take_frame_byte(chunks, data[at++]) != DKV_OK)
            return DKV_EINVAL;
    if (chunks->state == CHUNK_DATA && at < len) {
        size_t take = len - at < chunks->left ? len - at : (size_t)chunks->left;

        *piece_out = (struct dkv_slice){.data = data + at, .len = take};
        chunks->left -= take;
        at += take;
        if (chunks->left == 0)
            chunks->state = CHUNK_DATA_CR;
    }
    *used_out = at;
    return chunks->state == CHUNK_DONE ? DKV_OK : DKV_PENDING;
}
