/* /livez, /readyz, /health: named checks as etcd and Kubernetes know them.
 *
 * /livez never depends on a leader or a quorum, so that an orchestrator does not kill the nodes
 * that are left.  /readyz also asks for a linearizable read. */
#include "api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "base/mem.h"

/* Whoever probes gives up sooner than a client: `dkvd --health` and Kubernetes after 1 or 2 s. */
enum { TURN_AGE_MAX_US = 5 * 1000 * 1000, READ_MAX_US = 1500 * 1000 };

struct check {
    const char *name;
    bool is_ok;
    const char *why; /* if not */
};

enum { CHECKS_MAX = 6 };

struct health {
    bool is_ready_asked, is_verbose;
    struct dkv_slice only; /* one check by name; empty = all */
    struct check checks[CHECKS_MAX];
    size_t count;
    char excluded[256];
};

static void free_health(struct call *call)
{
    free(call->state);
}

static void add_check(struct health *h, const char *name, bool is_ok, const char *why)
{
    h->checks[h->count++] = (struct check){name, is_ok, why};
}

static bool is_named(struct dkv_slice text, const char *name)
{
    return text.len == strlen(name) && memcmp(text.data, name, text.len) == 0;
}

static bool counts(const struct health *h, const struct check *check)
{
    if (h->only.len > 0)
        return is_named(h->only, check->name);
    return strcmp(h->excluded, check->name) != 0;
}

static void answer(struct call *call)
{
    struct health *h = call->state;
    struct buf text = {0};
    bool is_ok = true, is_known = h->only.len == 0;

    for (size_t i = 0; i < h->count; i++) {
        const struct check *check = &h->checks[i];

        if (!counts(h, check))
            continue;
        is_known = true;
        is_ok = is_ok && check->is_ok;
        if (check->is_ok)
            buf_addf(&text, "[+]%s ok\n", check->name);
        else
            buf_addf(&text, "[-]%s failed: %s\n", check->name, check->why);
    }
    if (!is_known) {
        reply_problem(call, &problem_no_route, "there is no check of this name");
    } else {
        if (is_ok && !h->is_verbose)
            buf_reset(&text);
        buf_addf(&text, is_ok ? "ok\n" : "%s check failed\n",
                 h->is_ready_asked ? "readyz" : "livez");
        reply_text(call, is_ok ? 200 : 503, "text/plain; charset=utf-8", text.data, text.len);
    }
    buf_fini(&text);
}

static void live_checks(struct call *call, struct health *h)
{
    struct api_node_view view;

    call->api->backend->ops->node_view(call->api->backend, &view);
    add_check(h, "raft_loop", view.turn_age_us < TURN_AGE_MAX_US,
              "the raft loop has not turned for 5 s");
    if (!h->is_ready_asked)
        return;
    add_check(h, "not_stopping", !view.is_stopping, "the node is stopping");
    add_check(h, "not_restoring", !view.is_restoring, "a snapshot is being restored");
    add_check(h, "disk_writable", !view.is_disk_full,
              "the disk is full: free space in node.data_dir; writes are refused until then");
}

static void barrier_done(struct api_barrier *barrier)
{
    struct call *call = container_of(barrier, struct call, barrier);
    struct health *h = call->state;

    add_check(h, "linearizable_read", barrier->status == DKV_OK,
              "no leader with a majority answered in time");
    answer(call);
}

/* False if no leader is known: a probe need not wait for what will not come. */
static bool begin_barrier(struct call *call, void (*done)(struct api_barrier *barrier))
{
    struct api_backend *backend = call->api->backend;
    struct api_node_view view;

    backend->ops->node_view(backend, &view);
    if (view.leader[0] == '\0')
        return false;
    call->barrier = (struct api_barrier){.done = done, .wait_max_us = READ_MAX_US};
    backend->ops->barrier(backend, &call->barrier);
    return true;
}

static struct health *begin(struct call *call, struct dkv_slice rest, bool is_ready_asked)
{
    struct health *h = xcalloc(1, sizeof(*h));
    struct dkv_slice exclude = call_query(call, "exclude");

    call->state = h;
    call->cleanup = free_health;
    h->is_ready_asked = is_ready_asked;
    h->is_verbose = call_query(call, "verbose").data != NULL || rest.len > 0;
    if (rest.len > 0)
        h->only = (struct dkv_slice){(const char *)rest.data + 1, rest.len - 1};
    if (exclude.data != NULL && exclude.len < sizeof(h->excluded))
        memcpy(h->excluded, exclude.data, exclude.len);
    live_checks(call, h);
    return h;
}

static const char *const of_checks[] = {"verbose", "exclude", NULL}, *const of_health[] = {NULL};

static bool is_good(struct call *call, const char *const *parameters)
{
    if (call->request->method == HTTP_GET || call->request->method == HTTP_HEAD)
        return call_check_query(call, parameters);
    reply_method_not_allowed(call, "GET, HEAD");
    return false;
}

void route_livez(struct call *call, struct dkv_slice rest)
{
    if (!is_good(call, of_checks))
        return;
    (void)begin(call, rest, false);
    answer(call);
}

void route_readyz(struct call *call, struct dkv_slice rest)
{
    struct health *h;

    if (!is_good(call, of_checks))
        return;
    h = begin(call, rest, true);
    if (begin_barrier(call, barrier_done))
        return;
    add_check(
        h, "linearizable_read", false,
        "this node knows of no leader; a majority of the nodes must run and reach each other");
    answer(call);
}

/* etcd's /health, for probes that know it. */
static void answer_health(struct call *call, bool is_healthy)
{
    const char *text = is_healthy ? "{\"health\":\"true\",\"reason\":\"\"}"
                                  : "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}";

    reply_text(call, is_healthy ? 200 : 503, "application/json", text, strlen(text));
}

static void health_done(struct api_barrier *barrier)
{
    answer_health(container_of(barrier, struct call, barrier), barrier->status == DKV_OK);
}

void route_health(struct call *call, struct dkv_slice rest)
{
    (void)rest;
    if (!is_good(call, of_health))
        return;
    if (!begin_barrier(call, health_done))
        answer_health(call, false);
}
