#include "fixture.h"

#include <fcntl.h>

#include <ifaddrs.h>
#include <netinet/in.h>
#include <sys/resource.h>

#include "base/error.h"

#define GET(path) "GET " path " HTTP/1.1\r\nHost: a\r\n\r\n"

static void test_a_head_that_takes_too_long_is_408(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "GET / HTTP/1.1\r\nHo");
    for (int i = 0; i < 4; i++) {
        pass_time(SECOND);
        client_send(fd, "s");
    }
    assert_int_equal(http_server_stats(the->server)->timeouts, 0);
    pass_time(SECOND);
    expect(fd, "HTTP/1.1 408 Request Timeout\r\n");
    expect(fd, "Connection: close\r\n");
    expect_end(fd);
    close(fd);
}

static void test_a_body_that_stalls_or_drips_is_408(void **state)
{
    int fd = client_new(), fd2 = client_new();

    (void)state;
    client_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nab");
    client_send(fd2, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nab");
    for (int i = 0; i < 4; i++) {
        pass_time(SECOND);
        client_send(fd2, "drip");
    }
    assert_int_equal(http_server_stats(the->server)->timeouts, 0);
    pass_time(SECOND);
    assert_int_equal(http_server_stats(the->server)->timeouts, 2);
    expect(fd2, "HTTP/1.1 408 ");
    close(fd);
    close(fd2);
}

static void test_a_body_that_drips_after_a_fast_start_is_408(void **state)
{
    static char start[60000];
    int fd = client_new();

    (void)state;
    memset(start, 'x', sizeof(start));
    client_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    client_send_bytes(fd, start, sizeof(start));
    for (int i = 0; i < 9; i++) {
        pass_time(SECOND);
        client_send(fd, "drip");
    }
    assert_int_equal(http_server_stats(the->server)->timeouts, 0);
    pass_time(SECOND);
    assert_int_equal(http_server_stats(the->server)->timeouts, 1);
    expect(fd, "HTTP/1.1 408 ");
    close(fd);
}

static void test_a_body_fast_enough_is_waited_for(void **state)
{
    char kilobytes[4096];
    int fd = client_new();

    (void)state;
    memset(kilobytes, 'k', sizeof(kilobytes));
    client_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 81920\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        client_send_bytes(fd, kilobytes, sizeof(kilobytes));
        for (int k = 0; k < 4; k++)
            turn();
        pass_time(2 * SECOND);
    }
    expect(fd, "\r\n\r\nok");
    close(fd);
}

static void test_a_slow_request_is_told_of_once(void **state)
{
    int fd, fd2;

    (void)state;
    the->config.slow_us = SECOND;
    restart();
    fd = client_new();
    client_send(fd, GET("/later"));
    await(the->kept_count == 1);
    pass_time(SECOND - 1);
    http_reply(the->kept[0], 204, NULL, NULL, 0);
    expect(fd, "HTTP/1.1 204 ");
    assert_int_equal(the->slow_count, 0);
    client_send(fd, GET("/later"));
    await(the->kept_count == 2);
    pass_time(SECOND);
    http_reply(the->kept[1], 507, NULL, NULL, 0);
    expect(fd, "HTTP/1.1 507 ");
    assert_int_equal(the->slow_count, 1);
    assert_int_equal(the->slow_status, 507);
    assert_true(the->slow_us == SECOND);
    fd2 = client_new();
    client_send(fd2, GET("/later"));
    await(the->kept_count == 3);
    close(fd2);
    pass_time(2 * SECOND);
    turn();
    http_reply(the->kept[2], 200, NULL, "nobody", 6);
    assert_int_equal(the->slow_count, 2);
    close(fd);
}

static void test_an_idle_connection_is_closed_without_a_word(void **state)
{
    int fd = client_new(), fd2 = client_new();

    (void)state;
    client_send(fd, GET("/"));
    expect(fd, "\r\n\r\nok");
    forget();
    client_send(fd2, GET("/later"));
    await(the->kept_count == 1);
    pass_time(59 * SECOND);
    assert_int_equal(http_server_stats(the->server)->connections, 2);
    pass_time(2 * SECOND);
    expect_end(fd);
    assert_int_equal(the->received_len, 0);
    /* One that waits for its answer is not idle. */
    assert_int_equal(http_server_stats(the->server)->connections, 1);
    http_reply(the->kept[0], 204, NULL, NULL, 0);
    expect(fd2, "HTTP/1.1 204 No Content\r\n");
    close(fd);
    close(fd2);
}

static void test_a_client_that_does_not_read_is_closed(void **state)
{
    size_t len = 4u << 20;
    char *big = xcalloc(1, len);
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later") GET("/later") GET("/"));
    await(the->kept_count == 2);
    http_reply(the->kept[0], 200, NULL, big, len);
    http_reply(the->kept[1], 200, NULL, big, len);
    turn();
    pass_time(9 * SECOND);
    assert_int_equal(http_server_stats(the->server)->connections, 1);
    pass_time(2 * SECOND);
    await(http_server_stats(the->server)->connections == 0);
    free(big);
    close(fd);
}

/* A turn of the loop ends however much one client has sent ahead (with a high watermark, libevent
 * would call back for ever), and all of it is answered in the end. */
static void test_a_client_that_sends_far_ahead_does_not_keep_the_loop(void **state)
{
    enum { AHEAD = 4000 };
    int fd = client_new(), other = client_new();
    size_t sent = 0, len = AHEAD * (sizeof(GET("/later")) - 1);
    char *requests = xcalloc(1, len + 1);
    unsigned answered = 0;

    (void)state;
    for (int i = 0; i < AHEAD; i++)
        memcpy(requests + (size_t)i * (sizeof(GET("/later")) - 1), GET("/later"),
               sizeof(GET("/later")) - 1);
    for (int i = 0; i < 50; i++) {
        ssize_t n = write(fd, requests + sent, len - sent);

        sent += n > 0 ? (size_t)n : 0;
        turn();
    }
    assert_true(sent > HTTP_INPUT_MAX);
    client_send(other, GET("/"));
    expect(other, "HTTP/1.1 200 OK\r\n");
    while (answered < AHEAD) {
        ssize_t n = sent < len ? write(fd, requests + sent, len - sent) : 0;
        char drop[4096];

        sent += n > 0 ? (size_t)n : 0;
        for (unsigned i = 0; i < the->kept_count; i++, answered++)
            http_reply(the->kept[i], 204, NULL, NULL, 0);
        the->kept_count = 0;
        while (read(fd, drop, sizeof(drop)) > 0)
            ;
        turn();
    }
    free(requests);
    close(fd);
    close(other);
}

static void test_answers_that_nobody_reads_have_a_limit(void **state)
{
    size_t len = 1u << 20;
    char *big = xcalloc(1, len);
    int fd[4], reader;

    (void)state;
    the->config.in_flight_bytes_max = 3u << 20;
    restart();
    for (int i = 0; i < 4; i++) {
        fd[i] = client_new();
        client_send(fd[i], GET("/later"));
        await(the->kept_count == (unsigned)i + 1);
        http_reply(the->kept[i], 200, NULL, big, len);
        turn();
    }
    assert_true(the->server->unsent_bytes <= 3u << 20);
    assert_int_equal(http_server_stats(the->server)->shed, 1);
    expect(fd[3], "HTTP/1.1 429 ");
    for (int i = 0; i < 4; i++)
        close(fd[i]);
    await(the->server->unsent_bytes == 0);
    reader = client_new();
    client_send(reader, GET("/later"));
    await(the->kept_count == 5);
    forget();
    http_reply(the->kept[4], 200, NULL, big, 3000);
    expect(reader, "HTTP/1.1 200 OK\r\n");
    close(reader);
    free(big);
}

static void test_nothing_more_is_taken_from_a_client_that_does_not_read(void **state)
{
    size_t len = 2u << 20, left = len;
    char *big = xcalloc(1, len);
    int fd = client_new();

    (void)state;
    client_send(fd, GET("/later"));
    await(the->kept_count == 1);
    http_reply(the->kept[0], 200, NULL, big, len);
    turn();
    client_send(fd, GET("/"));
    for (int i = 0; i < 10; i++)
        turn();
    assert_int_equal(the->handled, 1);
    while (left > 1000) {
        ssize_t got = read(fd, big, left);

        if (got > 0)
            left -= (size_t)got < left ? (size_t)got : left;
        turn();
    }
    await(the->handled == 2);
    free(big);
    close(fd);
}

static void test_a_closed_connection_lingers_for_two_seconds(void **state)
{
    int fd = client_new();

    (void)state;
    client_send(fd, "BAD\r\n");
    expect(fd, "HTTP/1.1 400 ");
    expect_end(fd);
    client_send(fd, "more of what nobody reads");
    pass_time(SECOND);
    assert_int_equal(http_server_stats(the->server)->connections, 1);
    pass_time(SECOND);
    await(http_server_stats(the->server)->connections == 0);
    close(fd);
}

static void test_too_many_requests_in_flight_are_429(void **state)
{
    int fd = client_new();

    (void)state;
    the->config.in_flight_max = 1;
    restart();
    close(fd);
    fd = client_new();
    client_send(fd, GET("/later") GET("/"));
    await(the->kept_count == 1);
    http_reply(the->kept[0], 200, NULL, "one", 3);
    expect(fd, "HTTP/1.1 429 Too Many Requests\r\n");
    expect(fd, "Retry-After: 1\r\n");
    forget();
    client_send(fd, GET("/"));
    expect(fd, "\r\n\r\nok");
    close(fd);
}

static void test_urgent_requests_are_taken_when_too_many_are_in_flight(void **state)
{
    int fd, fd2;

    (void)state;
    the->config.in_flight_max = 1;
    restart();
    fd = client_new();
    fd2 = client_new();
    client_send(fd, GET("/later"));
    await(the->kept_count == 1);
    client_send(fd2, GET("/urgent"));
    expect(fd2, "\r\n\r\nok");
    client_send(fd2, GET("/"));
    expect(fd2, "HTTP/1.1 429 ");
    close(fd);
    close(fd2);
}

static void test_too_many_bytes_in_flight_are_429(void **state)
{
    char block[8192];
    int fd;

    (void)state;
    the->config.in_flight_bytes_max = 16384;
    restart();
    fd = client_new();
    memset(block, 'b', sizeof(block));
    client_send(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n");
    for (int i = 0; i < 8; i++)
        client_send_bytes(fd, block, sizeof(block));
    expect(fd, "HTTP/1.1 429 ");
    expect_end(fd);
    close(fd);
    await(the->server->held_bytes == 0);
}

static void test_too_many_connections_are_turned_away(void **state)
{
    int fd, fd2;

    (void)state;
    the->config.connections_max = 1;
    restart();
    fd = client_new();
    fd2 = client_new();
    expect(fd2, "HTTP/1.1 503 Service Unavailable\r\n");
    expect_end(fd2);
    assert_int_equal(http_server_stats(the->server)->refused, 1);
    assert_int_equal(the->warnings, 1);
    forget();
    client_send(fd, GET("/"));
    expect(fd, "\r\n\r\nok");
    close(fd);
    close(fd2);
}

static void test_a_connection_ends_after_its_last_request(void **state)
{
    int fd;

    (void)state;
    the->config.requests_per_connection_max = 2;
    restart();
    fd = client_new();
    client_send(fd, GET("/") GET("/") GET("/"));
    expect_end(fd);
    assert_int_equal(the->handled, 2);
    assert_int_equal(count_received("Connection: close\r\n"), 1);
    close(fd);
}

static void note_drained(void *ctx)
{
    ((struct fixture *)ctx)->drained++;
}

static void test_draining_finishes_what_is_in_flight(void **state)
{
    int busy = client_new(), idle = client_new(), half = client_new();

    (void)state;
    client_send(busy, GET("/later"));
    client_send(half, "PUT /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe");
    await(the->kept_count == 1);
    turn();
    http_server_drain(the->server, note_drained, the);
    expect_end(idle);
    client_send(half, "llo");
    expect(half, "Connection: close\r\n");
    expect(half, "\r\n\r\nhello");
    assert_int_equal(the->drained, 0);
    forget();
    http_reply(the->kept[0], 200, NULL, "done", 4);
    expect(busy, "Connection: close\r\n");
    expect(busy, "done");
    close(busy);
    close(idle);
    close(half);
    await(the->drained == 1);
}

static int connect_to(const char *address)
{
    struct sockaddr_storage ss;
    int len = sizeof(ss), fd;

    assert_int_equal(evutil_parse_sockaddr_port(address, (struct sockaddr *)&ss, &len), 0);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&ss, (socklen_t)len), 0);
    evutil_make_socket_nonblocking(fd);
    return fd;
}

static void test_it_listens_on_ipv4_and_ipv6(void **state)
{
    static const char *const addresses[] = {"127.0.0.1:0", "localhost:0", "[::1]:0"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct dkv_error err = {0};
        int fd;

        if (http_server_listen(the->server, addresses[i], &err) != DKV_OK) {
            assert_true(i == 2); /* a machine without IPv6 */
            continue;
        }
        forget();
        fd = connect_to(http_server_address(the->server));
        client_send(fd, GET("/"));
        expect(fd, "\r\n\r\nok");
        close(fd);
    }
}

static void test_an_address_in_use_is_told_with_its_owner(void **state)
{
    struct dkv_error err = {0};
    char address[80], pid[32];

    (void)state;
    assert_int_equal(http_server_listen(the->server, "127.0.0.1:0", &err), DKV_OK);
    snprintf(address, sizeof(address), "%s", http_server_address(the->server));
    assert_int_equal(http_server_listen(the->server, address, &err), DKV_EUNAVAIL);
    assert_non_null(strstr(err.text, address));
    assert_non_null(strstr(err.text, "in use"));
    snprintf(pid, sizeof(pid), "process %d ", (int)getpid());
    assert_non_null(strstr(err.text, pid));

    /* Sharing is for one process's servers; another process is found out by the probe. */
    the->config.reuse_port = true;
    restart();
    assert_int_equal(http_address_probe(address, &err), DKV_OK);
    assert_int_equal(http_server_listen(the->server, address, &err), DKV_OK);
    assert_int_equal(http_server_listen(the->server, address, &err), DKV_OK);
    assert_int_equal(http_address_probe(address, &err), DKV_EUNAVAIL);
}

static void test_nonsense_is_no_address(void **state)
{
    static const char *const bad[] = {"",           "8500",   ":8500",          "127.0.0.1",
                                      "127.0.0.1:", "[::1:1", "127.0.0.1:http", "203.0.113.254:1"};
    struct dkv_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(http_server_listen(the->server, bad[i], &err), DKV_EINVAL);
}

/* An IPv4 address of this machine that is not loopback's, with port 0; false if there is none. */
static bool find_own_address(char *address, size_t size)
{
    struct ifaddrs *all, *one;
    bool found = false;

    if (getifaddrs(&all) != 0)
        return false;
    for (one = all; one != NULL && !found; one = one->ifa_next) {
        const struct sockaddr_in *sin = (const void *)one->ifa_addr;
        char ip[INET_ADDRSTRLEN];

        if (sin == NULL || sin->sin_family != AF_INET || ntohl(sin->sin_addr.s_addr) >> 24 == 127)
            continue;
        evutil_inet_ntop(AF_INET, &sin->sin_addr, ip, sizeof(ip));
        snprintf(address, size, "%s:0", ip);
        found = true;
    }
    freeifaddrs(all);
    return found;
}

static void test_one_address_has_so_many_connections_but_loopback_has_more(void **state)
{
    struct dkv_error err = {0};
    char address[80];
    int fd, fd2;

    (void)state;
    the->config.connections_per_ip_max = 1;
    restart();
    assert_int_equal(http_server_listen(the->server, "127.0.0.1:0", &err), DKV_OK);
    fd = connect_to(http_server_address(the->server));
    fd2 = connect_to(http_server_address(the->server));
    await(http_server_stats(the->server)->accepted == 2);
    close(fd);
    close(fd2);
    if (!find_own_address(address, sizeof(address)))
        skip(); /* the line says so: no address but loopback's */
    assert_int_equal(http_server_listen(the->server, address, &err), DKV_OK);
    fd = connect_to(http_server_address(the->server));
    await(http_server_stats(the->server)->accepted == 3);
    fd2 = connect_to(http_server_address(the->server));
    expect(fd2, "HTTP/1.1 503 ");
    close(fd2);
    close(fd);
    await(http_server_stats(the->server)->connections == 0);
    forget();
    fd = connect_to(http_server_address(the->server));
    client_send(fd, GET("/"));
    expect(fd, "\r\n\r\nok");
    close(fd);
}

static void test_without_descriptors_clients_are_turned_away_and_the_loop_rests(void **state)
{
    struct rlimit limit, low;
    struct dkv_error err = {0};
    int fd, fd2, highest;

    (void)state;
    assert_int_equal(http_server_listen(the->server, "127.0.0.1:0", &err), DKV_OK);
    fd = connect_to(http_server_address(the->server));
    fd2 = connect_to(http_server_address(the->server));
    highest = dup(fd2);
    close(highest);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = (struct rlimit){.rlim_cur = (rlim_t)highest, .rlim_max = limit.rlim_max};
    setrlimit(RLIMIT_NOFILE, &low);
    await(http_server_stats(the->server)->refused == 1);
    assert_int_equal(the->warnings, 1);
    assert_false(the->server->is_accepting);
    expect(fd, "HTTP/1.1 503 ");
    /* The second one waits in the backlog: nothing is active until the next sweep. */
    turn();
    assert_int_equal(http_server_stats(the->server)->refused, 1);
    setrlimit(RLIMIT_NOFILE, &limit);
    http__server_sweep(the->server);
    forget();
    client_send(fd2, GET("/"));
    expect(fd2, "\r\n\r\nok");
    close(fd);
    close(fd2);
}

#define RUN(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUN(test_a_head_that_takes_too_long_is_408),
        RUN(test_a_body_that_stalls_or_drips_is_408),
        RUN(test_a_body_that_drips_after_a_fast_start_is_408),
        RUN(test_a_body_fast_enough_is_waited_for),
        RUN(test_a_slow_request_is_told_of_once),
        RUN(test_an_idle_connection_is_closed_without_a_word),
        RUN(test_a_client_that_does_not_read_is_closed),
        RUN(test_a_client_that_sends_far_ahead_does_not_keep_the_loop),
        RUN(test_answers_that_nobody_reads_have_a_limit),
        RUN(test_nothing_more_is_taken_from_a_client_that_does_not_read),
        RUN(test_a_closed_connection_lingers_for_two_seconds),
        RUN(test_too_many_requests_in_flight_are_429),
        RUN(test_urgent_requests_are_taken_when_too_many_are_in_flight),
        RUN(test_too_many_bytes_in_flight_are_429),
        RUN(test_too_many_connections_are_turned_away),
        RUN(test_a_connection_ends_after_its_last_request),
        RUN(test_draining_finishes_what_is_in_flight),
        RUN(test_it_listens_on_ipv4_and_ipv6),
        RUN(test_an_address_in_use_is_told_with_its_owner),
        RUN(test_nonsense_is_no_address),
        RUN(test_one_address_has_so_many_connections_but_loopback_has_more),
        RUN(test_without_descriptors_clients_are_turned_away_and_the_loop_rests),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
