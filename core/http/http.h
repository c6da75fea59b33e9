/* The HTTP/1.1 server: strict, pipelining, one per event loop; it knows nothing of keys.
 *
 * Thread: a server, its connections and its requests belong to the thread of the event base they
 * were made with (a base without locks).  Several servers may listen on one address (reuse_port).
 *
 * A request is handed over when its head and whole body are there, and is then the handler's until
 * it is answered: exactly once, now or later, also after on_abort.  Everything reachable from the
 * request is borrowed until the answer is complete.  Answers leave in the order of the requests,
 * whatever the order in which they are given.
 *
 * Malformed requests, limits and time-outs are answered here and never reach the handler; an
 * answer given here has outcome "none": nothing was done.  docs/http.md lists the limits. */
#ifndef HTTP_HTTP_H
#define HTTP_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <event2/util.h>

#include "dkv/types.h"

struct buf;
struct bufferevent;
struct evbuffer;
struct event_base;
struct http_server;

enum http_method {
    HTTP_GET,
    HTTP_HEAD,
    HTTP_PUT,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_OPTIONS,
};

/* Header fields that are found without a search. */
enum http_field {
    HTTP_FIELD_OTHER,
    HTTP_HOST,
    HTTP_CONTENT_LENGTH,
    HTTP_TRANSFER_ENCODING,
    HTTP_CONNECTION,
    HTTP_EXPECT,
    HTTP_UPGRADE,
    HTTP_TRAILER,
    HTTP_CONTENT_TYPE,
    HTTP_ACCEPT,
    HTTP_AUTHORIZATION,
    HTTP_ORIGIN,
    HTTP_IF_MATCH,
    HTTP_IF_NONE_MATCH,
    HTTP_IDEMPOTENCY_KEY,
    HTTP_FIELD_COUNT,
};

enum http_abort {
    HTTP_ABORT_HALF_CLOSED, /* the client sends no more, but an answer still reaches it */
    HTTP_ABORT_GONE,        /* nobody will read the answer */
};

struct http_request {
    enum http_method method;
    struct dkv_slice target; /* as sent: path and query, not decoded */
    struct dkv_slice path;
    struct dkv_slice query; /* without '?'; data is NULL when there is no '?' */
    struct dkv_slice body;
    uint64_t id; /* unique in this process */

    /* The handler's own, zero at first. */
    void *user;
    /* The client left while the answer is outstanding: a long poll stops waiting.  The request
     * must still be answered, from here or later. */
    void (*on_abort)(struct http_request *req, enum http_abort why);
    /* After http_reply_chunk said DKV_PENDING: there is room again. */
    void (*on_drain)(struct http_request *req);
};

/* ---- Reading a request ---- */

/* data is NULL when the field is absent.  A field of the list above is there once at most, except
 * Accept and Connection, of which this is the first. */
struct dkv_slice http_request_field(const struct http_request *req, enum http_field field);
/* Any field by its name, whatever the case; the first if there are several. */
struct dkv_slice http_request_header(const struct http_request *req, const char *name);
/* The position counts from 0; false after the last. */
bool http_request_header_at(const struct http_request *req, size_t position,
                            struct dkv_slice *name_out, struct dkv_slice *value_out);
uint64_t http_request_age_us(const struct http_request *req); /* since it was handed over */
/* The client's address as text, without the port; "" when it is gone. */
const char *http_request_peer(const struct http_request *req);
const char *http_method_text(enum http_method method);

/* Percent-decodes once, bytes as they come ('+' stays '+').  out has room for part.len bytes and
 * may be part.data.  DKV_EINVAL when a '%' is not followed by two hex digits. */
int http_decode(struct dkv_slice part, void *out, size_t *len_out);
/* The next name=value of a query, neither decoded; value.data is NULL when there is no '='.
 * *rest starts as the query and is moved on; false at the end. */
bool http_query_next(struct dkv_slice *rest, struct dkv_slice *name_out,
                     struct dkv_slice *value_out);
/* Whether a name as it stands in a query, decoded, is this one. */
bool http_query_name_is(struct dkv_slice name, const char *wanted);
/* The raw value of the first parameter whose decoded name is this one; false when absent. */
bool http_query_find(struct dkv_slice query, const char *name, struct dkv_slice *value_out);

/* ---- Answering it ---- */

/* What an answer's head says besides status, length and what every answer says. */
struct http_reply_fields {
    const char *content_type; /* NULL: none */
    const char *extra;        /* further whole lines, each with its CRLF; or NULL */
    uint64_t etag;            /* the N of ETag: "N" */
    uint32_t retry_after_s;   /* 0: none */
    bool has_etag;
    bool close; /* close the connection after this answer */
};

#define HTTP_LENGTH_CHUNKED UINT64_MAX

/* The whole answer at once.  fields may be NULL; body is borrowed for the call. */
void http_reply(struct http_request *req, int status, const struct http_reply_fields *fields,
                const void *body, size_t len);
/* An error in the style of the server's error body (below). */
void http_reply_error(struct http_request *req, int status, const char *code, const char *detail);

/* In parts: start, then the body, then end.  With a length known, exactly that many bytes are added
 * to http_reply_buffer or given to http_reply_chunk; with HTTP_LENGTH_CHUNKED any number. */
void http_reply_start(struct http_request *req, int status, const struct http_reply_fields *fields,
                      uint64_t length);
/* Where the body of an answer of known length is added, so that it is copied once.  Borrowed until
 * control returns to the loop.  NULL when nobody wants the body (HEAD, client gone): leave it. */
struct evbuffer *http_reply_buffer(struct http_request *req);
/* DKV_OK; DKV_PENDING when taken, but the client is slow: go on after on_drain; DKV_ECANCELED when
 * nobody wants the body: go to http_reply_end. */
int http_reply_chunk(struct http_request *req, const void *data, size_t len);
/* The request is gone after this.  An answer of known length that fell short closes the
 * connection, so that the client notices. */
void http_reply_end(struct http_request *req);
/* Gives up an answer that has started: the connection is closed, for there is no other way to tell
 * the client that the rest will not come. */
void http_reply_abort(struct http_request *req);

/* Appends "Name: value" and CRLF to lines, whose data can then be `extra`; DKV_EINVAL when the value holds a control
 * byte, so that no header can be smuggled out. */
int http_field_add(struct buf *lines, const char *name, struct dkv_slice value);

/* ---- The server ---- */

/* How bytes travel: filled in from a transport plugin, or http_transport_plain. */
struct http_transport {
    void *ctx;
    /* As dkv_transport_ops.wrap for the server's side of fd. */
    int (*wrap)(void *ctx, struct event_base *base, evutil_socket_t fd,
                struct bufferevent **bev_out, struct dkv_error *err);
    /* Writes now what the output holds, as far as the socket takes it, without a round of the
     * event loop; NULL leaves it to the loop.  Never calls back. */
    void (*flush)(void *ctx, struct bufferevent *bev);
    bool is_encrypted; /* nothing may be sent in the clear, not even a refusal */
};

extern const struct http_transport http_transport_plain;

/* An error answered by the server itself, to be put in words by error_body. */
struct http_error {
    int status;
    const char *code;   /* a stable word, like "value_too_long" */
    const char *detail; /* what and why, for people */
    uint64_t request_id;
};

struct http_handler {
    void *ctx;
    void (*request)(void *ctx, struct http_request *req);
    /* Asked after the head of a request that has a body: how many bytes may it have?  It may also
     * answer the request at once (wrong method, no permission); the body is then not read and the
     * connection closed after the answer.  NULL: config->body_max for all. */
    uint64_t (*body_limit)(void *ctx, struct http_request *req);
    /* Whether a request is handed over although in_flight_max are: for probes, which ask just then.
     * Some are even then too many (HTTP_URGENT_MAX).  NULL: none is. */
    bool (*is_urgent)(void *ctx, const struct http_request *req);
    /* Appends the body of an error to body and returns its content type.  NULL: RFC 9457
     * problem+json with code and outcome "none". */
    const char *(*error_body)(void *ctx, const struct http_error *error, struct buf *body);
    /* The answer to a request was complete config->slow_us or more after it was handed over.
     * status 0: it was not given, for the client had left.  NULL: nobody wants to know. */
    void (*slow)(void *ctx, const struct http_request *req, int status, uint64_t elapsed_us);
};

/* Defaults are those of http_config_init; a size, count or time of 0 means "no limit" only where
 * said so. */
struct http_config {
    uint64_t body_max;                    /* 8 MiB: whatever body_limit says */
    uint32_t connections_max;             /* 4096 */
    uint32_t connections_per_ip_max;      /* 128; 0 no limit; loopback is exempt */
    uint32_t pipeline_max;                /* 16 requests outstanding on a connection */
    uint32_t requests_per_connection_max; /* 0: no limit */
    uint32_t in_flight_max;               /* 1024 requests in the handler's hands */
    uint64_t in_flight_bytes_max;         /* 64 MiB of bodies and large heads held */
    uint64_t output_max;                  /* 1 MiB unread by a client: take nothing more from it */
    uint32_t header_timeout_ms;           /* 5 s from the first byte to the end of the head */
    uint32_t body_timeout_ms;             /* 10 s without a byte of the body */
    uint32_t body_rate_min;               /* 1024 bytes a second, in each 5 s; 0 no limit */
    uint32_t idle_timeout_ms;             /* 60 s */
    uint32_t write_timeout_ms;            /* 10 s below body_rate_min of the answer */
    uint64_t slow_us;                     /* 0: no request is slow */
    int backlog;                          /* 511 */
    bool reuse_port;                      /* several servers on one address */

    struct http_transport transport; /* http_transport_plain */
    /* Monotonic; NULL: the system's. */
    uint64_t (*now_us)(void *clock_ctx);
    void *clock_ctx;
    /* Rare events worth a line in the log, rate-limited; NULL: none. */
    void (*warn)(void *warn_ctx, const char *text);
    void *warn_ctx;
};

struct http_stats {
    uint64_t accepted, refused; /* connections */
    uint64_t requests;          /* handed to the handler */
    uint64_t malformed;         /* answered with 400, 414, 431, 413 or 501 by the server */
    uint64_t shed;              /* answered with 429 or 503 by the server */
    uint64_t timeouts;
    uint64_t aborted; /* clients that left before their answer */
    uint32_t connections, in_flight;
};

void http_config_init(struct http_config *config);

/* Copies config and handler. */
struct http_server *http_server_new(const struct http_config *config, struct event_base *base,
                                    const struct http_handler *handler);
/* Takes from config, for what comes from now on and for time that runs already: pipeline_max, output_max,
 * in_flight_max, in_flight_bytes_max, all time-outs, body_rate_min and slow_us.  The rest stays. */
void http_server_set_limits(struct http_server *server, const struct http_config *config);
/* "127.0.0.1:8500", "[::1]:8500", "host:8500"; port 0 lets the system choose.  May be called for
 * several addresses.  DKV_EUNAVAIL: somebody listens there already, and the text says who as far
 * as that can be found out; DKV_EPERM: not allowed; DKV_EINVAL: no such address. */
int http_server_listen(struct http_server *server, const char *address, struct dkv_error *err);
/* The same check without listening, for a process whose servers set reuse_port: two processes of
 * one user would otherwise share the port without noticing. */
int http_address_probe(const char *address, struct dkv_error *err);
/* The address of the last listener with its real port, as text; "" without one. */
const char *http_server_address(const struct http_server *server);
/* Takes a connected socket as if it had been accepted; owns fd from here on. */
void http_server_adopt(struct http_server *server, evutil_socket_t fd);

/* Writes what the answers of this turn of the loop have queued, one write per connection.  The
 * owner of the loop calls it at the end of its turn; what it does not, an event of the server
 * does before the loop waits again. */
void http_server_flush(struct http_server *server);

/* Stops listening, closes idle connections, lets requests in flight finish with Connection:
 * close, then calls done (perhaps at once, from here). */
void http_server_drain(struct http_server *server, void (*done)(void *ctx), void *ctx);
const struct http_stats *http_server_stats(const struct http_server *server);
/* Closes everything.  Requests not answered yet get on_abort, if they have one, and are gone after
 * this call whether answered or not.  Not from inside a callback of the server. */
void http_server_free(struct http_server **server);

#endif
