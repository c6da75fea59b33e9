#include "node/status_board.h"

#include <string.h>

void status_board_init(struct status_board *board)
{
    memset(board, 0, sizeof(*board));
    pthread_mutex_init(&board->lock, NULL);
}

void status_board_fini(struct status_board *board)
{
    pthread_mutex_destroy(&board->lock);
}

void status_board_put(struct status_board *board, const struct api_node_view *node, uint64_t now_us)
{
    pthread_mutex_lock(&board->lock);
    board->node = *node;
    board->turned_us = now_us;
    pthread_mutex_unlock(&board->lock);
}

void status_board_put_members(struct status_board *board, const struct api_cluster_view *members)
{
    pthread_mutex_lock(&board->lock);
    board->members = *members;
    pthread_mutex_unlock(&board->lock);
}

void status_board_get(struct status_board *board, uint64_t now_us, struct api_node_view *node_out)
{
    pthread_mutex_lock(&board->lock);
    *node_out = board->node;
    node_out->turn_age_us = now_us > board->turned_us ? now_us - board->turned_us : 0;
    if (node_out->role != API_ROLE_LEADER && node_out->contact_age_us != UINT64_MAX)
        node_out->contact_age_us += node_out->turn_age_us;
    pthread_mutex_unlock(&board->lock);
}

void status_board_get_members(struct status_board *board, struct api_cluster_view *members_out)
{
    pthread_mutex_lock(&board->lock);
    *members_out = board->members;
    pthread_mutex_unlock(&board->lock);
}
