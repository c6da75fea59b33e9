#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/response.h"

struct expected {
    const char *text;
    int status;
    bool keep_alive;
    const char *body, *etag;
};

static const struct expected vectors[] = {
    {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: \"17\"\r\n\r\nhello", 200, true, "hello",
     "\"17\""},
    {"HTTP/1.1 204 No Content\r\nETag: \"9\"\r\n\r\n", 204, true, "", "\"9\""},
    {"HTTP/1.1 201 Created\r\ncontent-length:0\r\n\r\n", 201, true, "", ""},
    {"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 503,
     false, "{}", ""},
    {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n, world!!!\r\n"
     "0\r\nTrailer: yes\r\n\r\n",
     200, true, "hello, world!!!", ""},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, true, "x",
     ""},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", 200, false, "x", ""},
};

static void check(const struct response *r, const struct expected *e)
{
    assert_int_equal(r->state, RESPONSE_DONE);
    assert_int_equal(r->status, e->status);
    assert_int_equal(r->keep_alive, e->keep_alive);
    assert_int_equal(r->body_size, strlen(e->body));
    assert_int_equal(r->body_len, strlen(e->body));
    assert_memory_equal(r->body, e->body, strlen(e->body));
    assert_string_equal(r->etag, e->etag);
}

static void responses_are_read_however_they_are_cut(void **state)
{
    struct response r;

    (void)state;
    response_init(&r, 64);
    for (unsigned v = 0; v < sizeof(vectors) / sizeof(vectors[0]); v++) {
        size_t size = strlen(vectors[v].text);

        for (size_t cut = 0; cut <= size; cut++) {
            response_reset(&r);
            assert_int_equal(response_feed(&r, vectors[v].text, cut), cut);
            assert_int_equal(response_feed(&r, vectors[v].text + cut, size - cut), size - cut);
            check(&r, &vectors[v]);
        }
        response_reset(&r);
        for (size_t i = 0; i < size; i++) {
            assert_int_not_equal(r.state, RESPONSE_DONE);
            assert_int_equal(response_feed(&r, vectors[v].text + i, 1), 1);
        }
        check(&r, &vectors[v]);
    }
    response_fini(&r);
}

static void what_follows_a_response_is_left(void **state)
{
    static const char text[] = "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200";
    struct response r;

    (void)state;
    response_init(&r, 0);
    assert_int_equal(response_feed(&r, text, strlen(text)), strlen(text) - 12);
    assert_int_equal(r.state, RESPONSE_DONE);
    response_fini(&r);
}

static void a_body_longer_than_the_room_is_counted_and_cut(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789";
    struct response r;

    (void)state;
    response_init(&r, 4);
    response_feed(&r, text, strlen(text));
    assert_int_equal(r.state, RESPONSE_DONE);
    assert_int_equal(r.body_size, 10);
    assert_int_equal(r.body_len, 4);
    response_fini(&r);
}

static void a_body_without_length_ends_with_the_connection(void **state)
{
    static const char text[] = "HTTP/1.1 200 OK\r\n\r\nabc";
    struct response r;

    (void)state;
    response_init(&r, 16);
    response_feed(&r, text, strlen(text));
    assert_int_not_equal(r.state, RESPONSE_DONE);
    response_eof(&r);
    assert_int_equal(r.state, RESPONSE_DONE);
    assert_false(r.keep_alive);
    assert_int_equal(r.body_size, 3);
    response_fini(&r);
}

static void nonsense_and_cut_responses_are_broken(void **state)
{
    static const char *const texts[] = {
        "HTTQ/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nq\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
    };
    char line[RESPONSE_LINE_MAX + 10];
    struct response r;

    (void)state;
    response_init(&r, 16);
    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        response_reset(&r);
        response_feed(&r, texts[i], strlen(texts[i]));
        assert_int_equal(r.state, RESPONSE_BROKEN);
    }
    response_reset(&r);
    response_feed(&r, "HTTP/1.1 200 OK\r\nContent-Le", 27);
    response_eof(&r);
    assert_int_equal(r.state, RESPONSE_BROKEN);
    response_reset(&r);
    memset(line, 'x', sizeof(line));
    response_feed(&r, line, sizeof(line));
    assert_int_equal(r.state, RESPONSE_BROKEN);
    response_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(responses_are_read_however_they_are_cut),
        cmocka_unit_test(what_follows_a_response_is_left),
        cmocka_unit_test(a_body_longer_than_the_room_is_counted_and_cut),
        cmocka_unit_test(a_body_without_length_ends_with_the_connection),
        cmocka_unit_test(nonsense_and_cut_responses_are_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
