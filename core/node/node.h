/* The daemon: opens everything in the right order, runs the raft loop, closes everything.
 *
 * Main thread, which becomes the raft thread. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "conf/conf.h"

/* Reads the configuration again, for SIGHUP. */
struct node_source {
    struct conf *(*load)(
        void *ctx); /* gives a conf, which may have failed; on a thread of its own */
    void *ctx;
};

/* Runs until SIGTERM or SIGINT, or until something fails; returns the exit code and has said why.
 * conf is checked; both outlive the call. */
int node_run(struct conf *conf, const struct node_source *source);

#endif
