#include "bench/load/engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

#define TICK_NS  UINT64_C(100000000)
#define RETRY_NS UINT64_C(20000000)

enum { READ_SIZE = 65536, EVENTS_MAX = 128 };

static void end_request(struct engine *engine, struct connection *c, enum ending ending,
                        uint64_t now);

uint64_t engine_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int server_parse(const char *text, struct server *server_out)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    char host[64];
    const char *colon;

    if (strncmp(text, "http://", 7) == 0)
        text += 7;
    colon = strrchr(text, ':');
    if (colon == NULL || colon == text || strlen(text) >= sizeof(host))
        return -1;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
        return -1;
    memcpy(&server_out->address, found->ai_addr, sizeof(server_out->address));
    strcpy(server_out->name, text);
    freeaddrinfo(found);
    return 0;
}

static int open_socket(const struct server *server)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

    if (fd < 0)
        return -1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (connect(fd, (const struct sockaddr *)&server->address, sizeof(server->address)) != 0 &&
        errno != EINPROGRESS) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static void watch(const struct engine *engine, struct connection *c, int op, bool want_write)
{
    struct epoll_event event = {.events = want_write ? EPOLLIN | EPOLLOUT : EPOLLIN, .data.ptr = c};

    epoll_ctl(engine->epoll_fd, op, c->fd, &event);
    c->want_write = want_write;
}

static void connect_next(struct engine *engine, struct connection *c, uint64_t now)
{
    c->fd = open_socket(&engine->servers[c->server]);
    if (c->fd < 0) {
        engine->connect_failures++;
        c->server = (c->server + 1) % engine->servers_count;
        c->retry_ns = now + RETRY_NS;
        return;
    }
    c->connecting = true;
    watch(engine, c, EPOLL_CTL_ADD, true);
}

/* What was sent may have been done; what was not, was not. */
static void drop(struct engine *engine, struct connection *c, enum ending ending, uint64_t now)
{
    if (c->connecting) {
        engine->connect_failures++;
        ending = ENDING_REFUSED;
    }
    close(c->fd);
    c->fd = -1;
    c->connecting = false;
    /* A server that answers and then closes in good order is not in trouble. */
    if (ending != ENDING_ANSWER) {
        c->server = (c->server + 1) % engine->servers_count;
        c->retry_ns = now + RETRY_NS;
    }
    if (c->busy)
        end_request(engine, c, ending, now);
}

static void send_rest(struct engine *engine, struct connection *c, uint64_t now)
{
    ssize_t sent = send(c->fd, c->out.data + c->out_done, c->out.len - c->out_done, MSG_NOSIGNAL);

    if (sent < 0 && errno != EAGAIN && errno != EINTR) {
        drop(engine, c, ENDING_BROKEN, now);
        return;
    }
    if (sent > 0)
        c->out_done += (size_t)sent;
    if ((c->out_done < c->out.len) != c->want_write)
        watch(engine, c, EPOLL_CTL_MOD, c->out_done < c->out.len);
}

/* Gives a free connection its next request, if there is one now. */
static void start_next(struct engine *engine, struct connection *c, uint64_t now, uint64_t *wake)
{
    uint64_t at = UINT64_MAX;

    if (engine->ended)
        return;
    buf_reset(&c->out);
    switch (engine->workload.next(engine->workload.context, c, now, &at)) {
    case NEXT_END:
        engine->ended = true;
        return;
    case NEXT_LATER:
        if (at < *wake)
            *wake = at;
        return;
    case NEXT_REQUEST:
        break;
    }
    c->busy = true;
    engine->busy_count++;
    c->sent_ns = now;
    c->out_done = 0;
    response_reset(&c->response);
    send_rest(engine, c, now);
}

static void end_request(struct engine *engine, struct connection *c, enum ending ending,
                        uint64_t now)
{
    c->busy = false;
    engine->busy_count--;
    engine->workload.done(engine->workload.context, c, ending, now);
}

static void receive(struct engine *engine, struct connection *c)
{
    static char data[READ_SIZE];
    ssize_t got = recv(c->fd, data, sizeof(data), 0);
    uint64_t now = engine_now_ns(), wake = UINT64_MAX;

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got > 0 && c->busy)
        response_feed(&c->response, data, (size_t)got);
    else if (c->busy)
        response_eof(&c->response);
    if (got <= 0 || !c->busy || c->response.state == RESPONSE_BROKEN) {
        bool answered = c->busy && c->response.state == RESPONSE_DONE;

        drop(engine, c, answered ? ENDING_ANSWER : ENDING_BROKEN, now);
        return;
    }
    if (c->response.state != RESPONSE_DONE)
        return;
    if (!c->response.keep_alive) {
        drop(engine, c, ENDING_ANSWER, now);
        return;
    }
    end_request(engine, c, ENDING_ANSWER, now);
    if (!c->move)
        start_next(engine, c, now, &wake);
}

static void connected(struct engine *engine, struct connection *c, uint32_t events)
{
    uint64_t now = engine_now_ns();
    int error = 0;
    socklen_t size = sizeof(error);

    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0 ||
        (events & EPOLLERR) != 0) {
        drop(engine, c, ENDING_REFUSED, now);
        return;
    }
    c->connecting = false;
    engine->connects++;
    watch(engine, c, EPOLL_CTL_MOD, false);
}

static void handle(struct engine *engine, const struct epoll_event *event)
{
    struct connection *c = event->data.ptr;

    if (c == NULL) {
        uint64_t count;
        ssize_t ignored = read(engine->timer_fd, &count, sizeof(count));

        (void)ignored;
        return;
    }
    if (c->fd < 0)
        return;
    if (c->connecting) {
        connected(engine, c, event->events);
        return;
    }
    if ((event->events & EPOLLOUT) != 0)
        send_rest(engine, c, engine_now_ns());
    if (c->fd >= 0 && (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
        receive(engine, c);
}

static void move_on(const struct engine *engine, struct connection *c)
{
    c->move = false;
    if (engine->servers_count == 1)
        return;
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
    c->connecting = false;
    c->server = (c->server + 1) % engine->servers_count;
}

/* Opens what is closed, starts what is due; the time at which there is more to do. */
static uint64_t start_due(struct engine *engine, uint64_t now)
{
    uint64_t wake = UINT64_MAX;

    for (unsigned i = 0; i < engine->connections_count; i++) {
        struct connection *c = &engine->connections[i];

        if (c->move && !c->busy)
            move_on(engine, c);
        if (c->fd < 0 && now >= c->retry_ns && !engine->ended)
            connect_next(engine, c, now);
        else if (c->fd < 0 && c->retry_ns < wake)
            wake = c->retry_ns;
        if (c->fd >= 0 && !c->connecting && !c->busy)
            start_next(engine, c, now, &wake);
    }
    return wake;
}

static void check_timeouts(struct engine *engine, uint64_t now)
{
    for (unsigned i = 0; i < engine->connections_count; i++) {
        struct connection *c = &engine->connections[i];

        if (c->busy && now - c->sent_ns > engine->timeout_ns)
            drop(engine, c, ENDING_TIMED_OUT, now);
    }
}

static void arm(const struct engine *engine, uint64_t wake, uint64_t now)
{
    struct itimerspec when = {0};

    if (wake <= now)
        wake = now + 1;
    when.it_value.tv_sec = (time_t)(wake / 1000000000u);
    when.it_value.tv_nsec = (long)(wake % 1000000000u);
    timerfd_settime(engine->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

int engine_open(struct engine *engine)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

    engine->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    engine->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (engine->epoll_fd < 0 || engine->timer_fd < 0)
        return -1;
    engine->connections = xcalloc(engine->connections_count, sizeof(*engine->connections));
    for (unsigned i = 0; i < engine->connections_count; i++) {
        struct connection *c = &engine->connections[i];

        c->fd = -1;
        c->number = i;
        c->server = i % engine->servers_count;
        response_init(&c->response, engine->body_max);
    }
    return epoll_ctl(engine->epoll_fd, EPOLL_CTL_ADD, engine->timer_fd, &event);
}

void engine_run(struct engine *engine, const volatile int *stop)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t tick = engine_now_ns() + TICK_NS, armed = 0;

    while (*stop == 0 && (!engine->ended || engine->busy_count > 0)) {
        uint64_t now = engine_now_ns();
        uint64_t wake;
        int count;

        if (now >= tick) {
            check_timeouts(engine, now);
            if (!engine->workload.tick(engine->workload.context, now))
                engine->ended = true;
            tick = now + TICK_NS;
        }
        wake = engine->busy_count == engine->connections_count ? tick : start_due(engine, now);
        if (wake > tick)
            wake = tick;
        if (wake != armed)
            arm(engine, wake, now);
        armed = wake;
        count = epoll_wait(engine->epoll_fd, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++)
            handle(engine, &events[i]);
    }
}

void engine_close(struct engine *engine)
{
    for (unsigned i = 0; i < engine->connections_count; i++) {
        struct connection *c = &engine->connections[i];

        if (c->fd >= 0)
            close(c->fd);
        buf_fini(&c->out);
        response_fini(&c->response);
    }
    free(engine->connections);
    engine->connections = NULL;
    close(engine->epoll_fd);
    close(engine->timer_fd);
}

int engine_ask(const struct server *server, const struct buf *request, int timeout_ms,
               struct response *response)
{
    uint64_t end = engine_now_ns() + (uint64_t)timeout_ms * 1000000u;
    struct pollfd wait = {.fd = open_socket(server), .events = POLLOUT};
    size_t done = 0;
    char data[4096];

    if (wait.fd < 0)
        return -1;
    response_reset(response);
    while (response->state < RESPONSE_DONE) {
        uint64_t now = engine_now_ns();
        ssize_t size = -1;

        if (now >= end || poll(&wait, 1, (int)((end - now) / 1000000u) + 1) == 0) {
            errno = ETIMEDOUT;
            break;
        }
        if (wait.events == POLLOUT) {
            size = send(wait.fd, request->data + done, request->len - done, MSG_NOSIGNAL);
            done += size > 0 ? (size_t)size : 0;
            wait.events = done == request->len ? POLLIN : POLLOUT;
        } else {
            size = recv(wait.fd, data, sizeof(data), 0);
            if (size > 0)
                response_feed(response, data, (size_t)size);
            if (size == 0)
                response_eof(response);
        }
        if (size < 0 && errno != EAGAIN && errno != EINTR)
            break;
    }
    close(wait.fd);
    return response->state == RESPONSE_DONE ? 0 : -1;
}
