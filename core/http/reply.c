#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "http/connection.h"
#include "http/server.h"

#define HEAD_ROOM  512  /* what every answer says, with room to spare; extra is added apart */
#define REPLY_ROOM 2048 /* head and body up to here are put together before they are queued */

struct status_line {
    int status;
    const char *text;
};

#define LINE(code, reason)                                                                         \
    {                                                                                              \
        code, "HTTP/1.1 " #code " " reason "\r\n"                                                  \
    }
static const struct status_line status_lines[] = {
    LINE(200, "OK"),
    LINE(204, "No Content"),
    LINE(201, "Created"),
    LINE(202, "Accepted"),
    LINE(206, "Partial Content"),
    LINE(301, "Moved Permanently"),
    LINE(304, "Not Modified"),
    LINE(307, "Temporary Redirect"),
    LINE(308, "Permanent Redirect"),
    LINE(400, "Bad Request"),
    LINE(401, "Unauthorized"),
    LINE(403, "Forbidden"),
    LINE(404, "Not Found"),
    LINE(405, "Method Not Allowed"),
    LINE(406, "Not Acceptable"),
    LINE(408, "Request Timeout"),
    LINE(409, "Conflict"),
    LINE(410, "Gone"),
    LINE(411, "Length Required"),
    LINE(412, "Precondition Failed"),
    LINE(413, "Content Too Large"),
    LINE(414, "URI Too Long"),
    LINE(415, "Unsupported Media Type"),
    LINE(416, "Range Not Satisfiable"),
    LINE(421, "Misdirected Request"),
    LINE(422, "Unprocessable Content"),
    LINE(428, "Precondition Required"),
    LINE(429, "Too Many Requests"),
    LINE(431, "Request Header Fields Too Large"),
    LINE(500, "Internal Server Error"),
    LINE(501, "Not Implemented"),
    LINE(502, "Bad Gateway"),
    LINE(503, "Service Unavailable"),
    LINE(504, "Gateway Timeout"),
    LINE(505, "HTTP Version Not Supported"),
    LINE(507, "Insufficient Storage"),
    LINE(508, "Loop Detected"),
};

static const char *status_line(int status)
{
    const char *line = NULL;

    for (size_t i = 0; line == NULL && i < sizeof(status_lines) / sizeof(status_lines[0]); i++)
        if (status_lines[i].status == status)
            line = status_lines[i].text;
    dkv_assert(line != NULL);
    return line;
}

static struct exchange *exchange_of(struct http_request *req)
{
    return (struct exchange *)(void *)req;
}

static bool is_turn(const struct exchange *ex)
{
    return ex->conn->pipeline.next == &ex->link;
}

/* Where this exchange's bytes go now: straight out, or into its own queue until its turn. */
static struct evbuffer *target_of(struct exchange *ex)
{
    if (is_turn(ex))
        return bufferevent_get_output(ex->conn->bev);
    if (ex->out == NULL) {
        ex->out = evbuffer_new();
        dkv_assert(ex->out != NULL); /* libevent got xmalloc, or memory is out */
    }
    return ex->out;
}

/* ---- The head ---- */

struct line_writer {
    char *at;
};

static void put_text(struct line_writer *w, const char *text, size_t len)
{
    memcpy(w->at, text, len);
    w->at += len;
}

#define put_literal(w, literal) put_text(w, literal, sizeof(literal) - 1)

static void put_number(struct line_writer *w, uint64_t value)
{
    char digits[20];
    size_t n = 0;

    do {
        digits[sizeof(digits) - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    put_text(w, digits + sizeof(digits) - n, n);
}

/* Decides whether the connection ends with this answer, which its head has to say. */
static bool closes_after(struct exchange *ex, const struct http_reply_fields *fields)
{
    struct http_conn *conn = ex->conn;

    /* Answered before its body was read: what follows in the stream is that body. */
    if (ex->is_last || fields->close || conn->reading == ex)
        return true;
    return conn->server->is_draining && conn->reading == NULL && conn->pipeline.prev == &ex->link;
}

static size_t write_head(struct exchange *ex, char *room, int status,
                         const struct http_reply_fields *fields, uint64_t length)
{
    struct line_writer w = {room};
    const char *line = status_line(status);

    put_text(&w, line, strlen(line));
    put_text(&w, ex->server->common, ex->server->common_len);
    if (length == HTTP_LENGTH_CHUNKED) {
        if (ex->out_chunked)
            put_literal(&w, "Transfer-Encoding: chunked\r\n");
    } else if (status != 204 && status != 304) {
        put_literal(&w, "Content-Length: ");
        put_number(&w, length);
        put_literal(&w, "\r\n");
    }
    if (fields->has_etag) {
        put_literal(&w, "ETag: \"");
        put_number(&w, fields->etag);
        put_literal(&w, "\"\r\n");
    }
    if (fields->content_type != NULL) {
        size_t len = strlen(fields->content_type);

        dkv_assert(len <= 100);
        put_literal(&w, "Content-Type: ");
        put_text(&w, fields->content_type, len);
        put_literal(&w, "\r\n");
    }
    if (fields->retry_after_s > 0) {
        put_literal(&w, "Retry-After: ");
        put_number(&w, fields->retry_after_s);
        put_literal(&w, "\r\n");
    }
    if (ex->is_last)
        put_literal(&w, "Connection: close\r\n");
    return (size_t)(w.at - room);
}

/* Sets the exchange's flags from its answer's and returns the length of the head's first part. */
static size_t begin(struct exchange *ex, char *room, int status,
                    const struct http_reply_fields *fields, uint64_t length)
{
    ex->out_bodiless = ex->request.method == HTTP_HEAD || status == 204 || status == 304;
    ex->is_last = closes_after(ex, fields);
    /* HTTP/1.0 knows no chunks: the end of the connection ends the body. */
    ex->out_chunked = length == HTTP_LENGTH_CHUNKED && ex->head.minor > 0;
    if (length == HTTP_LENGTH_CHUNKED && !ex->out_chunked)
        ex->is_last = true;
    ex->out_left = length;
    ex->out_status = status;
    ex->state = EXCHANGE_ANSWERING;
    if (ex->is_last)
        ex->conn->state = CONN_NOTHING;
    http__server_mark(ex->server, ex->conn);
    return write_head(ex, room, status, fields, length);
}

static const struct http_reply_fields no_fields;

static void leave_handler(struct exchange *ex)
{
    struct http_server *server = ex->server;
    uint64_t elapsed_us;

    if (!ex->in_handler)
        return;
    ex->in_handler = false;
    server->stats.in_flight--;
    if (server->config.slow_us == 0 || server->handler.slow == NULL)
        return;
    elapsed_us = http__now(server) - ex->handed_us;
    if (elapsed_us >= server->config.slow_us)
        server->handler.slow(server->handler.ctx, &ex->request, ex->out_status, elapsed_us);
}

/* ---- Whole answers ---- */

/* A body that libevent lends to the socket; it counts until it is sent or given up. */
struct long_body {
    struct http_server *server;
    size_t len;
    uint8_t bytes[];
};

static void long_body_sent(const void *data, size_t len, void *arg)
{
    struct long_body *body = arg;

    (void)data;
    (void)len;
    body->server->unsent_bytes -= body->len;
    free(body);
}

/* False when clients that do not read hold all the memory that there is for answers, or it is
 * out.  One answer is always possible. */
static bool make_long_body(struct exchange *ex, const void *data, size_t len,
                           struct long_body **body_out)
{
    struct http_server *server = ex->server;
    struct long_body *body;

    if (server->unsent_bytes > 0 && server->unsent_bytes + len > server->config.in_flight_bytes_max)
        return false;
    body = mem_try(sizeof(*body) + len);
    if (body == NULL)
        return false;
    body->server = server;
    body->len = len;
    memcpy(body->bytes, data, len);
    server->unsent_bytes += len;
    *body_out = body;
    return true;
}

void http__reply_continue(struct exchange *ex)
{
    evbuffer_add(target_of(ex), "HTTP/1.1 100 Continue\r\n\r\n", 25);
    http__server_mark(ex->server, ex->conn);
}

void http_reply(struct http_request *req, int status, const struct http_reply_fields *fields,
                const void *body, size_t len)
{
    struct exchange *ex = exchange_of(req);
    char room[REPLY_ROOM];
    size_t head_len, extra_len;
    struct long_body *lent = NULL;
    struct evbuffer *out;

    dkv_assert(ex->state == EXCHANGE_WAITING || ex->state == EXCHANGE_READING);
    if (ex->conn == NULL) {
        http__exchange_finish(ex);
        return;
    }
    if (fields == NULL)
        fields = &no_fields;
    if (len > REPLY_ROOM && ex->request.method == HTTP_GET && status != 204 && status != 304 &&
        !make_long_body(ex, body, len, &lent)) {
        ex->server->stats.shed++;
        http_reply_error(req, 429, "overloaded",
                         "too many bytes of answers wait for their clients to read them");
        return;
    }
    head_len = begin(ex, room, status, fields, len);
    ex->out_left = 0;
    extra_len = fields->extra == NULL ? 0 : strlen(fields->extra);
    if (ex->out_bodiless)
        len = 0;
    out = target_of(ex);
    if (head_len + extra_len + 2 + len <= sizeof(room)) {
        struct line_writer w = {room + head_len};

        if (extra_len > 0)
            put_text(&w, fields->extra, extra_len);
        put_literal(&w, "\r\n");
        if (len > 0)
            put_text(&w, body, len);
        evbuffer_add(out, room, (size_t)(w.at - room));
    } else {
        evbuffer_add(out, room, head_len);
        evbuffer_add(out, fields->extra, extra_len);
        evbuffer_add(out, "\r\n", 2);
        if (lent != NULL)
            evbuffer_add_reference(out, lent->bytes, len, long_body_sent, lent);
        else
            evbuffer_add(out, body, len);
    }
    http__exchange_finish(ex);
}

static const char *problem_body(const struct http_error *error, struct buf *body)
{
    const char *title = status_line(error->status) + sizeof("HTTP/1.1 xxx ") - 1;

    /* code and detail are our own constants: nothing of the request is echoed. */
    buf_addf(body,
             "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%d,\"code\":\"%s\","
             "\"detail\":\"%s\",\"outcome\":\"none\",\"request_id\":\"%016llx\"}\n",
             (int)strcspn(title, "\r"), title, error->status, error->code, error->detail,
             (unsigned long long)error->request_id);
    return "application/problem+json";
}

void http_reply_error(struct http_request *req, int status, const char *code, const char *detail)
{
    struct exchange *ex = exchange_of(req);
    const struct http_handler *handler = &ex->server->handler;
    struct http_error error = {
        .status = status, .code = code, .detail = detail, .request_id = req->id};
    struct http_reply_fields fields = {.retry_after_s = status == 429 || status == 503 ? 1 : 0,
                                       .close = ex->is_last};
    struct buf body = {0};

    fields.content_type = handler->error_body != NULL
                              ? handler->error_body(handler->ctx, &error, &body)
                              : problem_body(&error, &body);
    http_reply(req, status, &fields, body.data, body.len);
    buf_fini(&body);
}

/* ---- Answers in parts ---- */

void http_reply_start(struct http_request *req, int status, const struct http_reply_fields *fields,
                      uint64_t length)
{
    struct exchange *ex = exchange_of(req);
    char room[HEAD_ROOM + HTTP_DATE_MAX];
    struct evbuffer *out;
    size_t len;

    dkv_assert(ex->state == EXCHANGE_WAITING || ex->state == EXCHANGE_READING);
    if (ex->conn == NULL) {
        ex->state = EXCHANGE_ANSWERING;
        return;
    }
    if (fields == NULL)
        fields = &no_fields;
    len = begin(ex, room, status, fields, length);
    out = target_of(ex);
    evbuffer_add(out, room, len);
    if (fields->extra != NULL)
        evbuffer_add(out, fields->extra, strlen(fields->extra));
    evbuffer_add(out, "\r\n", 2);
}

struct evbuffer *http_reply_buffer(struct http_request *req)
{
    struct exchange *ex = exchange_of(req);

    dkv_assert(ex->state == EXCHANGE_ANSWERING && !ex->out_chunked);
    if (ex->conn == NULL || ex->out_bodiless)
        return NULL;
    /* What the caller adds is not seen here, so its length is taken on trust. */
    ex->out_left = 0;
    return target_of(ex);
}

static void add_chunk(struct evbuffer *out, const void *data, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    char size[18];
    size_t n = sizeof(size), left = len;

    size[--n] = '\n';
    size[--n] = '\r';
    for (; left > 0; left >>= 4)
        size[--n] = hex[left & 15];
    evbuffer_add(out, size + n, sizeof(size) - n);
    evbuffer_add(out, data, len);
    evbuffer_add(out, "\r\n", 2);
}

int http_reply_chunk(struct http_request *req, const void *data, size_t len)
{
    struct exchange *ex = exchange_of(req);
    struct evbuffer *out;

    dkv_assert(ex->state == EXCHANGE_ANSWERING);
    if (ex->conn == NULL || ex->out_bodiless)
        return DKV_ECANCELED;
    if (len == 0)
        return DKV_OK; /* a chunk without data would be the last */
    out = target_of(ex);
    if (ex->out_chunked) {
        add_chunk(out, data, len);
    } else {
        if (ex->out_left != HTTP_LENGTH_CHUNKED) {
            dkv_assert(len <= ex->out_left);
            ex->out_left -= len;
        }
        evbuffer_add(out, data, len);
    }
    http__server_mark(ex->server, ex->conn);
    ex->wants_drain = evbuffer_get_length(out) > HTTP_OUTPUT_HIGH || !is_turn(ex);
    return ex->wants_drain ? DKV_PENDING : DKV_OK;
}

void http_reply_end(struct http_request *req)
{
    struct exchange *ex = exchange_of(req);

    dkv_assert(ex->state == EXCHANGE_ANSWERING);
    if (ex->conn != NULL && !ex->out_bodiless) {
        if (ex->out_chunked)
            evbuffer_add(target_of(ex), "0\r\n\r\n", 5);
        else if (ex->out_left != HTTP_LENGTH_CHUNKED && ex->out_left > 0)
            ex->is_last = true;
        http__server_mark(ex->server, ex->conn);
    }
    http__exchange_finish(ex);
}

void http_reply_abort(struct http_request *req)
{
    struct exchange *ex = exchange_of(req);
    struct http_conn *conn = ex->conn;

    dkv_assert(ex->state == EXCHANGE_ANSWERING);
    ex->state = EXCHANGE_DONE;
    if (conn != NULL) {
        /* An answer in chunks without its last one, or one that is too short, is recognised. */
        ex->request.on_abort = NULL;
        leave_handler(ex);
        http__conn_kill(conn);
        return;
    }
    http__exchange_finish(ex);
}

/* ---- The order of the answers ---- */

/* The next in line may have been answered already, in part or in whole. */
static void release_pipeline(struct http_conn *conn)
{
    while (!list_is_empty(&conn->pipeline)) {
        struct exchange *ex = container_of(conn->pipeline.next, struct exchange, link);

        if (ex->out != NULL && evbuffer_get_length(ex->out) > 0)
            evbuffer_add_buffer(bufferevent_get_output(conn->bev), ex->out);
        if (ex->state != EXCHANGE_DONE)
            return;
        conn->outstanding--;
        if (ex->is_last) {
            conn->state = CONN_NOTHING;
            http__exchange_free(ex);
            http__conn_drop_pipeline(conn, HTTP_ABORT_GONE);
            return;
        }
        http__exchange_free(ex);
    }
}

void http__exchange_finish(struct exchange *ex)
{
    struct http_conn *conn = ex->conn;

    ex->state = EXCHANGE_DONE;
    leave_handler(ex);
    if (conn == NULL) {
        struct http_server *server = ex->server;

        http__exchange_free(ex);
        if (server->is_draining)
            http__server_mark(server, NULL);
        return;
    }
    ex->request.on_abort = NULL;
    ex->request.on_drain = NULL;
    http__server_mark(ex->server, conn);
    if (conn->reading == ex)
        conn->reading = NULL;
    if (is_turn(ex))
        release_pipeline(conn);
}

void http__drain_streams(struct http_conn *conn)
{
    struct exchange *ex;

    if (list_is_empty(&conn->pipeline))
        return;
    ex = container_of(conn->pipeline.next, struct exchange, link);
    if (!ex->wants_drain ||
        evbuffer_get_length(bufferevent_get_output(conn->bev)) > HTTP_OUTPUT_LOW)
        return;
    ex->wants_drain = false;
    if (ex->request.on_drain != NULL)
        ex->request.on_drain(&ex->request);
}

int http_field_add(struct buf *lines, const char *name, struct dkv_slice value)
{
    if (!http_text_is_clean(value.data, value.len))
        return DKV_EINVAL;
    buf_add_text(lines, name);
    buf_add(lines, ": ", 2);
    buf_add(lines, value.data, value.len);
    buf_add(lines, "\r\n", 2);
    *buf_reserve(lines, 1) = '\0'; /* behind the end: fields.extra is a C string */
    return DKV_OK;
}
