#include "net/inbound.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/error.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/port_owner.h"
#include "net/resolve.h"

enum { HELLO_TIMEOUT_S = 3, HELLO_BYTES_MAX = 4096 };

struct inbound {
    struct inbound_config config;
    struct evconnlistener *listener;
    struct list connections;
    uint32_t count;
};

struct connection {
    struct list link;
    struct inbound *inbound;
    struct bufferevent *bev;
    struct event *deadline; /* until the hello was welcome */
    bool is_greeted, is_refused, is_reading_payload;
    uint64_t from;
    char name[NET_NAME_MAX];
    char origin[64]; /* address and port, for notes */
    struct frame_header header;
};

static void connection_free(struct connection *c)
{
    list_remove(&c->link);
    c->inbound->count--;
    event_free(c->deadline);
    bufferevent_free(c->bev);
    free(c);
}

static void refuse(struct connection *c, const char *why)
{
    char text[400];

    snprintf(text, sizeof(text), "closing the connection from %s%s%s: %s", c->name,
             c->name[0] != '\0' ? " at " : "", c->origin, why);
    c->inbound->config.note(c->inbound->config.ctx, text);
    connection_free(c);
}

static void answer_hello(struct connection *c, const struct net_hello_answer *answer)
{
    struct buf payload = {0};
    struct dkv_transport *transport = c->inbound->config.transport;

    net_hello_answer_encode(&payload, answer);
    frame_add(bufferevent_get_output(c->bev), FRAME_HELLO_ANSWER, &payload);
    buf_fini(&payload);
    if (transport->ops->flush != NULL)
        (void)transport->ops->flush(transport, c->bev);
}

/* A transport that can prove names has the last word on who is calling. */
static bool name_is_proved(struct connection *c, const struct net_hello *hello,
                           struct net_hello_answer *answer)
{
    struct dkv_transport *transport = c->inbound->config.transport;
    struct dkv_peer peer = {0};

    if (!(transport->caps & DKV_CAP_PEER_NAME))
        return true;
    if (transport->ops->peer(transport, c->bev, &peer) == DKV_OK &&
        (peer.flags & DKV_PEER_VERIFIED) && strcmp(peer.name, hello->name) == 0)
        return true;
    answer->verdict = NET_UNKNOWN_NODE;
    snprintf(answer->why, sizeof(answer->why), "the certificate does not name node %s",
             hello->name);
    return false;
}

/* False if the connection is gone. */
static bool on_hello(struct connection *c, const uint8_t *data, size_t len)
{
    struct net_hello hello;
    struct net_hello_answer answer = {.verdict = NET_WELCOME};

    if (net_hello_decode(data, len, &hello) != DKV_OK) {
        refuse(c, "its hello makes no sense");
        return false;
    }
    memcpy(c->name, hello.name, sizeof(c->name));
    if (name_is_proved(c, &hello, &answer))
        c->inbound->config.greet(c->inbound->config.ctx, &hello, &answer);
    answer_hello(c, &answer);
    if (answer.verdict != NET_WELCOME) {
        /* The peer reads the answer and closes; the deadline is for one that does not. */
        c->is_refused = true;
        return false;
    }
    c->from = hello.from;
    c->is_greeted = true;
    (void)event_del(c->deadline);
    return true;
}

/* False if the connection is gone or waits for more bytes. */
static bool take_payload(struct connection *c, struct evbuffer *input)
{
    size_t len = c->header.payload_len;
    struct blob *payload;
    bool goes_on = true;

    if (evbuffer_get_length(input) < len)
        return false;
    payload = blob_try((uint32_t)len);
    if (payload == NULL) {
        refuse(c, "no memory for a frame");
        return false;
    }
    (void)evbuffer_remove(input, payload->bytes, len);
    c->is_reading_payload = false;
    if (!frame_payload_is_intact(&c->header, payload->bytes)) {
        refuse(c, "a frame was damaged on the way");
        goes_on = false;
    } else if (!c->is_greeted) {
        goes_on = on_hello(c, payload->bytes, len);
    } else {
        c->inbound->config.frame(c->inbound->config.ctx, c->from, c->header.type, payload);
    }
    blob_unref(payload);
    return goes_on;
}

static bool take_header(struct connection *c, struct evbuffer *input)
{
    uint8_t bytes[FRAME_HEADER_BYTES];
    const char *why = "out of order";

    if (evbuffer_get_length(input) < sizeof(bytes))
        return false;
    (void)evbuffer_remove(input, bytes, sizeof(bytes));
    if (frame_decode_header(bytes, &c->header, &why) != DKV_OK ||
        (c->header.type == FRAME_HELLO) == c->is_greeted ||
        (!c->is_greeted && c->header.payload_len > HELLO_BYTES_MAX)) {
        refuse(c, why);
        return false;
    }
    c->is_reading_payload = true;
    return true;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    struct evbuffer *input = bufferevent_get_input(bev);

    if (c->is_refused) {
        (void)evbuffer_drain(input, evbuffer_get_length(input));
        return;
    }
    while (c->is_reading_payload ? take_payload(c, input) : take_header(c, input))
        ;
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct connection *c = arg;

    (void)bev;
    if (what & BEV_EVENT_CONNECTED)
        return;
    connection_free(c);
}

/* From the accept on, however the bytes trickle. */
static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;

    (void)fd;
    (void)what;
    if (c->is_refused)
        connection_free(c);
    else
        refuse(c, "no hello in time");
}

/* Who says nothing gives way, the oldest first: a member says its hello at once. */
static bool make_room(struct inbound *inbound)
{
    struct list *at = inbound->connections.next;

    if (inbound->count < inbound->config.connections_max)
        return true;
    while (at != &inbound->connections) {
        struct connection *c = container_of(at, struct connection, link);

        if (!c->is_greeted) {
            refuse(c, "it has said nothing that is known, and others wait");
            return true;
        }
        at = at->next;
    }
    return false;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address,
                      int address_len, void *arg)
{
    struct inbound *inbound = arg;
    struct dkv_transport *transport = inbound->config.transport;
    struct timeval limit = {.tv_sec = HELLO_TIMEOUT_S};
    struct connection *c;
    struct dkv_error err = {0};
    char host[48] = "?", port[8] = "?";
    int status;

    (void)listener;
    if (!make_room(inbound)) {
        inbound->config.note(inbound->config.ctx,
                             "closing a new connection: too many are open that peers made");
        close(fd);
        return;
    }
    c = xcalloc(1, sizeof(*c));
    status = transport->ops->wrap(transport, inbound->config.base, fd, DKV_ROLE_SERVER, NULL,
                                  &c->bev, &err);
    if (status != DKV_OK && status != DKV_PENDING) {
        inbound->config.note(inbound->config.ctx, err.text);
        close(fd);
        free(c);
        return;
    }
    (void)getnameinfo(address, (socklen_t)address_len, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(c->origin, sizeof(c->origin), "%s:%s", host, port);
    c->inbound = inbound;
    inbound->count++;
    list_push(&inbound->connections, &c->link);
    bufferevent_setcb(c->bev, on_read, NULL, on_event, c);
    c->deadline = evtimer_new(inbound->config.base, on_deadline, c);
    dkv_assert(c->deadline != NULL); /* libevent got xmalloc, or memory is out */
    (void)event_add(c->deadline, &limit);
    (void)bufferevent_enable(c->bev, EV_READ);
}

static int listen_on(struct inbound *inbound, const struct addrinfo *at, const char *listen_address,
                     struct dkv_error *err)
{
    inbound->listener =
        evconnlistener_new_bind(inbound->config.base, on_accept, inbound,
                                LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE,
                                128, at->ai_addr, (int)at->ai_addrlen);
    if (inbound->listener != NULL)
        return DKV_OK;
    if (errno == EADDRINUSE) {
        char owner[96] = "";

        port_owner_find(at->ai_addr, owner, sizeof(owner));
        return dkv_error_set(
            err, DKV_EUNAVAIL,
            "listen for peers on %s: the address is in use by %s; stop it or set peer.listen",
            listen_address, owner[0] == '\0' ? "another process" : owner);
    }
    return dkv_error_set(err, status_from_errno(errno), "listen for peers on %s: %s",
                         listen_address, strerror(errno));
}

int inbound_open(const struct inbound_config *config, const char *listen_address,
                 struct inbound **inbound_out, struct dkv_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    struct inbound *inbound;
    char host[256], port[8];
    int status, error;

    if (!resolve_split(listen_address, host, sizeof(host), port, sizeof(port)))
        return dkv_error_set(err, DKV_EINVAL, "peer.listen: %s is not host:port", listen_address);
    error = getaddrinfo(host, port, &hints, &list);
    if (error != 0)
        return dkv_error_set(err, DKV_EINVAL, "peer.listen: %s: %s", listen_address,
                             gai_strerror(error));
    inbound = xcalloc(1, sizeof(*inbound));
    inbound->config = *config;
    list_init(&inbound->connections);
    status = listen_on(inbound, list, listen_address, err);
    freeaddrinfo(list);
    if (status != DKV_OK) {
        free(inbound);
        return status;
    }
    *inbound_out = inbound;
    return DKV_OK;
}

void inbound_close(struct inbound **inbound)
{
    struct inbound *i = *inbound;

    if (i == NULL)
        return;
    *inbound = NULL;
    evconnlistener_free(i->listener);
    while (!list_is_empty(&i->connections))
        connection_free(container_of(i->connections.next, struct connection, link));
    free(i);
}

uint16_t inbound_port(const struct inbound *inbound)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    if (getsockname(evconnlistener_get_fd(inbound->listener), (struct sockaddr *)&address, &len) !=
        0)
        return 0;
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}
