/* The API's backend: directly on the replica for REST on the raft thread, through mailboxes for the
 * workers. */
#include <stdio.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/notify.h"
#include "node/node_private.h"

/* --- REST on the raft thread --- */

static void local_write(struct api_backend *backend, struct api_write *write)
{
    struct node *n = rest_ctx(backend);

    replica_write(n->replica, write);
}

static void local_barrier(struct api_backend *backend, struct api_barrier *barrier)
{
    struct node *n = rest_ctx(backend);

    replica_barrier(n->replica, barrier);
}

static void local_cluster(struct api_backend *backend, struct api_cluster_query *query)
{
    struct node *n = rest_ctx(backend);

    replica_cluster(n->replica, query);
}

static void local_node_view(struct api_backend *backend, struct api_node_view *view_out)
{
    struct node *n = rest_ctx(backend);

    replica_node_view(n->replica, view_out);
}

static void local_members(struct api_backend *backend, struct api_cluster_view *view_out)
{
    struct node *n = rest_ctx(backend);

    replica_members(n->replica, view_out);
}

const struct api_backend_ops node__local_ops = {.write = local_write,
                                                .barrier = local_barrier,
                                                .cluster = local_cluster,
                                                .node_view = local_node_view,
                                                .members = local_members};

/* --- workers --- */

static void give_back_write(struct api_write *write)
{
    write->done = write->home_done;
    worker_give_back(write->home, EXCHANGE_WRITE, &write->link);
}

static void give_back_barrier(struct api_barrier *barrier)
{
    barrier->done = barrier->home_done;
    worker_give_back(barrier->home, EXCHANGE_BARRIER, &barrier->link);
}

static void give_back_query(struct api_cluster_query *query)
{
    query->done = query->home_done;
    worker_give_back(query->home, EXCHANGE_QUERY, &query->link);
}

bool node__take_requests(struct node *n)
{
    struct list mail;
    struct list *node;
    bool any = false;

    list_init(&mail);
    any = mailbox_drain(&n->from_workers.boxes[EXCHANGE_WRITE], &mail) || any;
    while ((node = list_pop(&mail)) != NULL) {
        struct api_write *write = container_of(node, struct api_write, link);

        write->home_done = write->done;
        write->done = give_back_write;
        replica_write(n->replica, write);
    }
    any = mailbox_drain(&n->from_workers.boxes[EXCHANGE_BARRIER], &mail) || any;
    while ((node = list_pop(&mail)) != NULL) {
        struct api_barrier *barrier = container_of(node, struct api_barrier, link);

        barrier->home_done = barrier->done;
        barrier->done = give_back_barrier;
        replica_barrier(n->replica, barrier);
    }
    any = mailbox_drain(&n->from_workers.boxes[EXCHANGE_QUERY], &mail) || any;
    while ((node = list_pop(&mail)) != NULL) {
        struct api_cluster_query *query = container_of(node, struct api_cluster_query, link);

        query->home_done = query->done;
        query->done = give_back_query;
        replica_cluster(n->replica, query);
    }
    return any;
}

void node__node_view(void *ctx, struct api_node_view *view_out)
{
    struct node *n = ctx;

    status_board_get(&n->board, clock_now_us(), view_out);
}

void node__members(void *ctx, struct api_cluster_view *view_out)
{
    struct node *n = ctx;

    status_board_get_members(&n->board, view_out);
}

/* A failed assertion may be any thread's: nothing but a text is looked at. */
static void say_role(void *ctx)
{
    const struct node *n = ctx;

    fprintf(stderr, "dkvd: version %s; node %s %s\n", PACKAGE_VERSION, n->settings->node.name,
            n->role_text);
}

void node__tell_role(struct node *n)
{
    struct api_node_view view;
    unsigned long long term;

    if (n->told_roles == replica_roles(n->replica))
        return;
    n->told_roles = replica_roles(n->replica);
    replica_node_view(n->replica, &view);
    term = view.term;
    if (view.role == API_ROLE_LEADER)
        snprintf(n->role_text, sizeof(n->role_text), "leads in term %llu", term);
    else if (view.leader[0] != '\0')
        snprintf(n->role_text, sizeof(n->role_text), "follows %s in term %llu", view.leader, term);
    else
        snprintf(n->role_text, sizeof(n->role_text), "knows of no leader in term %llu", term);
    notify_status("%s", n->role_text);
    dkv_panic_hook(say_role, n);
}

void node__publish(struct node *n)
{
    struct api_node_view view;

    if (n->workers_count == 0)
        return;
    replica_node_view(n->replica, &view);
    status_board_put(&n->board, &view, clock_now_us());
    if (replica_members_changed(n->replica)) {
        struct api_cluster_view members;

        replica_members(n->replica, &members);
        status_board_put_members(&n->board, &members);
    }
}
