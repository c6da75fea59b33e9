#include "http/parser.h"

#include <string.h>

#include "base/assert.h"

/* Bytes of RFC 9110 tokens: header names and methods. */
static const uint8_t token_bytes[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1, ['&'] = 1, ['\''] = 1, ['*'] = 1, ['+'] = 1,
    ['-'] = 1, ['.'] = 1, ['^'] = 1, ['_'] = 1, ['`'] = 1, ['|'] = 1,  ['~'] = 1, ['0'] = 1,
    ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1,  ['7'] = 1, ['8'] = 1,
    ['9'] = 1, ['A'] = 1, ['B'] = 1, ['C'] = 1, ['D'] = 1, ['E'] = 1,  ['F'] = 1, ['G'] = 1,
    ['H'] = 1, ['I'] = 1, ['J'] = 1, ['K'] = 1, ['L'] = 1, ['M'] = 1,  ['N'] = 1, ['O'] = 1,
    ['P'] = 1, ['Q'] = 1, ['R'] = 1, ['S'] = 1, ['T'] = 1, ['U'] = 1,  ['V'] = 1, ['W'] = 1,
    ['X'] = 1, ['Y'] = 1, ['Z'] = 1, ['a'] = 1, ['b'] = 1, ['c'] = 1,  ['d'] = 1, ['e'] = 1,
    ['f'] = 1, ['g'] = 1, ['h'] = 1, ['i'] = 1, ['j'] = 1, ['k'] = 1,  ['l'] = 1, ['m'] = 1,
    ['n'] = 1, ['o'] = 1, ['p'] = 1, ['q'] = 1, ['r'] = 1, ['s'] = 1,  ['t'] = 1, ['u'] = 1,
    ['v'] = 1, ['w'] = 1, ['x'] = 1, ['y'] = 1, ['z'] = 1,
};

static int refuse(struct http_fault *fault, int status, const char *code, const char *detail)
{
    *fault = (struct http_fault){.status = status, .code = code, .detail = detail};
    return DKV_EINVAL;
}

static int malformed(struct http_head *head, const char *detail)
{
    return refuse(&head->fault, 400, "malformed_request", detail);
}

static struct http_span span(size_t at, size_t end)
{
    return (struct http_span){.at = (uint16_t)at, .len = (uint16_t)(end - at)};
}

bool http_text_is(const void *text, size_t len, const char *lower)
{
    const uint8_t *p = text;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = p[i];

        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (c != (uint8_t)lower[i])
            return false; /* also where lower ends, for no text holds NUL */
    }
    return lower[len] == '\0';
}

/* Eight bytes at a time; a word with a suspect is looked at byte by byte, for a tab is fine. */
bool http_text_is_clean(const void *text, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = UINT64_C(0x8080808080808080);
    const uint8_t *p = text;
    size_t i = 0;

    while (i < len) {
        size_t end = i + 8 <= len ? i + 8 : len;

        if (end == i + 8) {
            uint64_t word, del;

            memcpy(&word, p + i, 8);
            del = word ^ (ones * 0x7f);
            if ((((word - ones * 0x20) & ~word) | ((del - ones) & ~del)) & highs) {
                for (size_t k = i; k < end; k++)
                    if ((p[k] < 0x20 && p[k] != '\t') || p[k] == 0x7f)
                        return false;
            }
        } else {
            for (size_t k = i; k < end; k++)
                if ((p[k] < 0x20 && p[k] != '\t') || p[k] == 0x7f)
                    return false;
        }
        i = end;
    }
    return true;
}

/* ---- Request line ---- */

static int method_of(const uint8_t *p, size_t len)
{
    switch (len) {
    case 3:
        return memcmp(p, "GET", 3) == 0 ? HTTP_GET : memcmp(p, "PUT", 3) == 0 ? HTTP_PUT : -1;
    case 4:
        return memcmp(p, "POST", 4) == 0 ? HTTP_POST : memcmp(p, "HEAD", 4) == 0 ? HTTP_HEAD : -1;
    case 6:
        return memcmp(p, "DELETE", 6) == 0 ? HTTP_DELETE : -1;
    case 7:
        return memcmp(p, "OPTIONS", 7) == 0 ? HTTP_OPTIONS : -1;
    default:
        return -1;
    }
}

/* http://authority/path?query: the path begins behind the authority, which is compared with Host
 * once that is known. */
static int split_absolute(struct http_head *head, const uint8_t *data, size_t *at, size_t end)
{
    size_t scheme = end - *at > 8 && http_text_is(data + *at, 8, "https://") ? 8 : 7;
    size_t i;

    if (end - *at <= scheme || (scheme == 7 && !http_text_is(data + *at, 7, "http://")))
        return malformed(head, "the request target is not a path");
    i = *at + scheme;
    while (i < end && data[i] != '/' && data[i] != '?')
        i++;
    head->authority = span(*at + scheme, i);
    *at = i;
    return head->authority.len == 0 ? malformed(head, "the request target has no host") : DKV_OK;
}

static int split_target(struct http_head *head, const uint8_t *data, size_t at, size_t end)
{
    const uint8_t *question;

    head->target = span(at, end);
    for (size_t i = at; i < end; i++)
        if (data[i] <= 0x20 || data[i] >= 0x7f || data[i] == '#')
            return malformed(head, "the request target holds a byte that must be percent-encoded");
    if (data[at] != '/') {
        if (data[at] == '*' && end - at == 1 && head->method == HTTP_OPTIONS) {
            head->path = span(at, end);
            return DKV_OK;
        }
        if (split_absolute(head, data, &at, end) != DKV_OK)
            return DKV_EINVAL;
    }
    question = at < end ? memchr(data + at, '?', end - at) : NULL;
    head->has_query = question != NULL;
    if (question != NULL) {
        head->path = span(at, (size_t)(question - data));
        head->query = span((size_t)(question - data) + 1, end);
    } else {
        head->path = span(at, end);
    }
    return DKV_OK;
}

static int parse_version(struct http_head *head, const uint8_t *p, size_t len)
{
    if (len != 8 || memcmp(p, "HTTP/", 5) != 0 || p[5] < '0' || p[5] > '9' || p[6] != '.' ||
        p[7] < '0' || p[7] > '9')
        return malformed(head, "the request line does not end with HTTP/1.1");
    if (p[5] != '1' || p[7] > '1')
        return refuse(&head->fault, 505, "version_not_supported", "only HTTP/1.1 is spoken here");
    head->minor = (uint8_t)(p[7] - '0');
    head->close = head->minor == 0;
    return DKV_OK;
}

static int parse_request_line(struct http_head *head, const uint8_t *data, size_t at, size_t end)
{
    const uint8_t *space = memchr(data + at, ' ', end - at);
    size_t target_at, version_at;
    int method;

    if (space == NULL)
        return malformed(head, "the request line is not: method, target, HTTP/1.1");
    method = method_of(data + at, (size_t)(space - data) - at);
    if (method < 0)
        return refuse(&head->fault, 400, "method_unknown",
                      "the method is none of GET, HEAD, PUT, POST, DELETE, OPTIONS");
    head->method = (uint8_t)method;
    target_at = (size_t)(space - data) + 1;
    space = memchr(data + target_at, ' ', end - target_at);
    if (space == NULL || space == data + target_at)
        return malformed(head, "the request line is not: method, target, HTTP/1.1");
    version_at = (size_t)(space - data) + 1;
    if (parse_version(head, data + version_at, end - version_at) != DKV_OK)
        return DKV_EINVAL;
    return split_target(head, data, target_at, version_at - 1);
}

/* ---- Header fields ---- */

static enum http_field field_if(const uint8_t *p, size_t len, const char *lower,
                                enum http_field field)
{
    return http_text_is(p, len, lower) ? field : HTTP_FIELD_OTHER;
}

static enum http_field field_of(const uint8_t *p, size_t len)
{
    switch (len) {
    case 4:
        return field_if(p, len, "host", HTTP_HOST);
    case 6:
        switch (p[0] | 0x20) {
        case 'a':
            return field_if(p, len, "accept", HTTP_ACCEPT);
        case 'e':
            return field_if(p, len, "expect", HTTP_EXPECT);
        default:
            return field_if(p, len, "origin", HTTP_ORIGIN);
        }
    case 7:
        return (p[0] | 0x20) == 'u' ? field_if(p, len, "upgrade", HTTP_UPGRADE)
                                    : field_if(p, len, "trailer", HTTP_TRAILER);
    case 8:
        return field_if(p, len, "if-match", HTTP_IF_MATCH);
    case 10:
        return field_if(p, len, "connection", HTTP_CONNECTION);
    case 12:
        return field_if(p, len, "content-type", HTTP_CONTENT_TYPE);
    case 13:
        return (p[0] | 0x20) == 'a' ? field_if(p, len, "authorization", HTTP_AUTHORIZATION)
                                    : field_if(p, len, "if-none-match", HTTP_IF_NONE_MATCH);
    case 14:
        return field_if(p, len, "content-length", HTTP_CONTENT_LENGTH);
    case 15:
        return field_if(p, len, "idempotency-key", HTTP_IDEMPOTENCY_KEY);
    case 17:
        return field_if(p, len, "transfer-encoding", HTTP_TRANSFER_ENCODING);
    default:
        return HTTP_FIELD_OTHER;
    }
}

static int parse_content_length(struct http_head *head, const uint8_t *p, size_t len)
{
    uint64_t value = 0;

    if (len == 0 || len > 10)
        return malformed(head, "Content-Length is not a number of at most ten digits");
    for (size_t i = 0; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return malformed(head, "Content-Length is not a number");
        value = value * 10 + (uint64_t)(p[i] - '0');
    }
    if (value > HTTP_CONTENT_MAX)
        return malformed(head, "Content-Length is beyond any limit");
    head->content_length = value;
    head->has_length = true;
    return DKV_OK;
}

static int parse_connection(struct http_head *head, const uint8_t *p, size_t len)
{
    size_t at = 0;

    while (at < len) {
        size_t end;

        while (at < len && (p[at] == ' ' || p[at] == '\t' || p[at] == ','))
            at++;
        end = at;
        while (end < len && p[end] != ',' && p[end] != ' ' && p[end] != '\t')
            end++;
        if (http_text_is(p + at, end - at, "close"))
            head->close = true;
        else if (http_text_is(p + at, end - at, "upgrade"))
            return malformed(head, "this server does not upgrade connections");
        else if (http_text_is(p + at, end - at, "keep-alive"))
            head->keep_alive = true;
        at = end;
    }
    return DKV_OK;
}

static bool is_name_byte(uint8_t c)
{
    return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~' || c == '%';
}

/* ":port" or nothing. */
static bool is_port(const uint8_t *p, size_t len)
{
    unsigned port = 0;

    if (len == 0)
        return true;
    if (p[0] != ':' || len > 6)
        return false;
    for (size_t i = 1; i < len; i++) {
        if (p[i] < '0' || p[i] > '9')
            return false;
        port = port * 10 + (unsigned)(p[i] - '0');
    }
    return port <= 65535;
}

/* An address or a name with an optional port; nothing that could be read as something else. */
static int parse_host(struct http_head *head, const uint8_t *p, size_t len)
{
    bool is_literal = len > 0 && p[0] == '[';
    size_t at = is_literal;

    if (len == 0)
        return malformed(head, "Host is empty");
    while (at < len && (is_name_byte(p[at]) || (is_literal && p[at] == ':')))
        at++;
    if (at == (size_t)is_literal || (is_literal && (at == len || p[at++] != ']')) ||
        !is_port(p + at, len - at))
        return malformed(head, "Host is not a name or address with an optional port");
    return DKV_OK;
}

static int check_field(struct http_head *head, enum http_field field, const uint8_t *p, size_t len)
{
    switch (field) {
    case HTTP_HOST:
        return parse_host(head, p, len);
    case HTTP_CONTENT_LENGTH:
        return parse_content_length(head, p, len);
    case HTTP_TRANSFER_ENCODING:
        head->chunked = http_text_is(p, len, "chunked");
        return head->chunked ? DKV_OK
                             : malformed(head, "Transfer-Encoding is not exactly: chunked");
    case HTTP_CONNECTION:
        return parse_connection(head, p, len);
    case HTTP_EXPECT:
        head->expect_continue = http_text_is(p, len, "100-continue");
        return head->expect_continue ? DKV_OK : malformed(head, "Expect is not: 100-continue");
    case HTTP_UPGRADE:
        return malformed(head, "this server does not upgrade connections");
    case HTTP_TRAILER:
        return malformed(head, "trailers are not taken");
    default:
        return DKV_OK;
    }
}

static int parse_field(struct http_head *head, const uint8_t *data, size_t at, size_t end)
{
    size_t colon = at, value_at, value_end = end;
    enum http_field field;

    while (colon < end && token_bytes[data[colon]])
        colon++;
    if (colon == at)
        return malformed(head, data[at] == ' ' || data[at] == '\t'
                                   ? "a header line is folded"
                                   : "a header name is empty or holds a forbidden byte");
    if (colon == end || data[colon] != ':')
        return malformed(head, "a header name is not followed at once by a colon");
    if (head->count == HTTP_COUNT_MAX)
        return refuse(&head->fault, 431, "headers_too_large", "more than 64 header lines");
    value_at = colon + 1;
    while (value_at < value_end && (data[value_at] == ' ' || data[value_at] == '\t'))
        value_at++;
    while (value_end > value_at && (data[value_end - 1] == ' ' || data[value_end - 1] == '\t'))
        value_end--;
    field = field_of(data + at, colon - at);
    head->fields[head->count] = (struct http_head_field){
        .name = span(at, colon), .value = span(value_at, value_end), .field = (uint8_t)field};
    head->count++;
    if (field == HTTP_FIELD_OTHER)
        return DKV_OK;
    if (head->known[field] == 0)
        head->known[field] = head->count;
    else if (field != HTTP_ACCEPT && field != HTTP_CONNECTION)
        return malformed(head, "a header that may be there once is there twice");
    return check_field(head, field, data + value_at, value_end - value_at);
}

/* ---- The head as a whole ---- */

static int check_head(struct http_head *head, const uint8_t *data)
{
    if (head->known[HTTP_HOST] == 0)
        return malformed(head, "there is no Host header");
    if (head->chunked && head->has_length)
        return malformed(head, "both Content-Length and Transfer-Encoding are given");
    if (head->minor == 0 && (head->chunked || head->keep_alive))
        return malformed(head, "HTTP/1.0 with keep-alive or chunks is not spoken here");
    if ((head->method == HTTP_GET || head->method == HTTP_HEAD || head->method == HTTP_OPTIONS) &&
        (head->chunked || head->content_length > 0))
        return malformed(head, "GET, HEAD and OPTIONS take no body");
    if (head->authority.len > 0) {
        struct http_span host = head->fields[head->known[HTTP_HOST] - 1].value;

        if (host.len != head->authority.len)
            return malformed(head, "the request target names another host than Host");
        for (size_t i = 0; i < host.len; i++) {
            uint8_t a = data[host.at + i], b = data[head->authority.at + i];

            if (a != b && ((a ^ b) != 0x20 || (a | 0x20) < 'a' || (a | 0x20) > 'z'))
                return malformed(head, "the request target names another host than Host");
        }
    }
    return DKV_OK;
}

static int parse_line(struct http_head *head, const uint8_t *data, size_t at, size_t end)
{
    /* end is where CR must be.  Other control bytes include a CR or NUL on its own. */
    if (end < at || data[end] != '\r')
        return malformed(head, "a line ends with LF alone");
    if (!http_text_is_clean(data + at, end - at))
        return malformed(head, "the head holds a control byte");
    if (!head->has_request_line) {
        head->has_request_line = true;
        head->fields_at = (uint32_t)end + 2;
        return parse_request_line(head, data, at, end);
    }
    return at == end ? check_head(head, data) : parse_field(head, data, at, end);
}

/* The same limits whether the end of the line is there or not, so that the answer does not depend
 * on how the bytes were cut. */
static int check_size(struct http_head *head, size_t text_len, size_t end)
{
    if (!head->has_request_line)
        return text_len > HTTP_LINE_MAX ? refuse(&head->fault, 414, "target_too_long",
                                                 "the request line is longer than 8 KiB")
                                        : DKV_OK;
    if (text_len > HTTP_LINE_MAX)
        return refuse(&head->fault, 431, "headers_too_large", "a header is longer than 8 KiB");
    if (end - head->fields_at > HTTP_FIELDS_MAX)
        return refuse(&head->fault, 431, "headers_too_large", "the headers exceed 16 KiB");
    return DKV_OK;
}

void http_head_init(struct http_head *head)
{
    memset(head, 0, offsetof(struct http_head, fields));
}

/* One empty line in front of a request is skipped (RFC 9112, 2.2). */
static int check_first_bytes(struct http_head *head, const uint8_t *data, size_t len)
{
    if (head->line_at == 0 && data[0] == '\r') {
        if (len < 2)
            return DKV_OK;
        if (data[1] != '\n')
            return malformed(head, "the request starts with CR");
        head->line_at = head->scanned = 2;
    }
    if (head->line_at < len) {
        uint8_t first = data[head->line_at];

        if (first == 0x16)
            return malformed(head, "this port speaks plain HTTP, not TLS");
        if (first < 'A' || first > 'Z')
            return malformed(head, "the request does not start with a method");
    }
    return DKV_OK;
}

int http_head_parse(struct http_head *head, const void *bytes, size_t len, size_t *used_out)
{
    const uint8_t *data = bytes;

    if (len == 0)
        return DKV_PENDING;
    if (!head->has_request_line && check_first_bytes(head, data, len) != DKV_OK)
        return DKV_EINVAL;
    while (head->scanned < len) {
        size_t window = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
        const uint8_t *newline = NULL;
        size_t at = head->line_at, end;

        if (head->scanned < window)
            newline = memchr(data + head->scanned, '\n', window - head->scanned);
        if (newline == NULL) {
            /* The last byte may be the CR of a line that is just short enough. */
            head->scanned = (uint32_t)window;
            if (check_size(head, window - at - (window > at), window) != DKV_OK)
                return DKV_EINVAL;
            return window < HTTP_HEAD_MAX
                       ? DKV_PENDING
                       : refuse(&head->fault, 431, "headers_too_large", "the head is too large");
        }
        end = (size_t)(newline - data);
        if (end > at && check_size(head, end - 1 - at, end + 1) != DKV_OK)
            return DKV_EINVAL;
        if (end == at)
            return malformed(head, "a line ends with LF alone");
        head->line_at = head->scanned = (uint32_t)end + 1;
        if (parse_line(head, data, at, end - 1) != DKV_OK)
            return DKV_EINVAL;
        if (end - 1 == at && at >= head->fields_at) {
            *used_out = end + 1;
            return DKV_OK;
        }
    }
    return DKV_PENDING;
}
