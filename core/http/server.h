/* Inside core/http: the server's state. */
#ifndef HTTP_SERVER_H
#define HTTP_SERVER_H

#include "base/list.h"
#include "http/http.h"

#define HTTP_SWEEP_MS   250
#define HTTP_DATE_MAX   192
#define HTTP_SPARES_MAX 256u /* exchanges kept for the next request */

struct http_conn;
struct event;
struct map;

struct http_server {
    struct http_config config;
    struct http_handler handler;
    struct event_base *base;
    struct http_stats stats;
    struct list open, dead, dirty;
    struct list orphans, spares;
    uint32_t spares_count;
    uint64_t held_bytes;   /* of requests */
    uint64_t unsent_bytes; /* of long answers that the clients have not taken yet */
    uint64_t next_id;
    struct map *per_ip;
    struct event *sweep, *flush;
    bool flush_is_due, is_flushing;

    struct list listeners;
    char address[80];
    int reserve_fd; /* given up to refuse a connection when there are no descriptors left */
    bool is_accepting;
    bool is_draining;
    void (*drained)(void *ctx);
    void *drained_ctx;
    uint64_t warned_us;
    uint64_t now_us; /* when the present callback began */

    /* Date and what every answer says, made anew by each sweep. */
    char common[HTTP_DATE_MAX];
    size_t common_len;
};

uint64_t http__now(struct http_server *server); /* reads the clock, keeps it in now_us */
void http__server_mark(struct http_server *server, struct http_conn *conn);
void http__server_sweep(struct http_server *server);
void http__server_set_date(struct http_server *server);
void http__server_warn(struct http_server *server, const char *text);
void http__server_conn_gone(struct http_server *server, struct http_conn *conn);

/* listen.c */
void http__listeners_free(struct http_server *server);
void http__listeners_pause(struct http_server *server);
void http__listeners_resume(struct http_server *server);

#endif
