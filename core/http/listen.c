#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <event2/bufferevent.h>
#include <event2/listener.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/port_owner.h"
#include "http/connection.h"
#include "http/server.h"

struct listener {
    struct list link;
    struct evconnlistener *events;
};

/* ---- Limits of connections ---- */

/* Loopback is exempt: whoever is on this machine has other ways to hurt it, and a proxy or a load
 * generator there is many clients. */
static uint8_t address_of(const struct sockaddr *sa, uint8_t ip[16])
{
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *sin = (const void *)sa;

        memcpy(ip, &sin->sin_addr, 4);
        return ip[0] == 127 ? 0 : 4;
    }
    if (sa->sa_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const void *)sa;

        if (IN6_IS_ADDR_LOOPBACK(&sin6->sin6_addr))
            return 0;
        memcpy(ip, &sin6->sin6_addr, 16);
        /* One subscriber has a whole /64. */
        return IN6_IS_ADDR_V4MAPPED(&sin6->sin6_addr) ? 16 : 8;
    }
    return 0;
}

static bool count_address(struct http_server *server, const uint8_t *ip, uint8_t len)
{
    uint32_t max = server->config.connections_per_ip_max;
    uintptr_t count;
    void **slot;

    if (len == 0 || max == 0)
        return true;
    slot = map_put(server->per_ip, (struct dkv_slice){ip, len});
    count = (uintptr_t)*slot;
    if (count >= max)
        return false;
    *slot = (void *)(count + 1);
    return true;
}

void http__server_conn_gone(struct http_server *server, struct http_conn *conn)
{
    struct dkv_slice key = {conn->ip, conn->ip_len};
    void **slot;

    server->stats.connections--;
    if (conn->ip_len > 0 && server->config.connections_per_ip_max > 0) {
        slot = map_get(server->per_ip, key);
        dkv_assert(slot != NULL && *slot != NULL);
        *slot = (void *)((uintptr_t)*slot - 1);
        if (*slot == NULL)
            map_remove(server->per_ip, key, NULL);
    }
}

/* Best effort: the client may have sent something already, and then sees a reset instead. */
static void turn_away(struct http_server *server, evutil_socket_t fd, const char *why)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n"
                                 "Retry-After: 1\r\nConnection: close\r\n\r\n";

    server->stats.refused++;
    http__server_warn(server, why);
    if (!server->config.transport.is_encrypted)
        (void)send(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

static void admit(struct http_server *server, evutil_socket_t fd, const struct sockaddr *sa)
{
    struct dkv_error err = {0};
    struct bufferevent *bev;
    struct http_conn *conn;
    uint8_t ip[16], ip_len = address_of(sa, ip);
    int on = 1;

    if (server->stats.connections >= server->config.connections_max) {
        turn_away(server, fd, "refused a connection: http.max_connections is reached");
        return;
    }
    if (!count_address(server, ip, ip_len)) {
        turn_away(server, fd, "refused a connection: http.max_connections_per_ip is reached");
        return;
    }
    /* Answers are written whole; the kernel has nothing to wait for. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (server->config.transport.wrap(server->config.transport.ctx, server->base, fd, &bev, &err) <
        0) {
        struct http_conn unborn = {.ip_len = ip_len};

        memcpy(unborn.ip, ip, ip_len);
        server->stats.connections++;
        http__server_conn_gone(server, &unborn);
        turn_away(server, fd, err.text);
        return;
    }
    conn = http__conn_new(server, bev);
    memcpy(conn->ip, ip, ip_len);
    conn->ip_len = ip_len;
    if (sa->sa_family == AF_INET)
        evutil_inet_ntop(AF_INET, &((const struct sockaddr_in *)(const void *)sa)->sin_addr,
                         conn->peer, sizeof(conn->peer));
    else if (sa->sa_family == AF_INET6)
        evutil_inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr,
                         conn->peer, sizeof(conn->peer));
    server->stats.accepted++;
    server->stats.connections++;
    list_push(&server->open, &conn->link);
}

void http_server_adopt(struct http_server *server, evutil_socket_t fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);

    http__now(server);
    (void)getpeername(fd, (struct sockaddr *)&ss, &len);
    admit(server, fd, (struct sockaddr *)&ss);
}

/* ---- Accepting ---- */

static void on_accept(struct evconnlistener *events, evutil_socket_t fd, struct sockaddr *sa,
                      int len, void *arg)
{
    struct http_server *server = arg;

    (void)events;
    (void)len;
    http__now(server);
    admit(server, fd, sa);
}

static int take_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* A listening socket stays readable while nobody can be accepted, so it must not be watched until
 * a while later.  The descriptor held in reserve lets one client be told. */
static void on_accept_error(struct evconnlistener *events, void *arg)
{
    struct http_server *server = arg;
    int error = EVUTIL_SOCKET_ERROR(), fd;

    http__now(server);
    if (error == ECONNABORTED || error == EPROTO)
        return;
    if ((error == EMFILE || error == ENFILE) && server->reserve_fd >= 0) {
        close(server->reserve_fd);
        fd = accept4(evconnlistener_get_fd(events), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0)
            turn_away(server, fd, "refused a connection: no file descriptors left");
        server->reserve_fd = take_reserve();
    } else {
        http__server_warn(server, "accepting connections fails; trying again later");
    }
    http__listeners_pause(server);
}

void http__listeners_pause(struct http_server *server)
{
    server->is_accepting = false;
    for (struct list *node = server->listeners.next; node != &server->listeners; node = node->next)
        evconnlistener_disable(container_of(node, struct listener, link)->events);
}

void http__listeners_resume(struct http_server *server)
{
    if (server->is_accepting)
        return;
    server->is_accepting = true;
    if (server->reserve_fd < 0)
        server->reserve_fd = take_reserve();
    for (struct list *node = server->listeners.next; node != &server->listeners; node = node->next)
        evconnlistener_enable(container_of(node, struct listener, link)->events);
}

void http__listeners_free(struct http_server *server)
{
    struct list *node;

    while ((node = list_pop(&server->listeners)) != NULL) {
        struct listener *listener = container_of(node, struct listener, link);

        evconnlistener_free(listener->events);
        free(listener);
    }
    if (server->reserve_fd >= 0)
        close(server->reserve_fd);
    server->reserve_fd = -1;
}

/* ---- Listening ---- */

/* "[v6]:port", "v4:port" or "name:port" into host and port. */
static int split_address(const char *address, char host[256], const char **port_out,
                         struct dkv_error *err)
{
    const char *colon = strrchr(address, ':'), *from = address;
    size_t len;

    if (colon == NULL || colon[1] == '\0' || colon == address)
        return dkv_error_set(err, DKV_EINVAL, "listen on %s: not host:port", address);
    len = (size_t)(colon - address);
    if (*from == '[') {
        if (len < 3 || colon[-1] != ']')
            return dkv_error_set(err, DKV_EINVAL, "listen on %s: not [address]:port", address);
        from++;
        len -= 2;
    }
    if (len >= 256)
        return dkv_error_set(err, DKV_EINVAL, "listen on %.60s...: too long", address);
    memcpy(host, from, len);
    host[len] = '\0';
    *port_out = colon + 1;
    return DKV_OK;
}

static int resolve(const char *address, struct addrinfo **list_out, struct dkv_error *err)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    char host[256];
    const char *port = NULL;
    int status = split_address(address, host, &port, err);

    if (status != DKV_OK)
        return status;
    status = getaddrinfo(host, port, &hints, list_out);
    if (status != 0)
        return dkv_error_set(err, DKV_EINVAL, "listen on %s: %s", address, gai_strerror(status));
    return DKV_OK;
}

static int explain_bind(const char *address, const struct sockaddr *sa, int error,
                        struct dkv_error *err)
{
    char owner[96] = "";

    switch (error) {
    case EADDRINUSE:
        port_owner_find(sa, owner, sizeof(owner));
        return dkv_error_set(err, DKV_EUNAVAIL, "listen on %s: the address is in use%s%s", address,
                             owner[0] != '\0' ? " by " : "", owner);
    case EADDRNOTAVAIL:
        return dkv_error_set(err, DKV_EINVAL, "listen on %s: this machine has no such address",
                             address);
    case EACCES:
    case EPERM:
        return dkv_error_set(err, DKV_EPERM,
                             "listen on %s: not permitted; ports below 1024 need privileges",
                             address);
    default:
        return dkv_error_set(err, status_from_errno(error), "listen on %s: %s", address,
                             strerror(error));
    }
}

static int bind_address(const char *address, bool reuse_port, evutil_socket_t *fd_out,
                        struct dkv_error *err)
{
    struct addrinfo *list;
    int on = 1, error, status = resolve(address, &list, err);
    evutil_socket_t fd;

    if (status != DKV_OK)
        return status;
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        error = errno;
        freeaddrinfo(list);
        return dkv_error_set(err, status_from_errno(error), "listen on %s: socket: %s", address,
                             strerror(error));
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (list->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    error = bind(fd, list->ai_addr, list->ai_addrlen) == 0 ? 0 : errno;
    if (error == 0 && listen(fd, 1) != 0)
        error = errno;
    status = error == 0 ? DKV_OK : explain_bind(address, list->ai_addr, error, err);
    freeaddrinfo(list);
    if (status == DKV_OK)
        *fd_out = fd;
    else
        close(fd);
    return status;
}

int http_address_probe(const char *address, struct dkv_error *err)
{
    evutil_socket_t fd;
    int status = bind_address(address, false, &fd, err);

    if (status == DKV_OK)
        close(fd);
    return status;
}

static void remember_address(struct http_server *server, evutil_socket_t fd)
{
    struct sockaddr_storage ss = {0};
    socklen_t len = sizeof(ss);
    char ip[INET6_ADDRSTRLEN] = "";

    getsockname(fd, (struct sockaddr *)&ss, &len);
    if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *sin6 = (const void *)&ss;

        evutil_inet_ntop(AF_INET6, &sin6->sin6_addr, ip, sizeof(ip));
        snprintf(server->address, sizeof(server->address), "[%s]:%u", ip, ntohs(sin6->sin6_port));
    } else {
        const struct sockaddr_in *sin = (const void *)&ss;

        evutil_inet_ntop(AF_INET, &sin->sin_addr, ip, sizeof(ip));
        snprintf(server->address, sizeof(server->address), "%s:%u", ip, ntohs(sin->sin_port));
    }
}

int http_server_listen(struct http_server *server, const char *address, struct dkv_error *err)
{
    struct listener *listener;
    evutil_socket_t fd;
    int status = bind_address(address, server->config.reuse_port, &fd, err);

    if (status != DKV_OK)
        return status;
    listener = xcalloc(1, sizeof(*listener));
    listener->events = evconnlistener_new(server->base, on_accept, server,
                                          LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC,
                                          server->config.backlog, fd);
    if (listener->events == NULL) {
        close(fd);
        free(listener);
        return dkv_error_set(err, DKV_ENOMEM, "listen on %s: no memory", address);
    }
    evconnlistener_set_error_cb(listener->events, on_accept_error);
    list_push(&server->listeners, &listener->link);
    if (server->reserve_fd < 0)
        server->reserve_fd = take_reserve();
    remember_address(server, fd);
    return DKV_OK;
}

const char *http_server_address(const struct http_server *server)
{
    return server->address;
}
