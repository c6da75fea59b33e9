/* Keep-alive connections to one or more servers, one request at a time on each, driven by epoll on
 * the calling thread.
 *
 * The engine knows nothing of keys: `next` writes a request for a connection that is free, `done`
 * is told how it ended.  A connection that breaks is opened again, at the next server of the list,
 * until the run ends.  The engine owns sockets and buffers; the workload owns everything else. */
#ifndef LOAD_ENGINE_H
#define LOAD_ENGINE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "bench/load/response.h"

enum { ENGINE_SERVERS_MAX = 16 };

struct server {
    char name[64]; /* host:port, as given */
    struct sockaddr_in address;
};

enum ending {
    ENDING_ANSWER,  /* the response is complete */
    ENDING_REFUSED, /* the connection could not be made: the request was not sent */
    ENDING_BROKEN,  /* the connection broke, or was answered with what is no HTTP */
    ENDING_TIMED_OUT
};

struct connection {
    int fd;
    unsigned number, server;
    bool connecting, busy, want_write;
    uint64_t sent_ns, retry_ns;
    uint64_t tag, intended_ns; /* the workload's */
    bool is_put;               /* the workload's */
    bool move;                 /* set by `done`: go to the next server before the next request */
    size_t out_done;
    struct buf out;
    struct response response;
};

enum next { NEXT_REQUEST, NEXT_LATER, NEXT_END };

struct workload {
    /* NEXT_LATER: nothing is due before *wake_ns_out.  NEXT_END: nothing more, ever. */
    enum next (*next)(void *context, struct connection *c, uint64_t now_ns, uint64_t *wake_ns_out);
    void (*done)(void *context, struct connection *c, enum ending ending, uint64_t now_ns);
    /* Ten times a second; false starts nothing more, whatever `next` would say. */
    bool (*tick)(void *context, uint64_t now_ns);
    void *context;
};

struct engine {
    const struct server *servers;
    unsigned servers_count, connections_count;
    size_t body_max;
    uint64_t timeout_ns;
    struct workload workload;
    int epoll_fd, timer_fd;
    unsigned busy_count;
    bool ended;
    uint64_t connects, connect_failures;
    struct connection *connections;
};

uint64_t engine_now_ns(void);
int server_parse(const char *text, struct server *server_out);
/* 0, or -1 with errno. */
int engine_open(struct engine *engine);
/* Returns when `next` has said END and all requests have ended, or when *stop is not 0. */
void engine_run(struct engine *engine, const volatile int *stop);
void engine_close(struct engine *engine);
/* Sends the bytes and reads one response on a connection of its own.  0, or -1 with errno. */
int engine_ask(const struct server *server, const struct buf *request, int timeout_ms,
               struct response *response);

#endif
