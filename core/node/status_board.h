/* What the raft thread last said about itself, for threads that may not ask the replica. */
#ifndef NODE_STATUS_BOARD_H
#define NODE_STATUS_BOARD_H

#include <pthread.h>

#include "api/backend.h"

struct status_board {
    pthread_mutex_t lock; /* guards all below; held for a copy only */
    struct api_node_view node;
    struct api_cluster_view members;
    uint64_t turned_us;
};

void status_board_init(struct status_board *board);
void status_board_fini(struct status_board *board);
/* Raft thread. */
void status_board_put(struct status_board *board, const struct api_node_view *node,
                      uint64_t now_us);
void status_board_put_members(struct status_board *board, const struct api_cluster_view *members);
/* Any thread. */
void status_board_get(struct status_board *board, uint64_t now_us, struct api_node_view *node_out);
void status_board_get_members(struct status_board *board, struct api_cluster_view *members_out);

#endif
