/* Inside core/http: one connection, its requests and what the files share.
 *
 * An exchange is a request and its answer.  It lives in its connection's pipeline from its first
 * complete head to the end of its answer; if the connection dies first, it waits among the server's
 * orphans for the handler's answer, which goes nowhere.  A connection is freed only by the server's
 * flush, never under the feet of a caller: killing it just moves it to the list of the dead. */
#ifndef HTTP_CONNECTION_H
#define HTTP_CONNECTION_H

#include "base/list.h"
#include "http/parser.h"

#define EXCHANGE_ROOM   1536u         /* head and body up to here need no allocation */
#define HTTP_INPUT_MAX  (64u * 1024u) /* received and not looked at yet */
#define HTTP_OUTPUT_LOW (64u * 1024u) /* on_drain is called from here down */
#define HTTP_OUTPUT_HIGH                                                                           \
    (256u * 1024u)                /* http_reply_chunk says DKV_PENDING; before its turn at once */
#define HTTP_URGENT_MAX     64u   /* urgent requests in flight beyond in_flight_max */
#define HTTP_LINGER_MS      2000u /* after our FIN, for the client to read the answer */
#define HTTP_LINGER_BYTES   (16u << 20) /* thrown away meanwhile */
#define HTTP_RATE_PERIOD_MS 5000u       /* each must bring body_rate_min */

struct http_conn;
struct http_server;

enum exchange_state {
    EXCHANGE_READING,
    EXCHANGE_WAITING,   /* for the handler's answer */
    EXCHANGE_ANSWERING, /* its head is written */
    EXCHANGE_DONE,      /* complete, but answers before it are not */
};

struct exchange {
    struct http_request request; /* first, so that one is the other */
    struct http_server *server;
    struct http_conn *conn; /* NULL: orphan */
    struct list link;
    uint8_t state;
    bool in_handler;   /* handed over: counts as in flight */
    bool is_last;      /* the connection closes after it */
    bool out_chunked;  /* the answer goes out in chunks */
    bool out_bodiless; /* HEAD, 204, 304 */
    bool wants_drain;
    int out_status;                   /* 0: no answer yet */
    uint64_t handed_us;               /* when the handler got it */
    uint64_t out_left;                /* of an answer of known length */
    uint8_t *head_bytes, *body_bytes; /* in room or on the heap */
    size_t body_cap, held;            /* of the heap, and counted by the server */
    struct evbuffer *out;             /* the answer until it is its turn; kept for the next use */
    struct http_head head;
    uint8_t room[EXCHANGE_ROOM];
};

enum conn_reading {
    CONN_HEAD,
    CONN_BODY,
    CONN_CHUNKS,
    CONN_NOTHING, /* no more requests from here */
};

struct http_conn {
    struct http_server *server;
    struct bufferevent *bev;
    struct list link;         /* the server's open or dead ones */
    struct list dirty;        /* in the server's list of those to flush */
    struct list pipeline;     /* exchanges, oldest first */
    struct exchange *reading; /* in the pipeline once its head is complete */
    uint32_t outstanding;
    uint32_t requests;
    uint8_t state; /* enum conn_reading */
    bool is_dead, is_eof, is_lingering, is_writing, is_looking;
    bool is_paused; /* nothing is read until what is here has been looked at */
    uint64_t head_since_us, body_since_us, body_last_us, idle_since_us, linger_since_us;
    uint64_t write_since_us, written, discarded;
    uint64_t body_limit, body_got; /* body_got: since body_since_us */
    struct http_chunks chunks;
    uint8_t ip[16];
    uint8_t ip_len; /* 0: not counted per address */
    char peer[46];
};

/* connection.c */
struct http_conn *http__conn_new(struct http_server *server, struct bufferevent *bev);
void http__conn_input(struct http_conn *conn);
void http__conn_kill(struct http_conn *conn);
/* The requests still in line will not be answered: they become orphans. */
void http__conn_drop_pipeline(struct http_conn *conn, enum http_abort why);
void http__conn_free(struct http_conn *conn);
void http__conn_refuse(struct http_conn *conn, int status, const char *code, const char *detail);
/* False while bytes of the client wait for a limit of ours. */
bool http__conn_may_take(const struct http_conn *conn);
/* After a write, or when nothing is left to be written: goes on, lingers or closes. */
void http__conn_settle(struct http_conn *conn);
void http__conn_flush(struct http_conn *conn);
void http__conn_drain(struct http_conn *conn);

/* sweep.c */
void http__conn_sweep(struct http_conn *conn, uint64_t now_us);

/* exchange.c */
struct exchange *http__exchange_new(struct http_conn *conn);
void http__exchange_free(struct exchange *ex);
/* DKV_ETOOBIG when the server holds too much, DKV_ENOMEM. */
int http__exchange_keep_head(struct exchange *ex, const uint8_t *data, size_t len);
int http__exchange_body_add(struct exchange *ex, const void *data, size_t len);
void http__exchange_publish(struct exchange *ex);

/* reply.c */
void http__exchange_finish(struct exchange *ex);
void http__reply_continue(struct exchange *ex);
void http__drain_streams(struct http_conn *conn);

#endif
