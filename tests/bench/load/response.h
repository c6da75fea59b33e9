/* Reads HTTP/1.1 responses from a byte stream that may be cut anywhere.
 *
 * Feed it what arrives; it stops behind the last byte of a response, so that the next one can
 * follow.  It knows Content-Length, chunked bodies, bodies that end with the connection, and
 * statuses without one.  The body is kept up to body_max bytes and counted beyond.  It trusts the
 * servers it measures no further than not to overrun its memory. */
#ifndef LOAD_RESPONSE_H
#define LOAD_RESPONSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESPONSE_LINE_MAX = 1024, RESPONSE_ETAG_MAX = 64 };

enum response_state {
    RESPONSE_STATUS_LINE,
    RESPONSE_HEADERS,
    RESPONSE_BODY,
    RESPONSE_BODY_TO_EOF,
    RESPONSE_CHUNK_SIZE,
    RESPONSE_CHUNK,
    RESPONSE_CHUNK_END,
    RESPONSE_TRAILERS,
    RESPONSE_DONE,
    RESPONSE_BROKEN
};

struct response {
    enum response_state state;
    int status;
    bool keep_alive, chunked, has_length;
    uint64_t left;      /* of the body or the chunk */
    uint64_t body_size; /* all of it, kept or not */
    char etag[RESPONSE_ETAG_MAX];
    char *body; /* owned; body_len bytes are valid */
    size_t body_len, body_max;
    size_t line_len;
    char line[RESPONSE_LINE_MAX];
};

void response_init(struct response *r, size_t body_max);
void response_fini(struct response *r);
void response_reset(struct response *r); /* before each response; keeps the memory */
/* The number of bytes taken; less than size only in the states DONE and BROKEN. */
size_t response_feed(struct response *r, const char *data, size_t size);
/* The stream has ended: completes a body that ends so, everything else is BROKEN. */
void response_eof(struct response *r);

#endif
