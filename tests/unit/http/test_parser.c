#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "http/parser.h"

#define HOST "Host: a\r\n"

static struct http_head head;
static size_t used;

static int parse_len(const char *text, size_t len)
{
    http_head_init(&head);
    used = 0;
    return http_head_parse(&head, text, len, &used);
}

/* All at once and byte by byte must agree; the bytes live in a block of their very size. */
static int parse(const char *text)
{
    size_t len = strlen(text), used_bytewise = 0;
    struct http_head bytewise;
    char *exact = xmalloc(len + 1);
    int status, again = DKV_PENDING;

    memcpy(exact, text, len);
    http_head_init(&bytewise);
    for (size_t i = 1; i <= len && again == DKV_PENDING; i++) {
        char *part = xmalloc(i);

        memcpy(part, text, i);
        again = http_head_parse(&bytewise, part, i, &used_bytewise);
        free(part);
    }
    status = parse_len(exact, len);
    free(exact);
    assert_int_equal(again, status);
    assert_int_equal(used_bytewise, used);
    assert_int_equal(bytewise.fault.status, head.fault.status);
    assert_int_equal(bytewise.count, head.count);
    if (head.fault.status != 0)
        assert_string_equal(bytewise.fault.detail, head.fault.detail);
    return status;
}

static void assert_accepted(const char *text)
{
    if (parse(text) != DKV_OK)
        fail_msg("refused (%s): %s", head.fault.detail, text);
}

static void assert_refused(const char *text, int status)
{
    if (parse(text) != DKV_EINVAL)
        fail_msg("not refused: %s", text);
    assert_int_equal(head.fault.status, status);
}

static void assert_span(const char *text, struct http_span span, const char *expected)
{
    assert_int_equal(span.len, strlen(expected));
    assert_memory_equal(text + span.at, expected, span.len);
}

static void test_a_plain_request_is_taken_apart(void **state)
{
    const char *text =
        "PUT /kv/a%2Fb?x=1&y HTTP/1.1\r\nhOsT: node:8500\r\nContent-Length:  5 \t\r\n"
        "If-Match: \"7\"\r\nX-Other:\r\n\r\nhello";

    (void)state;
    assert_accepted(text);
    assert_int_equal(head.method, HTTP_PUT);
    assert_int_equal(used, strlen(text) - 5);
    assert_int_equal(head.content_length, 5);
    assert_int_equal(head.count, 4);
    assert_false(head.close);
    assert_span(text, head.target, "/kv/a%2Fb?x=1&y");
    assert_span(text, head.path, "/kv/a%2Fb");
    assert_span(text, head.query, "x=1&y");
    assert_span(text, head.fields[head.known[HTTP_HOST] - 1].value, "node:8500");
    assert_span(text, head.fields[head.known[HTTP_IF_MATCH] - 1].value, "\"7\"");
    assert_span(text, head.fields[3].value, "");
    assert_int_equal(head.known[HTTP_EXPECT], 0);
}

static void test_every_method_of_the_list_is_known(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};

    (void)state;
    for (size_t i = 0; i < 6; i++) {
        char text[64];

        snprintf(text, sizeof(text), "%s / HTTP/1.1\r\n" HOST "\r\n", methods[i]);
        assert_accepted(text);
        assert_int_equal(head.method, i);
    }
}

static void test_hot_headers_are_found_whatever_their_case(void **state)
{
    static const char *const names[] = {
        [HTTP_HOST] = "HOST",
        [HTTP_CONTENT_TYPE] = "content-TYPE",
        [HTTP_ACCEPT] = "aCCept",
        [HTTP_AUTHORIZATION] = "AUTHORIZATION",
        [HTTP_ORIGIN] = "origin",
        [HTTP_IF_MATCH] = "if-match",
        [HTTP_IF_NONE_MATCH] = "IF-none-match",
        [HTTP_IDEMPOTENCY_KEY] = "idempotency-key",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[128];

        if (names[i] == NULL || i == HTTP_HOST)
            continue;
        snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n" HOST "%s: x\r\n\r\n", names[i]);
        assert_accepted(text);
        assert_int_equal(head.known[i], 2);
    }
}

static void test_connection_options_are_a_list(void **state)
{
    (void)state;
    assert_accepted("GET / HTTP/1.1\r\n" HOST "Connection: foo, Close\r\n\r\n");
    assert_true(head.close);
    assert_accepted("GET / HTTP/1.1\r\n" HOST "Connection: keep-alive\r\nConnection:,\r\n\r\n");
    assert_false(head.close);
    assert_accepted("GET / HTTP/1.1\r\n" HOST "Connection: closer\r\n\r\n");
    assert_false(head.close);
}

static void test_an_old_client_is_answered_once(void **state)
{
    (void)state;
    assert_accepted("GET / HTTP/1.0\r\n" HOST "\r\n");
    assert_true(head.close);
    assert_refused("GET / HTTP/1.0\r\n" HOST "Connection: keep-alive\r\n\r\n", 400);
    assert_refused("PUT / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400);
}

static void test_absolute_form_must_name_the_host(void **state)
{
    const char *text = "GET http://Node:85/x?y HTTP/1.1\r\nHost: nOde:85\r\n\r\n";

    (void)state;
    assert_accepted(text);
    assert_span(text, head.path, "/x");
    assert_span(text, head.query, "y");
    assert_accepted("GET http://a HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(head.path.len, 0);
    assert_refused("GET http://b/ HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_refused("GET http://ab/ HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_refused("GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_refused("GET ftp://a/x HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_refused("GET http://u@a/x HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_accepted("OPTIONS * HTTP/1.1\r\n" HOST "\r\n");
    assert_refused("GET * HTTP/1.1\r\n" HOST "\r\n", 400);
}

static void test_one_empty_line_before_a_request_is_skipped(void **state)
{
    (void)state;
    assert_accepted("\r\nGET / HTTP/1.1\r\n" HOST "\r\n");
    assert_refused("\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
    assert_refused("\nGET / HTTP/1.1\r\n" HOST "\r\n", 400);
}

/* What a libevent 2.1.12 server answers 200 to, and the rest of what RFC 9112 lets one refuse. */
static void test_ambiguous_framing_is_refused(void **state)
{
    static const char *const refused[] = {
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 5, 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: +5\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: -5\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x5\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 5 5\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 2147483649\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551621\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding : chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: xchunked\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"
        "\r\n",
        "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTrailer: X\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n",
        "HEAD / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
        "OPTIONS / HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_refused(refused[i], 400);
    assert_accepted("GET / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n");
    assert_accepted("POST / HTTP/1.1\r\n" HOST "Content-Length: 2147483648\r\n\r\n");
    assert_accepted("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: ChunkeD\r\n\r\n");
    assert_true(head.chunked);
}

static void test_malformed_lines_are_refused(void **state)
{
    static const char *const refused[] = {
        "GET / HTTP/1.1\n" HOST "\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "\n",
        "GET / HTTP/1.1\r\n" HOST "A: b\rc\r\n\r\n",
        "GET / HTTP/1.1\r\r\n" HOST "\r\n",
        "GET / HTTP/1.1\r\n" HOST "A: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A: b\r\n\tc\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST ": b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A b: c\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A : c\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A(b): c\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "\xc3\xa4: c\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A: \x01\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "A: 1234567890\x7f\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Host: b\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST HOST "\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:00000080\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]80\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: []\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: ::1\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Upgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "If-Match: \"1\"\r\nIf-Match: \"2\"\r\n\r\n",
        "GET / HTTP/1.1\r\n" HOST "Authorization: a\r\nAuthorization: b\r\n\r\n",
        "GET /\r\n" HOST "\r\n",
        "GET / \r\n" HOST "\r\n",
        "GET /  HTTP/1.1\r\n" HOST "\r\n",
        "GET  / HTTP/1.1\r\n" HOST "\r\n",
        " GET / HTTP/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1 \r\n" HOST "\r\n",
        "GET / http/1.1\r\n" HOST "\r\n",
        "GET / HTTP/1.1x\r\n" HOST "\r\n",
        "GET / HTTP/11\r\n" HOST "\r\n",
        "GET\t/\tHTTP/1.1\r\n" HOST "\r\n",
        "GET x HTTP/1.1\r\n" HOST "\r\n",
        "GET /a b HTTP/1.1\r\n" HOST "\r\n",
        "GET /#f HTTP/1.1\r\n" HOST "\r\n",
        "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n",
        "get / HTTP/1.1\r\n" HOST "\r\n",
        "PATCH / HTTP/1.1\r\n" HOST "\r\n",
        "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n",
        "TRACE / HTTP/1.1\r\n" HOST "\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "\x16\x03\x01",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_refused(refused[i], 400);
    assert_refused("GET / HTTP/2.0\r\n" HOST "\r\n", 505);
    assert_accepted("GET / HTTP/1.1\r\n" HOST "A: b\tc \xc3\xa4\r\n\r\n");
}

static void test_nul_is_refused_wherever_it_stands(void **state)
{
    const char *text = "GET /abc HTTP/1.1\r\nHost: abc\r\nAb: cd\r\n\r\n";
    size_t len = strlen(text);

    (void)state;
    for (size_t i = 0; i < len; i++) {
        char *copy = xstrdup(text);

        copy[i] = '\0';
        /* In place of a line's LF it is refused when the next line ends, if one does. */
        if (parse_len(copy, len) == DKV_OK)
            fail_msg("NUL at %zu was accepted", i);
        free(copy);
    }
}

static char *repeat(const char *before, char c, size_t count, const char *after)
{
    char *text = xmalloc(strlen(before) + count + strlen(after) + 1);

    strcpy(text, before);
    memset(text + strlen(before), c, count);
    strcpy(text + strlen(before) + count, after);
    return text;
}

static void test_a_long_request_line_is_414(void **state)
{
    size_t around = strlen("GET / HTTP/1.1");
    char *fits = repeat("GET /", 'a', HTTP_LINE_MAX - around, " HTTP/1.1\r\n" HOST "\r\n");
    char *over = repeat("GET /", 'a', HTTP_LINE_MAX - around + 1, " HTTP/1.1\r\n" HOST "\r\n");
    char *endless = repeat("GET /", 'a', 100000, "");

    (void)state;
    assert_accepted(fits);
    assert_refused(over, 414);
    assert_int_equal(parse_len(endless, 100000), DKV_EINVAL);
    assert_int_equal(head.fault.status, 414);
    free(fits);
    free(over);
    free(endless);
}

static void test_large_headers_are_431(void **state)
{
    char *fits = repeat("GET / HTTP/1.1\r\n" HOST "A: ", 'a', HTTP_LINE_MAX - 3, "\r\n\r\n");
    char *over = repeat("GET / HTTP/1.1\r\n" HOST "A: ", 'a', HTTP_LINE_MAX - 2, "\r\n\r\n");
    char *lines, *at;

    (void)state;
    assert_accepted(fits);
    assert_refused(over, 431);
    free(fits);
    free(over);

    /* Three headers of 6,000 bytes each are within the limit of one, but not of all. */
    at = lines = xmalloc(20000);
    at += sprintf(at, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 3; i++)
        at += sprintf(at, "A: %06000d\r\n", i);
    sprintf(at, "\r\n");
    assert_refused(lines, 431);
    free(lines);
}

static void test_more_than_64_headers_are_431(void **state)
{
    char text[1024], *at = text;

    (void)state;
    at += sprintf(at, "GET / HTTP/1.1\r\n" HOST);
    for (unsigned i = 1; i < HTTP_COUNT_MAX; i++)
        at += sprintf(at, "A: b\r\n");
    memcpy(at, "\r\n", 3);
    assert_accepted(text);
    memcpy(at, "A: b\r\n\r\n", 9);
    assert_refused(text, 431);
}

/* The body in pieces of `step` bytes; NULL when refused or unfinished. */
static const char *dechunk(const char *text, size_t step, size_t *used_out)
{
    static char body[256];
    struct http_chunks chunks;
    size_t at = 0, len = strlen(text), got = 0;

    http_chunks_init(&chunks);
    while (at < len) {
        size_t part = len - at < step ? len - at : step, one;
        struct dkv_slice piece;
        int status = http_chunks_parse(&chunks, text + at, part, &one, &piece);

        if (status == DKV_EINVAL)
            return NULL;
        memcpy(body + got, piece.data == NULL ? "" : piece.data, piece.len);
        got += piece.len;
        at += one;
        if (status == DKV_OK) {
            body[got] = '\0';
            *used_out = at;
            return body;
        }
        assert_true(one > 0);
    }
    return NULL;
}

static void test_chunks_are_joined_however_they_are_cut(void **state)
{
    const char *text = "5\r\nhello\r\n00000A\r\n, chunked \r\n1\r\n!\r\n0\r\n\r\nGET";

    (void)state;
    for (size_t step = 1; step <= strlen(text); step++) {
        size_t end = 0;
        const char *body = dechunk(text, step, &end);

        assert_non_null(body);
        assert_string_equal(body, "hello, chunked !");
        assert_int_equal(end, strlen(text) - 3);
    }
}

static void test_malformed_chunks_are_refused(void **state)
{
    static const char *const refused[] = {
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5;a=b\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhelloo\r\n0\r\n\r\n",
        "000000005\r\nhello\r\n0\r\n\r\n",
        "g\r\n",
        "5\r\nhello0\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "0\r\n\n",
        "5\r\rhello",
        "100000000\r\n",
    };
    size_t end;

    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        for (size_t step = 1; step < 8; step++)
            if (dechunk(refused[i], step, &end) != NULL)
                fail_msg("accepted: %s", refused[i]);
}

static struct dkv_slice slice(const char *text)
{
    return (struct dkv_slice){text, strlen(text)};
}

static void assert_decodes(const char *in, const char *expected, size_t expected_len)
{
    char out[64];
    size_t len;

    assert_int_equal(http_decode(slice(in), out, &len), DKV_OK);
    assert_int_equal(len, expected_len);
    assert_memory_equal(out, expected, len);
}

static void test_percent_decoding_happens_once(void **state)
{
    static const char *const bad[] = {"%", "%4", "a%", "%g0", "%0g", "%%41", "%4%31", "% 1"};
    char out[64];
    size_t len;

    (void)state;
    assert_decodes("a+b%2Fc%2f", "a+b/c/", 6);
    assert_decodes("%2541", "%41", 3);
    assert_decodes("%00%ff", "\0\xff", 2);
    assert_decodes("", "", 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(http_decode(slice(bad[i]), out, &len), DKV_EINVAL);
}

static void test_a_query_is_walked_part_by_part(void **state)
{
    struct dkv_slice rest = slice("&a=1&&b&c=x=y&=z&"), name, value;
    const char *expected[][2] = {{"a", "1"}, {"b", NULL}, {"c", "x=y"}, {"", "z"}};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        assert_true(http_query_next(&rest, &name, &value));
        assert_int_equal(name.len, strlen(expected[i][0]));
        assert_memory_equal(name.data, expected[i][0], name.len);
        assert_int_equal(value.data == NULL, expected[i][1] == NULL);
        if (expected[i][1] != NULL)
            assert_memory_equal(value.data, expected[i][1], value.len);
    }
    assert_false(http_query_next(&rest, &name, &value));
    rest = (struct dkv_slice){0};
    assert_false(http_query_next(&rest, &name, &value));
}

static void test_a_parameter_is_found_by_its_decoded_name(void **state)
{
    struct dkv_slice value;

    (void)state;
    assert_true(http_query_find(slice("pre=0&%70refix=a%2F&prefix=b"), "prefix", &value));
    assert_memory_equal(value.data, "a%2F", 4);
    assert_int_equal(value.len, 4);
    assert_false(http_query_find(slice("prefixx=1&prefi=1&%7=1"), "prefix", &value));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_plain_request_is_taken_apart),
        cmocka_unit_test(test_every_method_of_the_list_is_known),
        cmocka_unit_test(test_hot_headers_are_found_whatever_their_case),
        cmocka_unit_test(test_connection_options_are_a_list),
        cmocka_unit_test(test_an_old_client_is_answered_once),
        cmocka_unit_test(test_absolute_form_must_name_the_host),
        cmocka_unit_test(test_one_empty_line_before_a_request_is_skipped),
        cmocka_unit_test(test_ambiguous_framing_is_refused),
        cmocka_unit_test(test_malformed_lines_are_refused),
        cmocka_unit_test(test_nul_is_refused_wherever_it_stands),
        cmocka_unit_test(test_a_long_request_line_is_414),
        cmocka_unit_test(test_large_headers_are_431),
        cmocka_unit_test(test_more_than_64_headers_are_431),
        cmocka_unit_test(test_chunks_are_joined_however_they_are_cut),
        cmocka_unit_test(test_malformed_chunks_are_refused),
        cmocka_unit_test(test_percent_decoding_happens_once),
        cmocka_unit_test(test_a_query_is_walked_part_by_part),
        cmocka_unit_test(test_a_parameter_is_found_by_its_decoded_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
