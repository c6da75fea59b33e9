/* The daemon: opens everything in the right order, runs the raft loop, closes everything.
 *
 * Main thread, which becomes the raft thread. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include "conf/conf.h"

/* Runs until SIGTERM or SIGINT, or until something fails; returns the exit code and has said why.
 * conf is checked and outlives the call. */
int node_run(struct conf *conf);

#endif
