/* REST on one event loop: the HTTP server, the API and a reader of the storage.  The raft thread
 * has one if threads.workers = 0, else each worker has. */
#ifndef NODE_REST_H
#define NODE_REST_H

#include "api/backend.h"
#include "conf/settings.h"
#include "dkv/transport.h"

struct event_base;
struct rest;

/* What can change while it runs. */
struct rest_limits {
    uint64_t header_timeout_us, body_timeout_us, idle_timeout_us, write_timeout_us;
    uint64_t request_timeout_us, slow_request_us;
    uint64_t requests_in_flight_max, bytes_in_flight_max, pipelined_max;
};

struct rest_config {
    const struct settings *settings;
    struct event_base *base;
    struct dkv_store *store;
    struct dkv_transport *transport;
    const struct api_backend_ops *ops;
    void *ctx;        /* rest_ctx gives it back */
    bool has_company; /* Raft lives on this thread too */
    bool reuse_port;
    uint32_t connections_max;
};

/* Is an address free?  DKV_EUNAVAIL: somebody listens there. */
int rest_probe(const char *address, struct dkv_error *err);

/* Does not listen yet. */
int rest_open(const struct rest_config *config, struct rest **rest_out, struct dkv_error *err);
/* DKV_EUNAVAIL: an address is in use. */
int rest_listen(struct rest *rest, struct dkv_error *err);
struct rest_limits rest_limits_of(const struct settings *settings);
void rest_set_limits(struct rest *rest, const struct rest_limits *limits);
void rest_flush(struct rest *rest); /* at the end of the loop's turn */
/* Stops accepting; done is called when everything under way is answered. */
void rest_drain(struct rest *rest, void (*done)(void *ctx), void *ctx);
void rest_close(struct rest **rest); /* nothing may be pending in the backend */
void *rest_ctx(struct api_backend *backend);

#endif
