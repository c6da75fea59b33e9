#include "node/rest.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/http.h"

struct rest {
    struct rest_config config;
    struct api_backend backend;
    struct api *api;
    struct api_access *access;
    struct http_server *server;
    struct event *turn;
    uint64_t turn_us; /* not before */
};

/* What is done in turns (lists, long bodies) may take long: Raft, if it lives on this thread, gets as
 * much time in between.  Not after a short one, for the loop waits by the millisecond. */
enum { TURN_LONG_US = 3 * 1000, TURN_PAUSE_MAX_US = 25 * 1000 };

/* A timer, for libevent would run an event that is made active within the same turn. */
static void turn_wanted(struct api_backend *backend)
{
    struct rest *rest = container_of(backend, struct rest, backend);
    uint64_t now_us = clock_now_us();
    struct timeval wait = {0, 0};

    if (rest->turn_us > now_us)
        wait.tv_usec = (suseconds_t)(rest->turn_us - now_us);
    (void)event_add(rest->turn, &wait);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct rest *rest = arg;
    uint64_t since_us = clock_now_us(), now_us, took_us;

    (void)fd;
    (void)what;
    api_turn(rest->api);
    now_us = clock_now_us();
    took_us = now_us - since_us;
    if (rest->config.has_company && took_us >= TURN_LONG_US)
        rest->turn_us = now_us + (took_us < TURN_PAUSE_MAX_US ? took_us : TURN_PAUSE_MAX_US);
    if (evtimer_pending(rest->turn, NULL))
        turn_wanted(&rest->backend);
}

void *rest_ctx(struct api_backend *backend)
{
    return container_of(backend, struct rest, backend)->config.ctx;
}

static int wrap(void *ctx, struct event_base *base, evutil_socket_t fd,
                struct bufferevent **bev_out, struct dkv_error *err)
{
    struct dkv_transport *transport = ctx;

    return transport->ops->wrap(transport, base, fd, DKV_ROLE_SERVER, NULL, bev_out, err);
}

static void flush(void *ctx, struct bufferevent *bev)
{
    struct dkv_transport *transport = ctx;

    (void)transport->ops->flush(transport, bev);
}

static void warn(void *ctx, const char *text)
{
    (void)ctx;
    log_warn("http", "http.warning", "the HTTP server has something to say", LOG_STR("text", text),
             LOG_END);
}

/* Without what is private: of the path the first part, and a hash of the rest. */
static void slow(void *ctx, const struct http_request *req, int status, uint64_t elapsed_us)
{
    const char *path = req->path.data, *second;
    size_t len = req->path.len;
    char first[16], id[17];

    (void)ctx;
    second = len > 1 ? memchr(path + 1, '/', len - 1) : NULL;
    if (second != NULL)
        len = (size_t)(second - path) + 1;
    (void)snprintf(first, sizeof(first), "%.*s", (int)len, path);
    (void)snprintf(id, sizeof(id), "%016llx", (unsigned long long)req->id);
    log_warn("http", "http.slow_request",
             status == 0 ? "a client left a slow request" : "a request took long",
             LOG_STR("method", http_method_text(req->method)), LOG_STR("path", first),
             LOG_KEY("key", ((struct dkv_slice){path + len, req->path.len - len})),
             LOG_U64("bytes", req->body.len), LOG_I64("status", status),
             LOG_MS("dur_ms", elapsed_us), LOG_STR("req", id), LOG_END);
}

struct rest_limits rest_limits_of(const struct settings *settings)
{
    const struct settings_http *s = &settings->http;

    return (struct rest_limits){.header_timeout_us = s->header_timeout_us,
                                .body_timeout_us = s->body_timeout_us,
                                .idle_timeout_us = s->idle_timeout_us,
                                .write_timeout_us = s->write_timeout_us,
                                .request_timeout_us = s->request_timeout_us,
                                .slow_request_us = settings->log.slow_request_us,
                                .requests_in_flight_max = s->max_requests_in_flight,
                                .bytes_in_flight_max = s->max_bytes_in_flight,
                                .pipelined_max = s->max_pipelined};
}

static void limit(struct http_config *http, const struct rest_limits *limits)
{
    http->pipeline_max = (uint32_t)limits->pipelined_max;
    http->in_flight_max = (uint32_t)limits->requests_in_flight_max;
    http->in_flight_bytes_max = limits->bytes_in_flight_max;
    http->header_timeout_ms = (uint32_t)(limits->header_timeout_us / 1000);
    http->body_timeout_ms = (uint32_t)(limits->body_timeout_us / 1000);
    http->idle_timeout_ms = (uint32_t)(limits->idle_timeout_us / 1000);
    http->write_timeout_ms = (uint32_t)(limits->write_timeout_us / 1000);
    http->slow_us = limits->slow_request_us;
}

static void configure(const struct rest_config *config, struct http_config *http)
{
    const struct settings_http *s = &config->settings->http;
    struct rest_limits limits = rest_limits_of(config->settings);

    http_config_init(http);
    limit(http, &limits);
    http->connections_max = config->connections_max;
    http->connections_per_ip_max = (uint32_t)s->max_connections_per_ip;
    http->reuse_port = config->reuse_port;
    http->warn = warn;
    http->transport = (struct http_transport){.ctx = config->transport, .wrap = wrap};
    if (config->transport->ops->flush != NULL)
        http->transport.flush = flush;
}

static struct api_access *make_access(const struct settings *s)
{
    struct api_access *access = api_access_new();

    for (size_t i = 0; i < s->http.allowed_hosts.count; i++)
        api_access_add_host(access, s->http.allowed_hosts.items[i]);
    for (size_t i = 0; i < s->http.allowed_origins.count; i++)
        api_access_add_origin(access, s->http.allowed_origins.items[i]);
    for (size_t i = 0; i < s->http.listen.count; i++)
        api_access_add_host(access, s->http.listen.items[i].host);
    for (size_t i = 0; i < s->cluster.peers.count; i++)
        api_access_add_host(access, s->cluster.peers.items[i].address.host);
    api_access_add_host(access, s->http.advertise.host);
    api_access_add_host(access, s->node.name);
    return access;
}

int rest_probe(const char *address, struct dkv_error *err)
{
    return http_address_probe(address, err);
}

int rest_open(const struct rest_config *config, struct rest **rest_out, struct dkv_error *err)
{
    struct rest *r = xcalloc(1, sizeof(*r));
    struct http_config http;
    struct http_handler handler = {.request = api_handle,
                                   .body_limit = api_body_limit,
                                   .is_urgent = api_is_probe,
                                   .error_body = api_error_body,
                                   .slow = slow};
    int status;

    r->config = *config;
    r->backend =
        (struct api_backend){.ops = config->ops,
                             .turn_wanted = turn_wanted,
                             .key_max = (uint32_t)config->settings->cluster.key_max,
                             .value_max = (uint32_t)config->settings->cluster.value_max,
                             .request_timeout_us = config->settings->http.request_timeout_us};
    status = kv_reader_open(config->store, config->base, &r->backend.reader, err);
    if (status != DKV_OK) {
        free(r);
        return status;
    }
    r->access = make_access(config->settings);
    r->backend.access = r->access;
    r->api = api_new(&r->backend);
    r->turn = evtimer_new(config->base, on_turn, r);
    dkv_assert(r->turn != NULL); /* libevent got xmalloc, or memory is out */
    handler.ctx = r->api;
    configure(config, &http);
    r->server = http_server_new(&http, config->base, &handler);
    *rest_out = r;
    return DKV_OK;
}

void rest_set_limits(struct rest *rest, const struct rest_limits *limits)
{
    struct http_config http;

    http_config_init(&http);
    limit(&http, limits);
    http_server_set_limits(rest->server, &http);
    rest->backend.request_timeout_us = limits->request_timeout_us;
}

int rest_listen(struct rest *rest, struct dkv_error *err)
{
    const struct conf_address_list *listen = &rest->config.settings->http.listen;

    for (size_t i = 0; i < listen->count; i++) {
        int status = http_server_listen(rest->server, listen->items[i].text, err);

        if (status != DKV_OK)
            return status;
    }
    return DKV_OK;
}

void rest_flush(struct rest *rest)
{
    http_server_flush(rest->server);
}

void rest_drain(struct rest *rest, void (*done)(void *ctx), void *ctx)
{
    http_server_drain(rest->server, done, ctx);
}

void rest_close(struct rest **rest)
{
    struct rest *r = *rest;

    if (r == NULL)
        return;
    *rest = NULL;
    api_cancel(r->api);
    event_free(r->turn);
    http_server_free(&r->server);
    api_free(&r->api);
    api_access_free(&r->access);
    kv_reader_close(&r->backend.reader);
    free(r);
}
