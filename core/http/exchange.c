#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "base/assert.h"
#include "base/mem.h"
#include "http/connection.h"
#include "http/server.h"

/* A freshly used exchange is the one whose memory is still in the cache. */
struct exchange *http__exchange_new(struct http_conn *conn)
{
    struct http_server *server = conn->server;
    struct list *spare = list_pop(&server->spares);
    struct evbuffer *out = NULL;
    struct exchange *ex;

    if (spare != NULL) {
        ex = container_of(spare, struct exchange, link);
        server->spares_count--;
        out = ex->out;
    } else {
        ex = xmalloc(sizeof(*ex));
    }
    memset(ex, 0, offsetof(struct exchange, head));
    http_head_init(&ex->head);
    list_init(&ex->link);
    ex->server = server;
    ex->conn = conn;
    ex->out = out;
    ex->state = EXCHANGE_READING;
    return ex;
}

void http__exchange_free(struct exchange *ex)
{
    struct http_server *server = ex->server;

    list_remove(&ex->link);
    if (ex->head_bytes != ex->room)
        free(ex->head_bytes);
    if (ex->body_cap > 0)
        free(ex->body_bytes);
    server->held_bytes -= ex->held;
    if (server->spares_count == HTTP_SPARES_MAX) {
        if (ex->out != NULL)
            evbuffer_free(ex->out);
        free(ex);
        return;
    }
    if (ex->out != NULL)
        evbuffer_drain(ex->out, evbuffer_get_length(ex->out));
    server->spares_count++;
    list_push_front(&server->spares, &ex->link);
}

/* Counts size bytes before they are taken, so that the limit is one. */
static int hold(struct exchange *ex, size_t size)
{
    struct http_server *server = ex->server;

    if (size > server->config.in_flight_bytes_max ||
        server->held_bytes > server->config.in_flight_bytes_max - size)
        return DKV_ETOOBIG;
    server->held_bytes += size;
    ex->held += size;
    return DKV_OK;
}

int http__exchange_keep_head(struct exchange *ex, const uint8_t *data, size_t len)
{
    ex->head_bytes = ex->room;
    ex->body_bytes = ex->room + (len <= sizeof(ex->room) ? len : 0);
    if (len > sizeof(ex->room)) {
        int status = hold(ex, len);

        if (status != DKV_OK)
            return status;
        ex->head_bytes = mem_try(len);
        if (ex->head_bytes == NULL)
            return DKV_ENOMEM;
    }
    memcpy(ex->head_bytes, data, len);
    return DKV_OK;
}

/* Grows with what arrived, not with what was announced: a client pays in bytes for our memory. */
static int grow_body(struct exchange *ex, size_t need)
{
    size_t cap = ex->body_cap == 0 ? 8192 : ex->body_cap * 2;
    uint8_t *grown;
    int status;

    if (ex->head.content_length > 0 && cap > ex->head.content_length)
        cap = (size_t)ex->head.content_length;
    while (cap < need)
        cap *= 2;
    status = hold(ex, cap - ex->body_cap);
    if (status != DKV_OK)
        return status;
    if (ex->body_cap > 0) {
        grown = realloc(ex->body_bytes, cap);
    } else {
        grown = mem_try(cap);
        if (grown != NULL)
            memcpy(grown, ex->body_bytes, ex->request.body.len);
    }
    if (grown == NULL)
        return DKV_ENOMEM;
    ex->body_bytes = grown;
    ex->body_cap = cap;
    return DKV_OK;
}

int http__exchange_body_add(struct exchange *ex, const void *data, size_t len)
{
    size_t need = ex->request.body.len + len;
    size_t room =
        ex->body_cap > 0 ? ex->body_cap : (size_t)(ex->room + sizeof(ex->room) - ex->body_bytes);

    if (need > room) {
        int status = grow_body(ex, need);

        if (status != DKV_OK)
            return status;
    }
    memcpy(ex->body_bytes + ex->request.body.len, data, len);
    ex->request.body.len = need;
    return DKV_OK;
}

static struct dkv_slice slice_of(const struct exchange *ex, struct http_span part)
{
    return (struct dkv_slice){ex->head_bytes + part.at, part.len};
}

/* Turns the parser's offsets into slices of what was kept. */
void http__exchange_publish(struct exchange *ex)
{
    struct http_request *req = &ex->request;
    const struct http_head *head = &ex->head;

    req->method = (enum http_method)head->method;
    req->target = slice_of(ex, head->target);
    req->path = head->path.len > 0 ? slice_of(ex, head->path) : (struct dkv_slice){"/", 1};
    if (head->has_query)
        req->query = slice_of(ex, head->query);
    req->id = ++ex->server->next_id;
}

static const struct exchange *exchange_of(const struct http_request *req)
{
    return (const struct exchange *)(const void *)req;
}

struct dkv_slice http_request_field(const struct http_request *req, enum http_field field)
{
    const struct exchange *ex = exchange_of(req);
    uint8_t position = ex->head.known[field];

    if (position == 0)
        return (struct dkv_slice){0};
    return slice_of(ex, ex->head.fields[position - 1].value);
}

struct dkv_slice http_request_header(const struct http_request *req, const char *name)
{
    struct dkv_slice found, value;
    size_t len = strlen(name);

    for (size_t i = 0; http_request_header_at(req, i, &found, &value); i++)
        if (found.len == len && evutil_ascii_strncasecmp(found.data, name, len) == 0)
            return value;
    return (struct dkv_slice){0};
}

bool http_request_header_at(const struct http_request *req, size_t position,
                            struct dkv_slice *name_out, struct dkv_slice *value_out)
{
    const struct exchange *ex = exchange_of(req);

    if (position >= ex->head.count)
        return false;
    *name_out = slice_of(ex, ex->head.fields[position].name);
    *value_out = slice_of(ex, ex->head.fields[position].value);
    return true;
}

const char *http_request_peer(const struct http_request *req)
{
    const struct exchange *ex = exchange_of(req);

    return ex->conn == NULL ? "" : ex->conn->peer;
}

uint64_t http_request_age_us(const struct http_request *req)
{
    const struct exchange *ex = exchange_of(req);

    return http__now(ex->server) - ex->handed_us;
}

const char *http_method_text(enum http_method method)
{
    static const char *const texts[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};

    return texts[method];
}
