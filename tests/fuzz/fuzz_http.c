/* Any bytes as one HTTP request: the head and a chunked body.
 *
 * However the bytes are cut, the verdict is the same; what is accepted lies within the bytes; and
 * what is accepted is also accepted by a second reader, written for this test and for nothing but
 * being obviously strict, which splits the head in the same lines. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "http/parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_span(struct http_span span, size_t used)
{
    dkv_assert((size_t)span.at + span.len <= used);
}

static bool same(struct http_span a, struct http_span b)
{
    return a.at == b.at && a.len == b.len;
}

static bool is_name_byte(uint8_t c)
{
    return c != 0 && (strchr("!#$%&'*+-.^_`|~", c) != NULL || (c >= '0' && c <= '9') ||
                      (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
}

static bool equals(const uint8_t *p, size_t len, const char *text)
{
    return len == strlen(text) && strncasecmp((const char *)p, text, len) == 0;
}

/* The second reader: line by line, each by the letter of RFC 9112, counting what frames. */
static void check_reference(const uint8_t *p, size_t used, const struct http_head *head)
{
    size_t lines = 0, hosts = 0, lengths = 0, encodings = 0, at = 0;

    if (p[0] == '\r')
        at = 2;
    while (at < used) {
        size_t end = at, colon;

        while (end < used && p[end] != '\r') {
            dkv_assert(p[end] == '\t' || (p[end] >= 0x20 && p[end] != 0x7f));
            end++;
        }
        dkv_assert(end + 1 < used && p[end + 1] == '\n');
        if (lines > 0 && end > at) {
            for (colon = at; p[colon] != ':'; colon++)
                dkv_assert(colon < end && is_name_byte(p[colon]));
            dkv_assert(colon > at);
            hosts += equals(p + at, colon - at, "host");
            lengths += equals(p + at, colon - at, "content-length");
            encodings += equals(p + at, colon - at, "transfer-encoding");
        } else {
            dkv_assert(lines == 0 || end + 2 == used);
        }
        lines++;
        at = end + 2;
    }
    dkv_assert(lines == (size_t)head->count + 2);
    dkv_assert(hosts == 1 && lengths + encodings <= 1);
    dkv_assert(head->chunked == (encodings == 1) && head->has_length == (lengths == 1));
}

static size_t check_head(const uint8_t *data, size_t size, struct http_head *head)
{
    struct http_head piecewise;
    size_t used = 0, piecewise_used = 0, step = size % 7 + 1;
    int status, again = DKV_PENDING;

    http_head_init(head);
    status = http_head_parse(head, data, size, &used);
    http_head_init(&piecewise);
    for (size_t len = 0; len < size && again == DKV_PENDING;) {
        len = len + step < size ? len + step : size;
        again = http_head_parse(&piecewise, data, len, &piecewise_used);
    }
    dkv_assert(again == status && used == piecewise_used);
    dkv_assert(head->fault.detail == piecewise.fault.detail);
    if (status != DKV_OK)
        return 0;
    dkv_assert(used <= HTTP_HEAD_MAX && head->count <= HTTP_COUNT_MAX);
    check_span(head->target, used);
    check_span(head->path, used);
    check_span(head->query, used);
    for (size_t i = 0; i < head->count; i++) {
        check_span(head->fields[i].name, used);
        check_span(head->fields[i].value, used);
        dkv_assert(same(head->fields[i].name, piecewise.fields[i].name));
        dkv_assert(same(head->fields[i].value, piecewise.fields[i].value));
        dkv_assert(head->fields[i].field == piecewise.fields[i].field);
    }
    check_reference(data, used, head);
    return used;
}

/* Returns the verdict; the body goes to out, which has room for all of the input. */
static int dechunk(const uint8_t *data, size_t size, size_t step, uint8_t *out, size_t *len_out,
                   size_t *used_out)
{
    struct http_chunks chunks;
    int status = DKV_PENDING;
    size_t at = 0;

    http_chunks_init(&chunks);
    *len_out = 0;
    while (at < size && status == DKV_PENDING) {
        size_t part = size - at < step ? size - at : step, used = 0;
        struct dkv_slice piece;

        status = http_chunks_parse(&chunks, data + at, part, &used, &piece);
        if (status == DKV_EINVAL)
            break;
        if (piece.len > 0)
            memcpy(out + *len_out, piece.data, piece.len);
        *len_out += piece.len;
        dkv_assert(used > 0 && used <= part);
        at += used;
    }
    *used_out = at;
    return status;
}

static void check_chunks(const uint8_t *data, size_t size)
{
    uint8_t *one = xmalloc(size + 1), *two = xmalloc(size + 1);
    size_t one_len, two_len, one_used, two_used;
    int status = dechunk(data, size, size, one, &one_len, &one_used);
    int again = dechunk(data, size, 1, two, &two_len, &two_used);

    dkv_assert(status == again && one_len <= size);
    if (status != DKV_EINVAL) {
        dkv_assert(one_len == two_len && one_used == two_used);
        dkv_assert(memcmp(one, two, one_len) == 0);
    }
    free(one);
    free(two);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_head head;
    size_t used = check_head(data, size, &head);

    if (used == 0)
        check_chunks(data, size);
    else if (head.chunked)
        check_chunks(data + used, size - used);
    return 0;
}
