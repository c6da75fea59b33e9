/* GET /node and GET /cluster: what this node knows of itself, what the leader knows of all. */
#include "api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "base/list.h"
#include "base/mem.h"

static const char *const role_names[] = {
    [API_ROLE_FOLLOWER] = "follower",
    [API_ROLE_PRE_CANDIDATE] = "pre-candidate",
    [API_ROLE_CANDIDATE] = "candidate",
    [API_ROLE_LEADER] = "leader",
};

static bool is_plain_read(struct call *call)
{
    static const char *const no_parameters[] = {NULL};

    if (call->request->method == HTTP_GET || call->request->method == HTTP_HEAD)
        return call_check_query(call, no_parameters);
    reply_method_not_allowed(call, "GET, HEAD");
    return false;
}

static json_t *hex(const uint8_t *bytes, size_t len)
{
    char text[65];

    for (size_t i = 0; i < len; i++)
        snprintf(text + i * 2, 3, "%02x", bytes[i]);
    return json_string(text);
}

static json_t *name_or_null(const char *name)
{
    return name[0] == '\0' ? json_null() : json_string(name);
}

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *digest(const struct kv_digest *d)
{
    char text[33];

    snprintf(text, sizeof(text), "%016llx%016llx", (unsigned long long)d->high,
             (unsigned long long)d->low);
    return json_string(text);
}

void route_node(struct call *call, struct dkv_slice rest)
{
    struct api_node_view view;
    json_t *body;

    (void)rest;
    if (!is_plain_read(call))
        return;
    call->api->backend->ops->node_view(call->api->backend, &view);
    body = json_object();
    json_object_set_new(body, "name", json_string(view.name));
    json_object_set_new(body, "cluster_id", hex(view.cluster_id, sizeof(view.cluster_id)));
    json_object_set_new(body, "role", json_string(role_names[view.role]));
    json_object_set_new(body, "term", number(view.term));
    json_object_set_new(body, "leader", name_or_null(view.leader));
    json_object_set_new(body, "commit_index", number(view.commit_index));
    json_object_set_new(body, "applied_index", number(view.applied_index));
    json_object_set_new(body, "keys", number(view.keys));
    json_object_set_new(body, "storage", json_string(view.storage));
    json_object_set_new(body, "version", json_string(PACKAGE_VERSION));
    json_object_set_new(body, "digest", digest(&view.digest));
    reply_json(call, body);
}

static const char *member_state(const struct api_member *m)
{
    if (m->is_leader)
        return "ok";
    if (!m->is_reachable)
        return "unreachable";
    if (m->is_sending_snapshot)
        return "snapshot";
    return "ok";
}

static json_t *member(const struct api_member *m)
{
    json_t *object = json_object();

    json_object_set_new(object, "name", json_string(m->name));
    json_object_set_new(object, "peer", json_string(m->peer));
    json_object_set_new(object, "http", name_or_null(m->http));
    json_object_set_new(object, "role",
                        json_string(m->is_leader  ? "leader"
                                    : m->is_voter ? "voter"
                                                  : "learner"));
    json_object_set_new(object, "state", json_string(member_state(m)));
    json_object_set_new(object, "match_index", number(m->match_index));
    json_object_set_new(object, "applied_index", number(m->applied_index));
    json_object_set_new(object, "lag", number(m->lag));
    json_object_set_new(object, "storage", name_or_null(m->storage));
    return object;
}

struct asking {
    struct api_cluster_query query;
    struct call *call;
};

static void cluster_done(struct api_cluster_query *query)
{
    struct call *call = container_of(query, struct asking, query)->call;
    const struct api_cluster_view *view = &query->view;
    json_t *body, *members;

    if (query->status != DKV_OK) {
        reply_status(call, query->status);
        return;
    }
    body = json_object();
    members = json_array();
    json_object_set_new(body, "cluster_id", hex(view->cluster_id, sizeof(view->cluster_id)));
    json_object_set_new(body, "leader", name_or_null(view->leader));
    json_object_set_new(body, "term", number(view->term));
    json_object_set_new(body, "commit_index", number(view->commit_index));
    for (uint32_t i = 0; i < view->members_count; i++)
        json_array_append_new(members, member(&view->members[i]));
    json_object_set_new(body, "members", members);
    reply_json(call, body);
}

static void free_asking(struct call *call)
{
    free(call->state);
}

void route_cluster(struct call *call, struct dkv_slice rest)
{
    struct asking *asking;

    (void)rest;
    if (!is_plain_read(call))
        return;
    asking = xcalloc(1, sizeof(*asking));
    asking->call = call;
    asking->query.done = cluster_done;
    call->state = asking;
    call->cleanup = free_asking;
    call->api->backend->ops->cluster(call->api->backend, &asking->query);
}
