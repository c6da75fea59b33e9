/* The HTTP server alone against a bare bufferevent responder of the same bytes: how much of what
 * libevent can do is left when requests are really parsed.
 *
 *     http_bench [-c connections] [-s seconds] [-r rounds]
 *
 * Both servers run in threads of their own, one after the other, alternating; the load comes from
 * the main thread, which keeps one request outstanding on each connection.  "bare" is what one
 * writes first: look for an empty line, bufferevent_write.  "bare+flush" writes at once as the
 * server does, without a round of the event loop. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "base/clock.h"
#include "http/http.h"

#define CONNECTIONS_MAX 1024
#define ROUNDS_MAX      31

static const char body[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char request[] = "GET /kv/0123456789abcdef HTTP/1.1\r\nHost: 127.0.0.1:8500\r\n"
                              "User-Agent: bench\r\nAccept: */*\r\n\r\n";
static char fixed_answer[512];
static size_t fixed_len;

enum kind { BARE, BARE_FLUSH, SERVER, KINDS };
static const char *const kind_names[KINDS] = {"bare", "bare+flush", "server"};

struct responder {
    enum kind kind;
    pthread_t thread;
    struct event_base *base;
    struct http_server *server;
    unsigned short port;
    int ready[2];
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void answer_fixed(void *ctx, struct http_request *req)
{
    static const struct http_reply_fields fields = {
        .content_type = "application/octet-stream", .etag = 182734, .has_etag = true};

    (void)ctx;
    http_reply(req, 200, &fields, body, sizeof(body) - 1);
}

static void bare_read(struct bufferevent *bev, void *arg)
{
    const struct responder *r = arg;
    struct evbuffer *in = bufferevent_get_input(bev), *out = bufferevent_get_output(bev);
    struct evbuffer_ptr end;

    while ((end = evbuffer_search(in, "\r\n\r\n", 4, NULL)).pos >= 0) {
        evbuffer_drain(in, (size_t)end.pos + 4);
        bufferevent_write(bev, fixed_answer, fixed_len);
    }
    if (r->kind == BARE_FLUSH) {
        evbuffer_unfreeze(out, 1);
        evbuffer_write(out, bufferevent_getfd(bev));
        evbuffer_freeze(out, 1);
    }
}

static void bare_event(struct bufferevent *bev, short what, void *arg)
{
    (void)what;
    (void)arg;
    bufferevent_free(bev);
}

static void bare_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *sa, int len,
                        void *arg)
{
    struct responder *r = arg;
    struct bufferevent *bev = bufferevent_socket_new(r->base, fd, BEV_OPT_CLOSE_ON_FREE);
    int on = 1;

    (void)l;
    (void)sa;
    (void)len;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    bufferevent_setcb(bev, bare_read, NULL, bare_event, r);
    bufferevent_enable(bev, EV_READ);
    if (r->kind == BARE_FLUSH)
        bufferevent_disable(bev, EV_WRITE);
}

static void stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

static void *respond(void *arg)
{
    struct responder *r = arg;
    struct sockaddr_in sin = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct event_config *plain = event_config_new();
    struct evconnlistener *listener = NULL;
    struct event *stopper;
    char ok = 1;

    event_config_set_flag(plain, EVENT_BASE_FLAG_NOLOCK);
    r->base = event_base_new_with_config(plain);
    event_config_free(plain);
    if (r->kind == SERVER) {
        struct http_handler handler = {.request = answer_fixed};
        struct http_config config;
        struct dkv_error err;

        http_config_init(&config);
        r->server = http_server_new(&config, r->base, &handler);
        if (http_server_listen(r->server, "127.0.0.1:0", &err) != DKV_OK)
            die(err.text);
        r->port = (unsigned short)atoi(strrchr(http_server_address(r->server), ':') + 1);
    } else {
        socklen_t len = sizeof(sin);

        listener = evconnlistener_new_bind(r->base, bare_accept, r, LEV_OPT_CLOSE_ON_FREE, 511,
                                           (struct sockaddr *)&sin, sizeof(sin));
        if (listener == NULL ||
            getsockname(evconnlistener_get_fd(listener), (struct sockaddr *)&sin, &len) != 0)
            die("listen");
        r->port = ntohs(sin.sin_port);
    }
    stopper = event_new(r->base, r->ready[0], EV_READ, stop, r->base);
    event_add(stopper, NULL);
    if (write(r->ready[0], &ok, 1) != 1)
        die("write");
    event_base_dispatch(r->base);
    event_free(stopper);
    if (listener != NULL)
        evconnlistener_free(listener);
    http_server_free(&r->server);
    event_base_free(r->base);
    return NULL;
}

static int connect_to(unsigned short port)
{
    struct sockaddr_in sin = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&sin, sizeof(sin)) != 0)
        die("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    return fd;
}

/* Answers per second.  Each answer is as long as the first one was. */
static double drive(unsigned short port, int connections, double seconds)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC), fds[CONNECTIONS_MAX];
    struct epoll_event events[256];
    uint64_t begin, now, answers = 0;
    char room[4096];
    ssize_t answer_len;

    for (int i = 0; i < connections; i++) {
        struct epoll_event ev = {.events = EPOLLIN, .data.fd = fds[i] = connect_to(port)};

        if (write(fds[i], request, sizeof(request) - 1) < 0 || epoll < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &ev) != 0)
            die("client");
    }
    answer_len = recv(fds[0], room, sizeof(room), MSG_PEEK);
    if (answer_len != (ssize_t)fixed_len) {
        fprintf(stderr, "an answer has %zd bytes, not %zu\n", answer_len, fixed_len);
        exit(1);
    }
    begin = now = clock_now_us();
    while ((double)(now - begin) < seconds * 1e6) {
        int n = epoll_wait(epoll, events, 256, 1000);

        for (int i = 0; i < n; i++) {
            ssize_t got = read(events[i].data.fd, room, sizeof(room));

            if (got != answer_len)
                die("an answer of another length");
            answers++;
            if (write(events[i].data.fd, request, sizeof(request) - 1) < 0)
                die("write");
        }
        now = clock_now_us();
    }
    for (int i = 0; i < connections; i++)
        close(fds[i]);
    close(epoll);
    return (double)answers / ((double)(now - begin) / 1e6);
}

static double run(enum kind kind, int connections, double seconds)
{
    struct responder r = {.kind = kind};
    double rate;
    char ok;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, r.ready) != 0 ||
        pthread_create(&r.thread, NULL, respond, &r) != 0 || read(r.ready[1], &ok, 1) != 1)
        die("start");
    rate = drive(r.port, connections, seconds);
    if (write(r.ready[1], &ok, 1) != 1)
        die("stop");
    pthread_join(r.thread, NULL);
    close(r.ready[0]);
    close(r.ready[1]);
    return rate;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof(*values), compare);
    return values[count / 2];
}

int main(int argc, char **argv)
{
    int connections = 64, rounds = 5, option;
    double seconds = 1, rates[KINDS][ROUNDS_MAX], medians[KINDS];

    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt(argc, argv, "c:s:r:")) != -1) {
        if (option == 'c')
            connections = atoi(optarg);
        else if (option == 's')
            seconds = atof(optarg);
        else if (option == 'r')
            rounds = atoi(optarg);
        else
            return 64;
    }
    if (connections < 1 || connections > CONNECTIONS_MAX || rounds < 1 || rounds > ROUNDS_MAX)
        return 64;
    fixed_len = (size_t)snprintf(
        fixed_answer, sizeof(fixed_answer),
        "HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nCache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\nContent-Length: %zu\r\nETag: \"182734\"\r\n"
        "Content-Type: application/octet-stream\r\n\r\n%s",
        sizeof(body) - 1, body);
    for (int round = 0; round < rounds; round++)
        for (int kind = 0; kind < KINDS; kind++)
            rates[kind][round] = run((enum kind)kind, connections, seconds);
    for (int kind = 0; kind < KINDS; kind++)
        medians[kind] = median(rates[kind], rounds);
    for (int kind = 0; kind < KINDS; kind++)
        printf("%-10s %9.0f/s  %.2f x bare\n", kind_names[kind], medians[kind],
               medians[kind] / medians[BARE]);
    return 0;
}
