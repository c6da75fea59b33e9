/* Plain TCP: bufferevents on sockets, without any protocol of their own.
 *
 * flush() writes to the socket directly.  libevent would instead wait for the socket to become
 * writable: an epoll_ctl to ask for it, a turn of the loop, the write, an epoll_ctl to stop asking.
 * So the first flush that empties the output takes EV_WRITE away from the bufferevent; from then
 * on its owner must flush after every addition, and a flush that leaves something gives EV_WRITE
 * back until a later flush finds the output empty again. */
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "dkv/transport.h"

enum { MAX_SINGLE_BYTES = 256 * 1024 };

struct tcp_options {
    bool nodelay, keepalive;
    uint64_t keepalive_idle_ms, user_timeout_ms;
};

struct tcp_transport {
    struct dkv_transport base;
    struct tcp_options options;
};

static void set_option(evutil_socket_t fd, int level, int name, int value)
{
    /* A socket of another family (a test's socket pair) has no such option; it works without. */
    (void)setsockopt(fd, level, name, &value, sizeof(value));
}

static void tune(const struct tcp_options *options, evutil_socket_t fd)
{
    if (options->nodelay)
        set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (options->keepalive) {
        int seconds = (int)(options->keepalive_idle_ms / 1000);

        set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
        set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, seconds < 1 ? 1 : seconds);
        set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, seconds / 3 < 1 ? 1 : seconds / 3);
        set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 3);
    }
    if (options->user_timeout_ms != 0)
        set_option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
}

static int tcp_open(const struct dkv_transport_args *args, struct dkv_transport **transport_out,
                    struct dkv_error *err)
{
    struct tcp_transport *t = calloc(1, sizeof(*t));

    if (t == NULL) {
        err->status = DKV_ENOMEM;
        snprintf(err->text, sizeof(err->text), "out of memory");
        return DKV_ENOMEM;
    }
    t->options = *(const struct tcp_options *)args->options;
    *transport_out = &t->base;
    return DKV_OK;
}

static void tcp_close(struct dkv_transport *transport)
{
    free(transport);
}

static const struct tcp_options *options_of(const struct dkv_transport *transport)
{
    return &((const struct tcp_transport *)(const void *)transport)->options;
}

static int tcp_wrap(struct dkv_transport *transport, struct event_base *base, evutil_socket_t fd,
                    int role, const char *peer_name, struct bufferevent **bev_out,
                    struct dkv_error *err)
{
    struct bufferevent *bev;

    (void)role;
    (void)peer_name;
    if (fd >= 0 && evutil_make_socket_nonblocking(fd) != 0) {
        err->status = DKV_EINVAL;
        snprintf(err->text, sizeof(err->text), "socket %d: %s", (int)fd, strerror(errno));
        return DKV_EINVAL;
    }
    bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        err->status = DKV_ENOMEM;
        snprintf(err->text, sizeof(err->text), "no memory for a connection");
        return DKV_ENOMEM;
    }
    (void)bufferevent_set_max_single_read(bev, MAX_SINGLE_BYTES);
    (void)bufferevent_set_max_single_write(bev, MAX_SINGLE_BYTES);
    if (fd >= 0)
        tune(options_of(transport), fd);
    *bev_out = bev;
    return DKV_OK;
}

static int tcp_peer(struct dkv_transport *transport, struct bufferevent *bev,
                    struct dkv_peer *peer_out)
{
    (void)transport;
    (void)bev;
    *peer_out = (struct dkv_peer){.detail = "tcp"};
    return DKV_OK;
}

static void tcp_explain(struct dkv_transport *transport, struct bufferevent *bev,
                        struct dkv_error *why_out)
{
    int error = EVUTIL_SOCKET_ERROR();
    evutil_socket_t fd = bufferevent_getfd(bev);
    socklen_t len = sizeof(error);

    (void)transport;
    if (error == 0 && fd >= 0)
        (void)getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
    why_out->status = DKV_EIO;
    snprintf(why_out->text, sizeof(why_out->text), "%s",
             error == 0 ? "connection failed" : strerror(error));
}

/* Writing to a socket whose connect has failed would take the error away from libevent, which would
 * then report a connection.  The system call is made only while the loop writes as well: after the
 * first flush that emptied the output there is no doubt. */
static bool may_be_unconnected(struct bufferevent *bev, evutil_socket_t fd)
{
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);

    return (bufferevent_get_enabled(bev) & EV_WRITE) != 0 &&
           getpeername(fd, (struct sockaddr *)&peer, &len) != 0;
}

static int flush_blocked(struct bufferevent *bev)
{
    (void)bufferevent_enable(bev, EV_WRITE);
    return DKV_PENDING;
}

static int tcp_flush(struct dkv_transport *transport, struct bufferevent *bev)
{
    struct evbuffer *output = bufferevent_get_output(bev);
    evutil_socket_t fd = bufferevent_getfd(bev);
    int written, error;

    if (evbuffer_get_length(output) == 0)
        return DKV_OK;
    if (fd < 0 || may_be_unconnected(bev, fd))
        return DKV_PENDING;
    /* A bufferevent keeps the front of its output frozen against everybody else. */
    errno = 0;
    (void)evbuffer_unfreeze(output, 1);
    written = evbuffer_write(output, fd);
    error = errno;
    (void)evbuffer_freeze(output, 1);
    if (written > 0 && evbuffer_get_length(output) == 0) {
        if ((bufferevent_get_enabled(bev) & EV_WRITE) != 0) {
            tune(options_of(transport), fd); /* the first flush: the socket may be new to us */
            (void)bufferevent_disable(bev, EV_WRITE);
        }
        return DKV_OK;
    }
    (void)flush_blocked(bev);
    if (written >= 0 || error == EAGAIN || error == EINTR || error == ENOTCONN)
        return DKV_PENDING;
    return DKV_EIO; /* libevent meets the same error at its own write and reports it */
}

#define OPTION(field, kind, text, ...)                                                             \
    {                                                                                              \
        .type = (kind), .offset = offsetof(struct tcp_options, field), .help = (text), __VA_ARGS__ \
    }
static const struct dkv_option tcp_option_table[] = {
    OPTION(nodelay, DKV_OPTION_BOOL, "send small messages at once (TCP_NODELAY)", .name = "nodelay",
           .fallback = "yes"),
    OPTION(keepalive, DKV_OPTION_BOOL, "notice a peer that vanished while nothing is sent",
           .name = "keepalive", .fallback = "yes"),
    OPTION(keepalive_idle_ms, DKV_OPTION_DURATION, "silence before the first keepalive probe",
           .name = "keepalive_idle", .fallback = "15s", .min = 1000, .max = 7200000),
    OPTION(user_timeout_ms, DKV_OPTION_DURATION,
           "give a connection up when sent data is not acknowledged for this long; 0s: the "
           "system's default",
           .name = "user_timeout", .fallback = "10s", .min = 0, .max = 3600000),
    {.name = NULL},
};

static const struct dkv_transport_ops tcp_ops = {
    .size = sizeof(struct dkv_transport_ops),
    .open = tcp_open,
    .close = tcp_close,
    .wrap = tcp_wrap,
    .peer = tcp_peer,
    .explain = tcp_explain,
    .flush = tcp_flush,
};

DKV_PLUGIN_DECLARE(.name = "tcp", .version = PACKAGE_VERSION, .kind = DKV_PLUGIN_TRANSPORT,
                   .summary = "plain TCP", .options = tcp_option_table,
                   .options_size = sizeof(struct tcp_options), .ops.transport = &tcp_ops);
