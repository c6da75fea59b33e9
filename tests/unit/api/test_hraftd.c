/* POST /key over a connection, with a backend whose writes end when the test says so. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <event2/event.h>

#include "api/api.h"
#include "base/blob.h"
#include "http/http.h"

static struct api_write *pending;
static unsigned writes;
static bool is_stopping, wants_turn;

static void on_write(struct api_backend *backend, struct api_write *write)
{
    (void)backend;
    blob_unref(write->command);
    pending = write;
    writes++;
}

static void on_view(struct api_backend *backend, struct api_node_view *view_out)
{
    (void)backend;
    *view_out = (struct api_node_view){.is_stopping = is_stopping};
}

static void on_turn_wanted(struct api_backend *backend)
{
    (void)backend;
    wants_turn = true;
}

static void turn(struct event_base *base, struct api *api)
{
    event_base_loop(base, EVLOOP_NONBLOCK);
    if (wants_turn) {
        wants_turn = false;
        api_turn(api);
    }
}

enum client { STAYS, HALF_CLOSES, LEAVES };

/* Over loopback: only TCP tells that a client has left for good. */
static void connect_pair(int fds[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(bind(listener, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[0], (struct sockaddr *)&at, len), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fds[1] >= 0);
    close(listener);
}

/* Sends three pairs, lets `before` happen, completes the first: how many were written. */
static unsigned count_writes(uint64_t timeout_us, enum client client, bool stops, char *answer,
                             size_t size)
{
    static const struct api_backend_ops ops = {.write = on_write, .node_view = on_view};
    static const char text[] = "POST /key HTTP/1.1\r\nHost: localhost\r\nContent-Length: 28\r\n\r\n"
                               "{\"a\":\"x\",\"b\":\"y\", \"c\":\"zzz\"}";
    struct api_access *access = api_access_new();
    struct api_backend backend = {.ops = &ops,
                                  .turn_wanted = on_turn_wanted,
                                  .access = access,
                                  .key_max = 500,
                                  .value_max = 1000,
                                  .request_timeout_us = timeout_us};
    struct api *api = api_new(&backend);
    struct http_handler handler = {.ctx = api, .request = api_handle, .body_limit = api_body_limit};
    struct event_base *base = event_base_new();
    struct http_config config;
    struct http_server *server;
    int fds[2];

    pending = NULL;
    writes = 0;
    is_stopping = false;
    http_config_init(&config);
    server = http_server_new(&config, base, &handler);
    connect_pair(fds);
    http_server_adopt(server, fds[1]);
    assert_int_equal(send(fds[0], text, sizeof(text) - 1, 0), sizeof(text) - 1);
    for (int i = 0; i < 10000 && pending == NULL; i++)
        turn(base, api);
    assert_non_null(pending);
    if (client == HALF_CLOSES)
        shutdown(fds[0], SHUT_WR);
    if (client == LEAVES) { /* with a reset, as whoever leaves bytes unread */
        struct linger now = {1, 0};

        assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_LINGER, &now, sizeof(now)), 0);
        close(fds[0]);
    }
    is_stopping = stops;
    for (int i = 0; i < 100; i++)
        turn(base, api);
    usleep(2000);
    while (pending != NULL) {
        struct api_write *write = pending;

        pending = NULL;
        write->status = DKV_OK;
        write->done(write);
    }
    for (int i = 0; i < 100; i++)
        turn(base, api);
    memset(answer, 0, size);
    if (client != LEAVES) {
        (void)!recv(fds[0], answer, size - 1, 0);
        close(fds[0]);
    }
    http_server_free(&server);
    api_free(&api);
    api_access_free(&access);
    event_base_free(base);
    return writes;
}

static void test_a_post_ends_early_when_it_must(void **state)
{
    char answer[1024];

    (void)state;
    assert_int_equal(count_writes(60000000, STAYS, false, answer, sizeof(answer)), 3);
    assert_non_null(strstr(answer, "HTTP/1.1 200 "));
    assert_int_equal(count_writes(60000000, HALF_CLOSES, false, answer, sizeof(answer)), 3);
    assert_non_null(strstr(answer, "HTTP/1.1 200 "));
    assert_int_equal(count_writes(60000000, LEAVES, false, answer, sizeof(answer)), 1);
    assert_int_equal(count_writes(60000000, STAYS, true, answer, sizeof(answer)), 1);
    assert_non_null(strstr(answer, "HTTP/1.1 500 "));
    assert_int_equal(count_writes(1000, STAYS, false, answer, sizeof(answer)), 1);
    assert_non_null(strstr(answer, "HTTP/1.1 500 "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_post_ends_early_when_it_must),
    };

    return cmocka_run_group_tests_name("api/hraftd", tests, NULL, NULL);
}
