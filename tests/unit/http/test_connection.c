#include "fixture.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void test_a_request_is_answered_with_the_fixed_headers(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/"));
    expect(fd, "\r\n\r\nok");
    expect(fd, "HTTP/1.1 200 OK\r\nDate: ");
    expect(fd, "\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n");
    expect(fd, "\r\nContent-Length: 2\r\n");
    assert_int_equal(count_received("Connection"), 0);
    forget();
    client_send(fd, GET("/"));
    expect(fd, "\r\n\r\nok");
    close(fd);
    await(http_server_stats(the->server)->connections == 0);
}

static void test_a_request_sent_byte_by_byte_is_the_same_request(void **state)
{
    const char *text = "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    int fd = client_new();

    (void)state;
    for (size_t i = 0; i < strlen(text); i++) {
        client_send_bytes(fd, text + i, 1);
        turn();
    }
    expect(fd, "\r\n\r\nhello");
    assert_int_equal(the->handled, 1);
    close(fd);
}

static void test_a_large_head_and_body_come_whole(void **state)
{
    size_t len = 300000;
    char *text = xmalloc(len);
    int head_len, fd = client_new();

    (void)state;
    head_len = snprintf(text, len,
                        "PUT /kv/x HTTP/1.1\r\nHost: a\r\nA: %07000d\r\nB: %07000d\r\n"
                        "Content-Length: 300000\r\n\r\n",
                        1, 2);
    client_send_bytes(fd, text, (size_t)head_len);
    memset(text, 'v', len);
    client_send_bytes(fd, text, len);
    expect(fd, "\r\n\r\nok");
    assert_int_equal(the->last_body_len, sizeof(the->last_body));
    assert_memory_equal(the->last_body, text, sizeof(the->last_body));
    free(text);
    close(fd);
    await(the->server->held_bytes == 0);
}

static void test_a_chunked_body_is_joined(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n" GET("/"));
    expect(fd, "\r\n\r\nabcdefg");
    expect(fd, "\r\n\r\nok");
    close(fd);
}

static void test_pipelined_answers_leave_in_the_order_of_the_requests(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later") GET("/") GET("/later") GET("/echo"));
    await(the->handled == 4);
    http_reply(the->kept[1], 200, NULL, "third", 5);
    turn();
    assert_int_equal(recv(fd, the->received, 1, MSG_PEEK), -1);
    http_reply(the->kept[0], 200, NULL, "first", 5);
    expect(fd, "first");
    expect(fd, "third");
    assert_int_equal(count_received("HTTP/1.1 200 OK"), 4);
    assert_true(strstr(the->received, "first") < strstr(the->received, "\r\n\r\nok"));
    assert_true(strstr(the->received, "\r\n\r\nok") < strstr(the->received, "third"));
    close(fd);
}

static void test_no_more_than_the_limit_is_taken_ahead(void **state)
{
    int fd = client_new();

    (void)state;
    for (int i = 0; i < 20; i++)
        client_send(fd, GET("/later"));
    await(the->kept_count == the->config.pipeline_max);
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(the->kept_count, the->config.pipeline_max);
    http_reply(the->kept[0], 204, NULL, NULL, 0);
    await(the->kept_count == the->config.pipeline_max + 1);
    for (unsigned i = 1; i < the->kept_count; i++)
        http_reply(the->kept[i], 204, NULL, NULL, 0);
    await(the->kept_count == 20);
    for (unsigned i = the->config.pipeline_max + 1; i < 20; i++)
        http_reply(the->kept[i], 204, NULL, NULL, 0);
    await(http_server_stats(the->server)->in_flight == 0);
    close(fd);
}

static void test_a_head_request_gets_no_body(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET("/echo"));
    expect(fd, "Content-Length: 2\r\n");
    expect(fd, "Content-Length: 0\r\n");
    assert_null(strstr(the->received, "ok"));
    close(fd);
}

static void test_fields_of_an_answer_are_written(void **state)
{
    struct http_reply_fields fields = {.content_type = "text/plain",
                                       .extra = "A: b\r\nC: d\r\n",
                                       .etag = UINT64_MAX,
                                       .has_etag = true,
                                       .retry_after_s = 3};
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later"));
    await(the->kept_count == 1);
    http_reply(the->kept[0], 503, &fields, "x", 1);
    expect(fd, "HTTP/1.1 503 Service Unavailable\r\n");
    expect(fd, "ETag: \"18446744073709551615\"\r\n");
    expect(fd, "Content-Type: text/plain\r\n");
    expect(fd, "Retry-After: 3\r\n");
    expect(fd, "A: b\r\nC: d\r\n\r\nx");
    close(fd);
}

static void test_connection_close_is_honoured(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" GET("/"));
    expect(fd, "Connection: close\r\n");
    expect_end(fd);
    assert_int_equal(the->handled, 1);
    close(fd);
    await(http_server_stats(the->server)->connections == 0);
}

static void test_a_handler_may_close_and_cut_off_the_rest(void **state)
{
    struct http_reply_fields fields = {.close = true};
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later") GET("/later"));
    await(the->kept_count == 2);
    http_reply(the->kept[0], 200, &fields, "bye", 3);
    expect_end(fd);
    assert_int_equal(count_received("HTTP/1.1"), 1);
    assert_int_equal(the->aborts, 1);
    assert_int_equal(the->abort_why, HTTP_ABORT_GONE);
    http_reply(the->kept[1], 200, NULL, "lost", 4);
    assert_int_equal(http_server_stats(the->server)->in_flight, 0);
    close(fd);
}

static void test_a_malformed_request_is_answered_in_turn_and_ends_the_connection(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later") "BAD\r\n" GET("/"));
    await(the->kept_count == 1);
    http_reply(the->kept[0], 200, NULL, "first", 5);
    expect(fd, "first");
    expect(fd, "HTTP/1.1 400 Bad Request\r\n");
    expect(fd, "Content-Type: application/problem+json\r\n");
    expect(fd, "\"outcome\":\"none\"");
    expect_end(fd);
    assert_int_equal(the->handled, 1);
    close(fd);
}

static void test_too_long_a_body_is_refused_before_it_is_read(void **state)
{
    int fd = client_new();

    (void)state;
    the->body_limit = 10;
    client_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n"
                    "Expect: 100-continue\r\n\r\n");
    expect(fd, "HTTP/1.1 413 Content Too Large\r\n");
    expect(fd, "\"code\":\"value_too_long\"");
    expect(fd, "longer than the 10 bytes allowed here");
    expect_end(fd);
    assert_null(strstr(the->received, "100 Continue"));
    assert_int_equal(the->handled, 0);
    close(fd);

    forget();
    fd = client_new();
    client_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    "5\r\nhello\r\n6\r\n");
    expect(fd, "HTTP/1.1 413 ");
    expect_end(fd);
    close(fd);

    forget();
    fd = client_new();
    client_send(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n0123456789");
    expect(fd, "\r\n\r\n0123456789");
    close(fd);
}

static void test_a_waiting_client_is_told_to_continue(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                    "Expect: 100-continue\r\n\r\n");
    expect(fd, "HTTP/1.1 100 Continue\r\n\r\n");
    client_send(fd, "hi");
    expect(fd, "\r\n\r\nhi");
    forget();
    client_send(fd, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                    "Expect: 100-continue\r\n\r\nho");
    expect(fd, "\r\n\r\nho");
    assert_int_equal(count_received("100 Continue"), 0);
    close(fd);
}

static void test_a_request_may_be_answered_before_its_body(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "PUT /forbidden HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n" GET("/"));
    expect(fd, "HTTP/1.1 403 Forbidden\r\n");
    expect(fd, "Connection: close\r\n");
    expect_end(fd);
    assert_int_equal(the->handled, 0);
    close(fd);
}

static void test_a_half_closed_client_is_noticed_and_still_answered(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later") GET("/"));
    shutdown(fd, SHUT_WR);
    await(the->aborts == 1);
    assert_int_equal(the->abort_why, HTTP_ABORT_HALF_CLOSED);
    http_reply(the->kept[0], 200, NULL, "still", 5);
    expect(fd, "still");
    expect(fd, "\r\n\r\nok");
    expect_end(fd);
    close(fd);
    await(http_server_stats(the->server)->connections == 0);
}

static void test_an_answer_to_a_client_that_is_gone_goes_nowhere(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later") GET("/later"));
    await(the->kept_count == 2);
    close(fd);
    await(the->aborts > 0);
    http_reply(the->kept[0], 200, NULL, "x", 1);
    turn();
    turn();
    http_reply(the->kept[1], 200, NULL, "x", 1);
    await(http_server_stats(the->server)->connections == 0);
    assert_int_equal(http_server_stats(the->server)->in_flight, 0);
}

static void test_a_request_cut_short_by_the_client_is_forgotten(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    turn();
    shutdown(fd, SHUT_WR);
    expect_end(fd);
    assert_int_equal(the->handled, 0);
    assert_int_equal(the->received_len, 0);
    close(fd);
    await(http_server_stats(the->server)->connections == 0);
}

static void receive_some(int fd)
{
    ssize_t got = read(fd, the->received + the->received_len, 16384);

    if (got > 0)
        the->received_len += (size_t)got;
    the->received[the->received_len] = '\0';
}

static void test_a_stream_goes_out_in_chunks_with_back_pressure(void **state)
{
    static char block[65536];
    unsigned taken = 0;
    int fd = client_new();

    (void)state;
    memset(block, 'b', sizeof(block));
    client_send(fd, GET("/later"));
    await(the->kept_count == 1);
    http_reply_start(the->kept[0], 200, NULL, HTTP_LENGTH_CHUNKED);
    assert_int_equal(http_reply_chunk(the->kept[0], "start", 5), DKV_OK);
    expect(fd, "Transfer-Encoding: chunked\r\n");
    expect(fd, "\r\n\r\n5\r\nstart\r\n");
    while (http_reply_chunk(the->kept[0], block, sizeof(block)) == DKV_OK && taken < 1000) {
        taken++;
        turn();
    }
    assert_true(taken > 1 && taken < 1000);
    assert_int_equal(the->drains, 0);
    for (int i = 0; i < 10000 && the->drains == 0; i++) {
        forget();
        turn();
        if (read(fd, the->received, sizeof(the->received)) < 0)
            turn();
    }
    assert_int_equal(the->drains, 1);
    http_reply_end(the->kept[0]);
    while (strstr(the->received, "\r\n0\r\n\r\n") == NULL) {
        if (the->received_len > sizeof(the->received) / 2)
            forget();
        turn();
        receive_some(fd);
    }
    close(fd);
}

static void test_an_aborted_stream_ends_without_its_last_chunk(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later"));
    await(the->kept_count == 1);
    http_reply_start(the->kept[0], 200, NULL, HTTP_LENGTH_CHUNKED);
    http_reply_chunk(the->kept[0], "abc", 3);
    expect(fd, "3\r\nabc\r\n");
    http_reply_abort(the->kept[0]);
    expect_end(fd);
    assert_null(strstr(the->received, "\r\n0\r\n"));
    assert_int_equal(http_server_stats(the->server)->in_flight, 0);
    close(fd);
}

static void test_a_body_is_added_straight_to_the_output(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later") GET("/later") "HEAD /later HTTP/1.1\r\nHost: a\r\n\r\n");
    await(the->kept_count == 3);
    for (int i = 2; i >= 0; i--) {
        struct evbuffer *out;

        http_reply_start(the->kept[i], 200, NULL, 4);
        out = http_reply_buffer(the->kept[i]);
        assert_int_equal(out == NULL, i == 2);
        if (out != NULL)
            evbuffer_add(out, i == 0 ? "zero" : "one!", 4);
        http_reply_end(the->kept[i]);
    }
    expect(fd, "one!HTTP/1.1 200 OK\r\n");
    expect(fd, "\r\n\r\nzeroHTTP/1.1");
    assert_int_equal(count_received("Content-Length: 4"), 3);
    close(fd);
}

#define RUN(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(test_a_request_is_answered_with_the_fixed_headers),
        RUN(test_a_request_sent_byte_by_byte_is_the_same_request),
        RUN(test_a_large_head_and_body_come_whole),
        RUN(test_a_chunked_body_is_joined),
        RUN(test_pipelined_answers_leave_in_the_order_of_the_requests),
        RUN(test_no_more_than_the_limit_is_taken_ahead),
        RUN(test_a_head_request_gets_no_body),
        RUN(test_fields_of_an_answer_are_written),
        RUN(test_connection_close_is_honoured),
        RUN(test_a_handler_may_close_and_cut_off_the_rest),
        RUN(test_a_malformed_request_is_answered_in_turn_and_ends_the_connection),
        RUN(test_too_long_a_body_is_refused_before_it_is_read),
        RUN(test_a_waiting_client_is_told_to_continue),
        RUN(test_a_request_may_be_answered_before_its_body),
        RUN(test_a_half_closed_client_is_noticed_and_still_answered),
        RUN(test_an_answer_to_a_client_that_is_gone_goes_nowhere),
        RUN(test_a_request_cut_short_by_the_client_is_forgotten),
        RUN(test_a_stream_goes_out_in_chunks_with_back_pressure),
        RUN(test_an_aborted_stream_ends_without_its_last_chunk),
        RUN(test_a_body_is_added_straight_to_the_output),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
