/* The request parser: pure, incremental, without allocation.
 *
 * The caller shows the bytes of one request head from its first byte on, each time all of them it
 * has, contiguous; results are offsets from that first byte, so that the caller may copy the head.
 * Feeding byte by byte gives what feeding at once gives.  Everything that RFC 9112 leaves to the
 * recipient's tolerance is refused, for what two parsers read differently is how requests are
 * smuggled. */
#ifndef HTTP_PARSER_H
#define HTTP_PARSER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dkv/types.h"
#include "http/http.h"

#define HTTP_LINE_MAX    8192u  /* request line, and each header line, without CRLF */
#define HTTP_FIELDS_MAX  16384u /* all header lines together, with their CRLF */
#define HTTP_COUNT_MAX   64u    /* header lines */
#define HTTP_HEAD_MAX    (2u + HTTP_LINE_MAX + 2u + HTTP_FIELDS_MAX + 2u)
#define HTTP_CONTENT_MAX (UINT64_C(1) << 31)

struct http_span {
    uint16_t at, len;
};

struct http_head_field {
    struct http_span name, value;
    uint8_t field; /* enum http_field */
};

/* Why a request is refused; texts are constants. */
struct http_fault {
    int status;
    const char *code, *detail;
};

struct http_head {
    struct http_fault fault;
    uint64_t content_length; /* 0 without a body or when chunked */
    struct http_span target, path, query, authority;
    bool has_query, chunked, close, expect_continue;
    uint8_t method;                  /* enum http_method */
    uint8_t minor;                   /* HTTP/1.minor */
    uint8_t known[HTTP_FIELD_COUNT]; /* 1 + position in fields, 0 absent */

    /* How far the parser is. */
    uint8_t count;
    bool has_length, has_request_line, keep_alive;
    uint32_t line_at, scanned, fields_at;

    struct http_head_field fields[HTTP_COUNT_MAX];
};

void http_head_init(struct http_head *head);
/* DKV_OK: the head is complete and *used_out bytes long.  DKV_PENDING: show more.  DKV_EINVAL:
 * head->fault says why; nothing that follows on the connection can be trusted. */
int http_head_parse(struct http_head *head, const void *data, size_t len, size_t *used_out);

/* A chunked body, decoded piece by piece. */
struct http_chunks {
    struct http_fault fault;
    uint64_t left; /* of the chunk's data, known when its size line has been read */
    uint8_t state, digits;
};

void http_chunks_init(struct http_chunks *chunks);
/* Consumes *used_out bytes and gives at most one piece of the body in *piece_out (borrowed from
 * data).  DKV_OK: the body is complete.  DKV_PENDING: call again with what follows, or wait when
 * nothing was used.  DKV_EINVAL: chunks->fault. */
int http_chunks_parse(struct http_chunks *chunks, const void *data, size_t len, size_t *used_out,
                      struct dkv_slice *piece_out);

/* Whether every byte of text may stand in a header's value. */
bool http_text_is_clean(const void *text, size_t len);
/* Whether they are equal but for the case of ASCII letters; lower is in lower case. */
bool http_text_is(const void *text, size_t len, const char *lower);

#endif
