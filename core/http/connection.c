#include "http/connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "base/assert.h"
#include "base/mem.h"
#include "http/server.h"

/* ---- From bytes to requests ---- */

/* Beyond these limits the client's bytes wait, first in our buffer and then in its own. */
bool http__conn_may_take(const struct http_conn *conn)
{
    const struct http_config *config = &conn->server->config;

    if (conn->is_dead || conn->state == CONN_NOTHING)
        return false;
    if (conn->state == CONN_HEAD && conn->outstanding >= config->pipeline_max)
        return false;
    return evbuffer_get_length(bufferevent_get_output(conn->bev)) <= config->output_max;
}

static void enqueue(struct http_conn *conn, struct exchange *ex)
{
    if (!list_is_empty(&ex->link))
        return;
    list_push(&conn->pipeline, &ex->link);
    conn->outstanding++;
}

void http__conn_refuse(struct http_conn *conn, int status, const char *code, const char *detail)
{
    struct exchange *ex = conn->reading;

    if (ex == NULL)
        ex = http__exchange_new(conn);
    enqueue(conn, ex);
    conn->reading = NULL;
    conn->state = CONN_NOTHING;
    conn->head_since_us = 0;
    ex->is_last = true;
    ex->state = EXCHANGE_WAITING;
    ex->request.method = (enum http_method)ex->head.method;
    if (ex->request.id == 0)
        ex->request.id = ++conn->server->next_id;
    if (status == 408)
        conn->server->stats.timeouts++;
    else if (status == 429 || status == 503)
        conn->server->stats.shed++;
    else
        conn->server->stats.malformed++;
    http_reply_error(&ex->request, status, code, detail);
}

static void refuse_memory(struct http_conn *conn, int status)
{
    if (status == DKV_ETOOBIG)
        http__conn_refuse(conn, 429, "overloaded", "too many bytes of requests are in flight");
    else
        http__conn_refuse(conn, 503, "out_of_memory", "no memory for the request");
}

static void refuse_body(struct http_conn *conn, uint64_t limit)
{
    char detail[80];

    snprintf(detail, sizeof(detail), "the body is longer than the %llu bytes allowed here",
             (unsigned long long)limit);
    http__conn_refuse(conn, 413, "value_too_long", detail);
}

/* A client that left before its request was handed over is told of at once. */
static void tell_if_left(struct http_conn *conn, uint64_t id)
{
    struct exchange *last;

    if (conn->is_dead || !conn->is_eof || list_is_empty(&conn->pipeline))
        return;
    last = container_of(conn->pipeline.prev, struct exchange, link);
    if (last->request.id == id && last->request.on_abort != NULL)
        last->request.on_abort(&last->request, HTTP_ABORT_HALF_CLOSED);
}

static bool may_hand_over(const struct http_server *server, struct exchange *ex)
{
    const struct http_handler *handler = &server->handler;
    uint64_t max = server->config.in_flight_max;

    if (server->stats.in_flight < max)
        return true;
    return handler->is_urgent != NULL && server->stats.in_flight < max + HTTP_URGENT_MAX &&
           handler->is_urgent(handler->ctx, &ex->request);
}

static void dispatch(struct http_conn *conn, struct exchange *ex)
{
    struct http_server *server = conn->server;
    uint64_t id = ex->request.id;

    conn->reading = NULL;
    conn->state = ex->is_last || server->is_draining ? CONN_NOTHING : CONN_HEAD;
    ex->state = EXCHANGE_WAITING;
    ex->request.body.data = ex->body_bytes;
    if (!may_hand_over(server, ex)) {
        server->stats.shed++;
        http_reply_error(&ex->request, 429, "overloaded", "too many requests are in flight");
        return;
    }
    server->stats.requests++;
    server->stats.in_flight++;
    ex->in_handler = true;
    ex->handed_us = server->now_us;
    server->handler.request(server->handler.ctx, &ex->request);
    tell_if_left(conn, id);
}

/* The head said that a body follows; more_is_here when its first bytes came along. */
static void begin_body(struct http_conn *conn, struct exchange *ex, bool more_is_here)
{
    struct http_server *server = conn->server;
    uint64_t limit = server->config.body_max;

    conn->state = ex->head.chunked ? CONN_CHUNKS : CONN_BODY;
    if (server->handler.body_limit != NULL) {
        uint64_t asked = server->handler.body_limit(server->handler.ctx, &ex->request);

        if (conn->is_dead || conn->reading != ex)
            return;
        limit = asked < limit ? asked : limit;
    }
    conn->body_limit = limit;
    if (ex->head.content_length > limit) {
        refuse_body(conn, limit);
        return;
    }
    if (ex->head.expect_continue && ex->head.minor > 0 && !more_is_here)
        http__reply_continue(ex);
    http_chunks_init(&conn->chunks);
    conn->body_got = 0;
    conn->body_since_us = conn->body_last_us = server->now_us;
}

static void take_head(struct http_conn *conn, const uint8_t *data, size_t len, bool more_is_here)
{
    struct exchange *ex = conn->reading;
    uint32_t max = conn->server->config.requests_per_connection_max;
    int status = http__exchange_keep_head(ex, data, len);

    if (status != DKV_OK) {
        refuse_memory(conn, status);
        return;
    }
    http__exchange_publish(ex);
    enqueue(conn, ex);
    conn->head_since_us = 0;
    conn->requests++;
    ex->is_last = ex->head.close || (max > 0 && conn->requests >= max);
    if (ex->head.chunked || ex->head.content_length > 0)
        begin_body(conn, ex, more_is_here);
    else
        dispatch(conn, ex);
}

static size_t take_body(struct http_conn *conn, const uint8_t *data, size_t len)
{
    struct exchange *ex = conn->reading;
    uint64_t left = ex->head.content_length - ex->request.body.len;
    size_t take = len < left ? len : (size_t)left;
    int status = http__exchange_body_add(ex, data, take);

    if (status != DKV_OK)
        refuse_memory(conn, status);
    else if (take == left)
        dispatch(conn, ex);
    return take;
}

static size_t take_chunks(struct http_conn *conn, const uint8_t *data, size_t len)
{
    struct exchange *ex = conn->reading;
    struct dkv_slice piece;
    size_t used = 0;
    int status = http_chunks_parse(&conn->chunks, data, len, &used, &piece);

    if (status == DKV_EINVAL) {
        http__conn_refuse(conn, conn->chunks.fault.status, conn->chunks.fault.code,
                          conn->chunks.fault.detail);
        return len;
    }
    if (ex->request.body.len + piece.len + conn->chunks.left > conn->body_limit) {
        refuse_body(conn, conn->body_limit);
        return len;
    }
    if (piece.len > 0) {
        int added = http__exchange_body_add(ex, piece.data, piece.len);

        if (added != DKV_OK) {
            refuse_memory(conn, added);
            return len;
        }
    }
    if (status == DKV_OK)
        dispatch(conn, ex);
    return used;
}

/* How many bytes were used; fewer than len when a head is incomplete or a limit is reached. */
static size_t take(struct http_conn *conn, const uint8_t *data, size_t len)
{
    size_t at = 0, used;
    struct http_head *head;

    while (at < len && http__conn_may_take(conn)) {
        switch (conn->state) {
        case CONN_BODY:
            used = take_body(conn, data + at, len - at);
            conn->body_got += used;
            at += used;
            break;
        case CONN_CHUNKS:
            used = take_chunks(conn, data + at, len - at);
            conn->body_got += used;
            at += used;
            break;
        default:
            if (conn->reading == NULL)
                conn->reading = http__exchange_new(conn);
            head = &conn->reading->head;
            switch (http_head_parse(head, data + at, len - at, &used)) {
            case DKV_OK:
                at += used;
                take_head(conn, data + at - used, used, at < len);
                break;
            case DKV_PENDING:
                return at;
            default:
                http__conn_refuse(conn, head->fault.status, head->fault.code, head->fault.detail);
                return len;
            }
        }
    }
    return at;
}

/* Bytes that nobody will look at: what follows the last request. */
static void discard(struct http_conn *conn, struct evbuffer *in)
{
    size_t len = evbuffer_get_length(in);

    evbuffer_drain(in, len);
    conn->discarded += len;
    if (conn->discarded > HTTP_LINGER_BYTES)
        http__conn_kill(conn);
}

/* Not by a high watermark: libevent calls on_read again and again, within one turn of the loop, as
 * long as the input stays above it. */
static void pace_reading(struct http_conn *conn, const struct evbuffer *in)
{
    bool is_enough = evbuffer_get_length(in) >= HTTP_INPUT_MAX;

    if (conn->is_dead || is_enough == conn->is_paused)
        return;
    conn->is_paused = is_enough;
    if (is_enough)
        bufferevent_disable(conn->bev, EV_READ);
    else
        bufferevent_enable(conn->bev, EV_READ);
}

void http__conn_input(struct http_conn *conn)
{
    struct evbuffer *in = bufferevent_get_input(conn->bev);

    if (conn->is_looking || conn->is_dead)
        return;
    conn->is_looking = true;
    while (http__conn_may_take(conn)) {
        struct evbuffer_iovec first;
        size_t used;

        if (evbuffer_peek(in, -1, NULL, &first, 1) < 1 || first.iov_len == 0)
            break;
        used = take(conn, first.iov_base, first.iov_len);
        evbuffer_drain(in, used);
        if (used < first.iov_len && http__conn_may_take(conn)) {
            size_t all = evbuffer_get_length(in);

            if (all == first.iov_len - used)
                break;
            /* A head that lies in two chunks of memory. */
            evbuffer_pullup(in, (ev_ssize_t)(all < 2 * HTTP_HEAD_MAX ? all : 2 * HTTP_HEAD_MAX));
        }
    }
    if (!conn->is_dead && conn->state == CONN_NOTHING)
        discard(conn, in);
    if (conn->state != CONN_HEAD || conn->reading == NULL)
        conn->head_since_us = 0;
    else if (conn->head_since_us == 0)
        conn->head_since_us = conn->server->now_us;
    conn->is_looking = false;
    pace_reading(conn, in);
}

/* ---- Callbacks of the bufferevent ---- */

static void on_read(struct bufferevent *bev, void *arg)
{
    struct http_conn *conn = arg;

    (void)bev;
    conn->idle_since_us = conn->body_last_us = http__now(conn->server);
    http__conn_input(conn);
}

static void on_write(struct bufferevent *bev, void *arg)
{
    struct http_conn *conn = arg;

    (void)bev;
    http__now(conn->server);
    http__conn_settle(conn);
}

/* Long polls stop; everybody else may answer, for the client may just have nothing more to say. */
static void tell_half_closed(struct http_conn *conn)
{
    struct list *node = conn->pipeline.next;

    while (!conn->is_dead && node != &conn->pipeline) {
        struct exchange *ex = container_of(node, struct exchange, link);

        node = node->next;
        if (ex->in_handler && ex->request.on_abort != NULL) {
            void (*on_abort)(struct http_request *, enum http_abort) = ex->request.on_abort;

            /* Told once; the answer given from there may set the rest of the line in motion. */
            ex->request.on_abort = NULL;
            conn->server->stats.aborted++;
            on_abort(&ex->request, HTTP_ABORT_HALF_CLOSED);
            node = conn->pipeline.next;
        }
    }
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct http_conn *conn = arg;

    (void)bev;
    http__now(conn->server);
    if (what & BEV_EVENT_CONNECTED)
        return;
    if (!(what & BEV_EVENT_EOF)) {
        http__conn_kill(conn);
        return;
    }
    conn->is_eof = true;
    tell_half_closed(conn);
    if (!conn->is_dead)
        http__server_mark(conn->server, conn);
}

/* ---- Life ---- */

struct http_conn *http__conn_new(struct http_server *server, struct bufferevent *bev)
{
    struct http_conn *conn = xcalloc(1, sizeof(*conn));

    conn->server = server;
    conn->bev = bev;
    list_init(&conn->link);
    list_init(&conn->dirty);
    list_init(&conn->pipeline);
    conn->idle_since_us = server->now_us;
    bufferevent_setcb(bev, on_read, on_write, on_event, conn);
    bufferevent_setwatermark(bev, EV_WRITE, HTTP_OUTPUT_LOW, 0);
    /* Answers are written by the flush; the loop is asked only for what the socket did not take. */
    if (server->config.transport.flush != NULL)
        bufferevent_disable(bev, EV_WRITE);
    bufferevent_enable(bev, EV_READ);
    return conn;
}

void http__conn_drop_pipeline(struct http_conn *conn, enum http_abort why)
{
    struct http_server *server = conn->server;
    struct list *node;

    conn->outstanding = 0;
    if (conn->reading != NULL)
        http__exchange_free(conn->reading); /* in the pipeline or not: nobody else knows it */
    conn->reading = NULL;
    while ((node = list_pop(&conn->pipeline)) != NULL) {
        struct exchange *ex = container_of(node, struct exchange, link);

        if (ex->state == EXCHANGE_DONE) {
            http__exchange_free(ex);
            continue;
        }
        ex->conn = NULL;
        list_push(&server->orphans, &ex->link);
        server->stats.aborted++;
        if (ex->request.on_abort != NULL)
            ex->request.on_abort(&ex->request, why);
    }
}

void http__conn_kill(struct http_conn *conn)
{
    struct http_server *server = conn->server;

    if (conn->is_dead)
        return;
    conn->is_dead = true;
    conn->state = CONN_NOTHING;
    bufferevent_setcb(conn->bev, NULL, NULL, NULL, NULL);
    bufferevent_disable(conn->bev, EV_READ | EV_WRITE);
    list_remove(&conn->dirty);
    list_remove(&conn->link);
    list_push(&server->dead, &conn->link);
    http__server_mark(server, NULL);
    http__conn_drop_pipeline(conn, HTTP_ABORT_GONE);
}

void http__conn_free(struct http_conn *conn)
{
    http__server_conn_gone(conn->server, conn);
    list_remove(&conn->link);
    bufferevent_free(conn->bev);
    free(conn);
}

/* ---- Writing and the end ---- */

static void count_written(struct evbuffer *out, const struct evbuffer_cb_info *info, void *arg)
{
    struct http_conn *conn = arg;

    (void)out;
    conn->written += info->n_deleted;
}

static void watch_writing(struct http_conn *conn)
{
    if (conn->is_writing)
        return;
    conn->is_writing = true;
    conn->written = 0;
    conn->write_since_us = conn->server->now_us;
    evbuffer_add_cb(bufferevent_get_output(conn->bev), count_written, conn);
    bufferevent_enable(conn->bev, EV_WRITE);
}

static void stop_writing(struct http_conn *conn)
{
    if (!conn->is_writing)
        return;
    conn->is_writing = false;
    evbuffer_remove_cb(bufferevent_get_output(conn->bev), count_written, conn);
    if (conn->server->config.transport.flush != NULL)
        bufferevent_disable(conn->bev, EV_WRITE);
}

/* A request that was cut short by the client's FIN never comes whole. */
static void drop_unfinished(struct http_conn *conn)
{
    if (conn->reading == NULL)
        return;
    if (!list_is_empty(&conn->reading->link))
        conn->outstanding--;
    http__exchange_free(conn->reading);
    conn->reading = NULL;
    conn->state = CONN_NOTHING;
}

static void finish(struct http_conn *conn)
{
    if (conn->is_eof) {
        http__conn_kill(conn);
        return;
    }
    if (conn->is_lingering)
        return;
    /* Closing with unread bytes would reset the connection and take the answer with it. */
    conn->is_lingering = true;
    conn->linger_since_us = conn->server->now_us;
    if (shutdown(bufferevent_getfd(conn->bev), SHUT_WR) != 0)
        http__conn_kill(conn);
}

void http__conn_settle(struct http_conn *conn)
{
    struct evbuffer *out = bufferevent_get_output(conn->bev);

    if (conn->is_dead)
        return;
    if (evbuffer_get_length(out) > 0)
        watch_writing(conn);
    else
        stop_writing(conn);
    http__drain_streams(conn);
    if (!conn->is_dead && evbuffer_get_length(bufferevent_get_input(conn->bev)) > 0)
        http__conn_input(conn);
    if (conn->is_dead)
        return;
    if (conn->is_eof && http__conn_may_take(conn))
        drop_unfinished(conn);
    if (list_is_empty(&conn->pipeline) && evbuffer_get_length(out) == 0 &&
        (conn->is_eof || conn->state == CONN_NOTHING))
        finish(conn);
}

void http__conn_flush(struct http_conn *conn)
{
    const struct http_transport *transport = &conn->server->config.transport;

    if (conn->is_dead)
        return;
    conn->idle_since_us = conn->server->now_us;
    if (!conn->is_writing && transport->flush != NULL &&
        evbuffer_get_length(bufferevent_get_output(conn->bev)) > 0)
        transport->flush(transport->ctx, conn->bev);
    http__conn_settle(conn);
}

void http__conn_drain(struct http_conn *conn)
{
    if (conn->reading == NULL)
        conn->state = CONN_NOTHING;
    http__server_mark(conn->server, conn);
}
