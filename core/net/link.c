#include "net/link.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "net/frame.h"
#include "net/resolve.h"

enum {
    RETRY_FIRST_MS = 20,
    RETRY_MAX_MS = 1000, /* a peer that comes back is found within a second */
    HELLO_TIMEOUT_S = 3,
    NOTE_AGAIN_US = 60 * 1000 * 1000 /* a peer that stays away for the same reason */
};

enum link_state { LINK_WAITING, LINK_RESOLVING, LINK_CONNECTING, LINK_GREETING, LINK_READY };

struct link {
    struct link_config config;
    char *peer_name, *address;
    enum link_state state;
    struct event *timer;
    struct bufferevent *bev;
    struct resolve *resolve;
    uint32_t retry_ms;
    char noted[400]; /* why it was lost or did not come about; "" once it is ready */
    uint64_t noted_us;
};

static void begin(struct link *link);

static void retry_later(struct link *link)
{
    uint32_t jitter =
        (uint32_t)(link->config.env->ops->random(link->config.env) % (link->retry_ms / 2 + 1));
    uint32_t ms = link->retry_ms / 2 + jitter;
    struct timeval tv = {.tv_sec = ms / 1000, .tv_usec = (ms % 1000) * 1000};

    link->retry_ms = link->retry_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : link->retry_ms * 2;
    link->state = LINK_WAITING;
    (void)event_add(link->timer, &tv);
}

/* Tried again for as long as the peer is away: what was said is not said each time. */
static void note(struct link *link, const char *text)
{
    uint64_t now_us = link->config.env->ops->now_us(link->config.env);

    if (strcmp(link->noted, text) == 0 && now_us < link->noted_us + NOTE_AGAIN_US)
        return;
    snprintf(link->noted, sizeof(link->noted), "%s", text);
    link->noted_us = now_us;
    link->config.note(link->config.ctx, link->config.peer_id, text);
}

static void drop(struct link *link, const char *why)
{
    bool was_ready = link->state == LINK_READY;
    char text[sizeof(link->noted)];

    if (link->bev != NULL) {
        bufferevent_free(link->bev);
        link->bev = NULL;
    }
    snprintf(text, sizeof(text), "connection to %s (%s): %s", link->peer_name, link->address, why);
    note(link, text);
    retry_later(link);
    if (was_ready)
        link->config.lost(link->config.ctx, link->config.peer_id);
}

static void say_hello(struct link *link)
{
    struct timeval limit = {.tv_sec = HELLO_TIMEOUT_S};
    struct net_hello hello = *link->config.hello;
    struct buf payload = {0};

    hello.to = link->config.peer_id;
    net_hello_encode(&payload, &hello);
    frame_add(bufferevent_get_output(link->bev), FRAME_HELLO, &payload);
    buf_fini(&payload);
    link->state = LINK_GREETING;
    (void)event_add(link->timer, &limit);
    link_flush(link);
}

static void on_answer(struct link *link, const struct net_hello_answer *answer)
{
    if (answer->verdict != NET_WELCOME) {
        link->retry_ms = RETRY_MAX_MS;
        link->config.refused(link->config.ctx, link->config.peer_id, answer);
        drop(link, answer->why);
        return;
    }
    (void)event_del(link->timer);
    link->state = LINK_READY;
    link->retry_ms = RETRY_FIRST_MS;
    link->noted[0] = '\0';
    link->config.ready(link->config.ctx, link->config.peer_id);
}

/* The peer sends nothing on this connection but the answer to our hello. */
static void on_read(struct bufferevent *bev, void *arg)
{
    struct link *link = arg;
    struct evbuffer *input = bufferevent_get_input(bev);
    struct frame_header header;
    struct net_hello_answer answer;
    const char *why = "the peer sent what nobody asked for";
    uint8_t *bytes;
    size_t len;

    if (evbuffer_get_length(input) < FRAME_HEADER_BYTES)
        return;
    bytes = evbuffer_pullup(input, FRAME_HEADER_BYTES);
    if (link->state != LINK_GREETING || frame_decode_header(bytes, &header, &why) != DKV_OK ||
        header.type != FRAME_HELLO_ANSWER || header.payload_len > 4096) {
        drop(link, why);
        return;
    }
    len = FRAME_HEADER_BYTES + header.payload_len;
    if (evbuffer_get_length(input) < len)
        return;
    bytes = evbuffer_pullup(input, (ev_ssize_t)len) + FRAME_HEADER_BYTES;
    if (!frame_payload_is_intact(&header, bytes) ||
        net_hello_answer_decode(bytes, header.payload_len, &answer) != DKV_OK) {
        drop(link, "the answer to our hello is damaged");
        return;
    }
    (void)evbuffer_drain(input, len);
    on_answer(link, &answer);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct link *link = arg;
    struct dkv_transport *transport = link->config.transport;
    struct dkv_error why = {0};

    if (what & BEV_EVENT_CONNECTED) {
        if (link->state == LINK_CONNECTING)
            say_hello(link);
        return;
    }
    if (what & BEV_EVENT_EOF)
        snprintf(why.text, sizeof(why.text), "closed by the peer");
    else if (transport->ops->explain != NULL)
        transport->ops->explain(transport, bev, &why);
    else
        snprintf(why.text, sizeof(why.text), "failed");
    drop(link, why.text);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct link *link = arg;

    (void)fd;
    (void)what;
    if (link->state == LINK_WAITING)
        begin(link);
    else
        drop(link, "no answer in time");
}

static void on_resolved(void *ctx, const struct sockaddr *address, int address_len, const char *why)
{
    struct link *link = ctx;
    struct timeval limit = {.tv_sec = HELLO_TIMEOUT_S};
    struct dkv_error err = {0};
    int status;

    link->resolve = NULL;
    if (address == NULL) {
        drop(link, why);
        return;
    }
    status = link->config.transport->ops->wrap(link->config.transport, link->config.base, -1,
                                               DKV_ROLE_CLIENT, link->peer_name, &link->bev, &err);
    if (status != DKV_OK && status != DKV_PENDING) {
        link->bev = NULL;
        drop(link, err.text);
        return;
    }
    link->state = LINK_CONNECTING;
    bufferevent_setcb(link->bev, on_read, NULL, on_event, link);
    (void)bufferevent_enable(link->bev, EV_READ);
    (void)event_add(link->timer, &limit);
    if (bufferevent_socket_connect(link->bev, address, address_len) != 0 && link->bev != NULL)
        drop(link, "connect failed");
}

static void begin(struct link *link)
{
    link->state = LINK_RESOLVING;
    link->resolve = resolve_start(link->config.env, link->address, on_resolved, link);
}

struct link *link_new(const struct link_config *config)
{
    struct link *link = xcalloc(1, sizeof(*link));
    struct timeval at_once = {0};

    link->config = *config;
    link->peer_name = xstrdup(config->peer_name);
    link->address = xstrdup(config->address);
    link->retry_ms = RETRY_FIRST_MS;
    link->timer = evtimer_new(config->base, on_timer, link);
    dkv_assert(link->timer != NULL);
    (void)event_add(link->timer, &at_once);
    return link;
}

void link_free(struct link **link)
{
    struct link *l = *link;

    if (l == NULL)
        return;
    *link = NULL;
    if (l->resolve != NULL)
        resolve_disown(l->resolve);
    if (l->bev != NULL)
        bufferevent_free(l->bev);
    event_free(l->timer);
    free(l->peer_name);
    free(l->address);
    free(l);
}

bool link_is_ready(const struct link *link)
{
    return link->state == LINK_READY;
}

struct evbuffer *link_output(struct link *link)
{
    struct evbuffer *output;

    if (link->state != LINK_READY)
        return NULL;
    output = bufferevent_get_output(link->bev);
    return evbuffer_get_length(output) > link->config.queue_bytes_max ? NULL : output;
}

void link_flush(struct link *link)
{
    struct dkv_transport *transport = link->config.transport;

    if (link->bev == NULL || evbuffer_get_length(bufferevent_get_output(link->bev)) == 0)
        return;
    if (transport->ops->flush != NULL)
        (void)transport->ops->flush(transport, link->bev);
}
