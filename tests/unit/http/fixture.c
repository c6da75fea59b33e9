#include "fixture.h"

struct fixture *the;

static uint64_t fixture_now(void *ctx)
{
    return ((struct fixture *)ctx)->now_us;
}

static void fixture_warn(void *ctx, const char *text)
{
    (void)text;
    ((struct fixture *)ctx)->warnings++;
}

static void on_abort(struct http_request *req, enum http_abort why)
{
    (void)req;
    the->aborts++;
    the->abort_why = why;
}

static void on_drain(struct http_request *req)
{
    (void)req;
    the->drains++;
}

static bool path_is(const struct http_request *req, const char *path)
{
    return req->path.len == strlen(path) && memcmp(req->path.data, path, req->path.len) == 0;
}

/* /later is kept for the test to answer, /echo sends the body back, the rest is answered "ok". */
static void on_request(void *ctx, struct http_request *req)
{
    struct fixture *f = ctx;

    f->handled++;
    f->last_body_len = req->body.len < sizeof(f->last_body) ? req->body.len : sizeof(f->last_body);
    if (f->last_body_len > 0)
        memcpy(f->last_body, req->body.data, f->last_body_len);
    if (path_is(req, "/later")) {
        assert_true(f->kept_count < KEPT_MAX);
        req->on_abort = on_abort;
        req->on_drain = on_drain;
        f->kept[f->kept_count++] = req;
    } else if (path_is(req, "/echo")) {
        http_reply(req, 200, NULL, req->body.data, req->body.len);
    } else {
        http_reply(req, 200, NULL, "ok", 2);
    }
}

static uint64_t on_body_limit(void *ctx, struct http_request *req)
{
    struct fixture *f = ctx;

    if (path_is(req, "/forbidden"))
        http_reply(req, 403, NULL, "no", 2);
    return f->body_limit;
}

static bool is_urgent(void *ctx, const struct http_request *req)
{
    (void)ctx;
    return path_is(req, "/urgent");
}

static void on_slow(void *ctx, const struct http_request *req, int status, uint64_t elapsed_us)
{
    struct fixture *f = ctx;

    assert_true(path_is(req, "/later"));
    f->slow_count++;
    f->slow_status = status;
    f->slow_us = elapsed_us;
}

void restart(void)
{
    struct http_handler handler = {.ctx = the,
                                   .request = on_request,
                                   .body_limit = on_body_limit,
                                   .slow = on_slow,
                                   .is_urgent = is_urgent};

    http_server_free(&the->server);
    the->server = http_server_new(&the->config, the->base, &handler);
}

int setup(void **state)
{
    struct event_config *plain = event_config_new();

    signal(SIGPIPE, SIG_IGN);
    the = xcalloc(1, sizeof(*the));
    event_config_set_flag(plain, EVENT_BASE_FLAG_NOLOCK);
    the->base = event_base_new_with_config(plain);
    event_config_free(plain);
    the->now_us = 1000 * SECOND;
    the->body_limit = UINT64_MAX;
    http_config_init(&the->config);
    the->config.now_us = fixture_now;
    the->config.clock_ctx = the;
    the->config.warn = fixture_warn;
    the->config.warn_ctx = the;
    restart();
    *state = the;
    return 0;
}

int teardown(void **state)
{
    (void)state;
    http_server_free(&the->server);
    event_base_free(the->base);
    free(the);
    return 0;
}

int client_new(void)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    http_server_adopt(the->server, fds[1]);
    return fds[0];
}

void client_send_bytes(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t sent = write(fd, p, len);

        if (sent < 0) {
            if (errno != EAGAIN)
                return; /* the server has closed: what it answered is what the test looks at */
            turn();
            continue;
        }
        p += sent;
        len -= (size_t)sent;
    }
}

void client_send(int fd, const char *text)
{
    client_send_bytes(fd, text, strlen(text));
}

void turn(void)
{
    event_base_loop(the->base, EVLOOP_NONBLOCK);
}

void forget(void)
{
    the->received_len = 0;
}

/* False at the end of the stream. */
static bool receive(int fd)
{
    char *to = the->received + the->received_len;
    size_t room = sizeof(the->received) - 1 - the->received_len;
    ssize_t got = room == 0 ? -1 : read(fd, to, room);

    if (got > 0)
        the->received_len += (size_t)got;
    the->received[the->received_len] = '\0';
    return got > 0 || (got < 0 && errno == EAGAIN);
}

void expect(int fd, const char *text)
{
    uint64_t until = clock_now_us() + 5 * SECOND;

    the->received[the->received_len] = '\0';
    while (strstr(the->received, text) == NULL) {
        turn();
        if (!receive(fd) && strstr(the->received, text) == NULL)
            fail_msg("the server closed before '%s'; received: %s", text, the->received);
        if (clock_now_us() > until)
            fail_msg("no '%s' came; received: %s", text, the->received);
    }
}

void expect_end(int fd)
{
    uint64_t until = clock_now_us() + 5 * SECOND;

    do {
        turn();
        if (clock_now_us() > until)
            fail_msg("the server did not close; received: %s", the->received);
    } while (receive(fd));
}

unsigned count_received(const char *text)
{
    unsigned count = 0;

    for (const char *at = the->received; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

void pass_time(uint64_t us)
{
    turn();
    the->now_us += us;
    http__server_sweep(the->server);
    turn();
}
