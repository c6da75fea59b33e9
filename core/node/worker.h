/* A thread that serves REST and reads the storage; writes and barriers go to the raft thread. */
#ifndef NODE_WORKER_H
#define NODE_WORKER_H

#include "node/exchange.h"
#include "node/rest.h"

struct worker;

struct worker_config {
    const struct settings *settings;
    struct dkv_store *store;
    struct dkv_transport *transport;
    struct exchange *to_raft;
    int number; /* from 1 */
    uint32_t connections_max;
    void *ctx;
    void (*node_view)(void *ctx, struct api_node_view *view_out); /* any thread */
    void (*members)(void *ctx, struct api_cluster_view *view_out);
};

/* Listens when it returns.  DKV_EUNAVAIL: an address is in use. */
int worker_open(const struct worker_config *config, struct worker **worker_out,
                struct dkv_error *err);
/* Raft thread: gives a request back; its home is the worker. */
void worker_give_back(struct worker *worker, enum exchange_kind kind, struct list *link);
void worker_set_limits(struct worker *worker, const struct rest_limits *limits); /* raft thread */
void worker_drain(struct worker *worker); /* any thread: stop accepting, finish what is there */
bool worker_is_drained(const struct worker *worker);
void worker_close(struct worker **worker); /* everything must have been given back */

#endif
