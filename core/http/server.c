#include "http/server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/map.h"
#include "base/mem.h"
#include "http/connection.h"

#define FLUSH_ROUNDS  4 /* in one go; a stream that never ends goes on in the next turn */
#define WARN_EVERY_US UINT64_C(10000000)

void http_config_init(struct http_config *config)
{
    *config = (struct http_config){
        .body_max = 8u << 20,
        .connections_max = 4096,
        .connections_per_ip_max = 128,
        .pipeline_max = 16,
        .requests_per_connection_max = 0,
        .in_flight_max = 1024,
        .in_flight_bytes_max = 64u << 20,
        .output_max = 1u << 20,
        .header_timeout_ms = 5000,
        .body_timeout_ms = 10000,
        .body_rate_min = 1024,
        .idle_timeout_ms = 60000,
        .write_timeout_ms = 10000,
        .backlog = 511,
        .transport = http_transport_plain,
    };
}

uint64_t http__now(struct http_server *server)
{
    const struct http_config *config = &server->config;

    server->now_us = config->now_us != NULL ? config->now_us(config->clock_ctx) : clock_now_us();
    return server->now_us;
}

void http__server_warn(struct http_server *server, const char *text)
{
    if (server->config.warn == NULL ||
        (server->warned_us != 0 && server->now_us - server->warned_us < WARN_EVERY_US))
        return;
    server->warned_us = server->now_us;
    server->config.warn(server->config.warn_ctx, text);
}

void http__server_set_date(struct http_server *server)
{
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm tm;
    int len;

    gmtime_r(&now, &tm);
    /* Not strftime, whose names depend on the locale. */
    len = evutil_snprintf(server->common, sizeof(server->common),
                          "Date: %s, %02d %s %04d %02d:%02d:%02d GMT\r\n"
                          "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n",
                          days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900,
                          tm.tm_hour, tm.tm_min, tm.tm_sec);
    dkv_assert(len > 0 && (size_t)len < sizeof(server->common));
    server->common_len = (size_t)len;
}

/* ---- Writing at the end of a turn ---- */

void http__server_mark(struct http_server *server, struct http_conn *conn)
{
    if (conn != NULL && list_is_empty(&conn->dirty) && !conn->is_dead)
        list_push(&server->dirty, &conn->dirty);
    if (server->flush_is_due || server->is_flushing)
        return;
    /* An active event runs behind those that are active already: at the end of this turn. */
    server->flush_is_due = true;
    event_active(server->flush, EV_TIMEOUT, 1);
}

static void free_dead(struct http_server *server)
{
    struct list *node;

    while ((node = list_pop(&server->dead)) != NULL)
        http__conn_free(container_of(node, struct http_conn, link));
}

static void tell_drained(struct http_server *server)
{
    void (*drained)(void *) = server->drained;

    if (drained == NULL || !list_is_empty(&server->open) || !list_is_empty(&server->orphans))
        return;
    server->drained = NULL;
    drained(server->drained_ctx);
}

void http_server_flush(struct http_server *server)
{
    static const struct timeval at_once = {0, 0};

    if (server->is_flushing)
        return;
    if (server->flush_is_due)
        event_del(server->flush);
    server->flush_is_due = false;
    server->is_flushing = true;
    for (int round = 0; round < FLUSH_ROUNDS && !list_is_empty(&server->dirty); round++) {
        struct list now, *node;

        list_init(&now);
        list_splice(&now, &server->dirty);
        while ((node = list_pop(&now)) != NULL)
            http__conn_flush(container_of(node, struct http_conn, dirty));
    }
    free_dead(server);
    server->is_flushing = false;
    if (!list_is_empty(&server->dirty)) {
        server->flush_is_due = true;
        event_add(server->flush, &at_once);
    }
    if (server->is_draining)
        tell_drained(server);
}

static void on_flush(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *server = arg;

    (void)fd;
    (void)what;
    http__now(server);
    http_server_flush(server);
}

/* ---- Time ---- */

void http__server_sweep(struct http_server *server)
{
    uint64_t now_us = http__now(server);

    http__server_set_date(server);
    /* Whatever a connection's end sets in motion, the list is never walked over a removed node. */
    for (uint32_t i = server->stats.connections; i > 0 && !list_is_empty(&server->open); i--) {
        struct http_conn *conn = container_of(server->open.next, struct http_conn, link);

        list_remove(&conn->link);
        list_push(&server->open, &conn->link);
        http__conn_sweep(conn, now_us);
    }
    http__listeners_resume(server);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    http__server_sweep(arg);
}

/* ---- Life ---- */

struct http_server *http_server_new(const struct http_config *config, struct event_base *base,
                                    const struct http_handler *handler)
{
    static const struct timeval sweep_every = {0, HTTP_SWEEP_MS * 1000};
    struct http_server *server = xcalloc(1, sizeof(*server));
    uint64_t random[3];

    evutil_secure_rng_get_bytes(random, sizeof(random));
    server->config = *config;
    server->handler = *handler;
    server->base = base;
    server->reserve_fd = -1;
    server->is_accepting = true;
    server->next_id = random[2];
    server->per_ip = map_new(random);
    list_init(&server->open);
    list_init(&server->dead);
    list_init(&server->dirty);
    list_init(&server->orphans);
    list_init(&server->spares);
    list_init(&server->listeners);
    server->flush = event_new(base, -1, 0, on_flush, server);
    server->sweep = event_new(base, -1, EV_PERSIST, on_sweep, server);
    dkv_assert(server->flush != NULL && server->sweep != NULL);
    event_add(server->sweep, &sweep_every);
    http__now(server);
    http__server_set_date(server);
    return server;
}

void http_server_set_limits(struct http_server *server, const struct http_config *config)
{
    struct http_config *own = &server->config;

    own->pipeline_max = config->pipeline_max;
    own->in_flight_max = config->in_flight_max;
    own->in_flight_bytes_max = config->in_flight_bytes_max;
    own->output_max = config->output_max;
    own->header_timeout_ms = config->header_timeout_ms;
    own->body_timeout_ms = config->body_timeout_ms;
    own->body_rate_min = config->body_rate_min;
    own->idle_timeout_ms = config->idle_timeout_ms;
    own->write_timeout_ms = config->write_timeout_ms;
    own->slow_us = config->slow_us;
}

const struct http_stats *http_server_stats(const struct http_server *server)
{
    return &server->stats;
}

void http_server_drain(struct http_server *server, void (*done)(void *ctx), void *ctx)
{
    struct list all, *node;

    http__now(server);
    http__listeners_free(server);
    server->is_draining = true;
    server->drained = done;
    server->drained_ctx = ctx;
    list_init(&all);
    list_splice(&all, &server->open);
    while ((node = list_pop(&all)) != NULL) {
        list_push(&server->open, node);
        http__conn_drain(container_of(node, struct http_conn, link));
    }
    http_server_flush(server);
}

void http_server_free(struct http_server **handle)
{
    struct http_server *server = *handle;
    struct list *node;

    if (server == NULL)
        return;
    *handle = NULL;
    http__listeners_free(server);
    while (!list_is_empty(&server->open))
        http__conn_kill(container_of(server->open.next, struct http_conn, link));
    free_dead(server);
    while (!list_is_empty(&server->orphans))
        http__exchange_free(container_of(server->orphans.next, struct exchange, link));
    while ((node = list_pop(&server->spares)) != NULL) {
        struct exchange *ex = container_of(node, struct exchange, link);

        if (ex->out != NULL)
            evbuffer_free(ex->out);
        free(ex);
    }
    event_free(server->flush);
    event_free(server->sweep);
    map_free(server->per_ip);
    free(server);
}
