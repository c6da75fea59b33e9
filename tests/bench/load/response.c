#include "bench/load/response.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

void response_init(struct response *r, size_t body_max)
{
    memset(r, 0, sizeof(*r));
    r->body_max = body_max;
    if (body_max > 0)
        r->body = xmalloc(body_max);
    response_reset(r);
}

void response_fini(struct response *r)
{
    free(r->body);
    r->body = NULL;
}

void response_reset(struct response *r)
{
    r->state = RESPONSE_STATUS_LINE;
    r->status = 0;
    r->keep_alive = true;
    r->chunked = false;
    r->has_length = false;
    r->left = 0;
    r->body_size = 0;
    r->body_len = 0;
    r->line_len = 0;
    r->etag[0] = '\0';
}

static void keep_body(struct response *r, const char *data, size_t size)
{
    size_t room = r->body_max - r->body_len;

    r->body_size += size;
    if (size > room)
        size = room;
    if (size > 0)
        memcpy(r->body + r->body_len, data, size);
    r->body_len += size;
}

static bool parse_number(const char *text, size_t size, int base, uint64_t *number_out)
{
    uint64_t number = 0;
    size_t i;

    for (i = 0; i < size; i++) {
        int digit = -1;

        if (text[i] >= '0' && text[i] <= '9')
            digit = text[i] - '0';
        else if (base == 16 && (text[i] | 32) >= 'a' && (text[i] | 32) <= 'f')
            digit = (text[i] | 32) - 'a' + 10;
        if (digit < 0)
            break;
        if (number > UINT64_MAX >> 5)
            return false;
        number = number * (uint64_t)base + (uint64_t)digit;
    }
    *number_out = number;
    return i > 0 && (i == size || text[i] == ';' || text[i] == ' ');
}

static void parse_status_line(struct response *r, const char *line, size_t size)
{
    uint64_t status;

    if (size < 12 || memcmp(line, "HTTP/1.", 7) != 0 || line[8] != ' ' ||
        !parse_number(line + 9, 3, 10, &status)) {
        r->state = RESPONSE_BROKEN;
        return;
    }
    r->status = (int)status;
    r->keep_alive = line[7] != '0';
    r->state = RESPONSE_HEADERS;
}

static bool is_named(const char *line, size_t size, const char *name, size_t name_size)
{
    return size > name_size && line[name_size] == ':' && strncasecmp(line, name, name_size) == 0;
}

static void parse_header(struct response *r, const char *line, size_t size)
{
    const char *value = memchr(line, ':', size);
    size_t value_size;

    if (value == NULL) {
        r->state = RESPONSE_BROKEN;
        return;
    }
    value++;
    while (value < line + size && (*value == ' ' || *value == '\t'))
        value++;
    value_size = (size_t)(line + size - value);
    if (is_named(line, size, "content-length", 14)) {
        r->has_length = true;
        if (!parse_number(value, value_size, 10, &r->left))
            r->state = RESPONSE_BROKEN;
    } else if (is_named(line, size, "transfer-encoding", 17)) {
        r->chunked = value_size >= 7 && strncasecmp(value, "chunked", 7) == 0;
    } else if (is_named(line, size, "connection", 10)) {
        if (value_size >= 5 && strncasecmp(value, "close", 5) == 0)
            r->keep_alive = false;
        if (value_size >= 10 && strncasecmp(value, "keep-alive", 10) == 0)
            r->keep_alive = true;
    } else if (is_named(line, size, "etag", 4) && value_size < sizeof(r->etag)) {
        memcpy(r->etag, value, value_size);
        r->etag[value_size] = '\0';
    }
}

static void end_of_headers(struct response *r)
{
    if (r->status >= 100 && r->status < 200)
        response_reset(r);
    else if (r->status == 204 || r->status == 304)
        r->state = RESPONSE_DONE;
    else if (r->chunked)
        r->state = RESPONSE_CHUNK_SIZE;
    else if (!r->has_length)
        r->state = RESPONSE_BODY_TO_EOF;
    else
        r->state = r->left == 0 ? RESPONSE_DONE : RESPONSE_BODY;
    if (r->state == RESPONSE_BODY_TO_EOF)
        r->keep_alive = false;
}

static void take_line(struct response *r, const char *line, size_t size)
{
    if (size > 0 && line[size - 1] == '\r')
        size--;
    switch (r->state) {
    case RESPONSE_STATUS_LINE:
        parse_status_line(r, line, size);
        break;
    case RESPONSE_HEADERS:
        if (size == 0)
            end_of_headers(r);
        else
            parse_header(r, line, size);
        break;
    case RESPONSE_CHUNK_SIZE:
        if (!parse_number(line, size, 16, &r->left))
            r->state = RESPONSE_BROKEN;
        else
            r->state = r->left == 0 ? RESPONSE_TRAILERS : RESPONSE_CHUNK;
        break;
    case RESPONSE_CHUNK_END:
        r->state = size == 0 ? RESPONSE_CHUNK_SIZE : RESPONSE_BROKEN;
        break;
    case RESPONSE_TRAILERS:
        if (size == 0)
            r->state = RESPONSE_DONE;
        break;
    case RESPONSE_BODY:
    case RESPONSE_BODY_TO_EOF:
    case RESPONSE_CHUNK:
    case RESPONSE_DONE:
    case RESPONSE_BROKEN:
        break;
    }
}

/* A line that arrives whole is read where it lies; only one that is cut is copied. */
static size_t feed_line(struct response *r, const char *data, size_t size)
{
    const char *end = memchr(data, '\n', size);
    size_t len = end == NULL ? size : (size_t)(end - data);

    if (r->line_len + len > sizeof(r->line)) {
        r->state = RESPONSE_BROKEN;
        return 0;
    }
    if (end != NULL && r->line_len == 0) {
        take_line(r, data, len);
        return len + 1;
    }
    memcpy(r->line + r->line_len, data, len);
    r->line_len += len;
    if (end == NULL)
        return size;
    len = r->line_len;
    r->line_len = 0;
    take_line(r, r->line, len);
    return (size_t)(end - data) + 1;
}

static size_t feed_body(struct response *r, const char *data, size_t size)
{
    if (r->state != RESPONSE_BODY_TO_EOF && size > r->left)
        size = (size_t)r->left;
    keep_body(r, data, size);
    if (r->state == RESPONSE_BODY_TO_EOF)
        return size;
    r->left -= size;
    if (r->left == 0)
        r->state = r->state == RESPONSE_BODY ? RESPONSE_DONE : RESPONSE_CHUNK_END;
    return size;
}

size_t response_feed(struct response *r, const char *data, size_t size)
{
    size_t taken = 0;

    while (taken < size && r->state < RESPONSE_DONE) {
        if (r->state == RESPONSE_BODY || r->state == RESPONSE_CHUNK ||
            r->state == RESPONSE_BODY_TO_EOF)
            taken += feed_body(r, data + taken, size - taken);
        else
            taken += feed_line(r, data + taken, size - taken);
    }
    return taken;
}

void response_eof(struct response *r)
{
    if (r->state == RESPONSE_BODY_TO_EOF)
        r->state = RESPONSE_DONE;
    else if (r->state != RESPONSE_DONE)
        r->state = RESPONSE_BROKEN;
}
