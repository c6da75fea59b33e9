/* One table: which path goes where.  Paths are compared as they come, before any decoding, so that
 * an encoded slash never becomes a path separator. */
#include "api/api.h"

#include <stdlib.h>
#include <string.h>

#include "api/call.h"
#include "api/reply.h"
#include "api/routes.h"
#include "base/assert.h"
#include "base/mem.h"

enum route_kind {
    ROUTE_EXACT,
    ROUTE_PREFIX, /* the rest is the handler's */
    ROUTE_PARTS   /* the path itself, or the path and "/…" */
};

enum { HRAFTD_BODY_ROOM = 64 << 10 }; /* for keys, and many small values */

struct route {
    const char *path;
    enum route_kind kind;
    void (*handle)(struct call *call, struct dkv_slice rest);
    bool is_for_all; /* probes call a node by any name, and learn nothing */
};

static const struct route routes[] = {
    {"/kv/", ROUTE_EXACT, route_list, false},
    {"/kv/", ROUTE_PREFIX, route_key, false},
    {"/node", ROUTE_EXACT, route_node, false},
    {"/cluster", ROUTE_EXACT, route_cluster, false},
    {"/livez", ROUTE_PARTS, route_livez, true},
    {"/readyz", ROUTE_PARTS, route_readyz, true},
    {"/health", ROUTE_EXACT, route_health, true},
    {"/key", ROUTE_PREFIX, route_hraftd_key, false},
    {"/status", ROUTE_EXACT, route_hraftd_status, false},
};

static bool matches(const struct route *route, struct dkv_slice path)
{
    size_t len = strlen(route->path);

    if (path.len < len || memcmp(path.data, route->path, len) != 0)
        return false;
    if (path.len == len || route->kind == ROUTE_PREFIX)
        return true;
    return route->kind == ROUTE_PARTS && ((const char *)path.data)[len] == '/';
}

static const struct route *find_route(struct dkv_slice path)
{
    for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++) {
        if (matches(&routes[i], path))
            return &routes[i];
    }
    return NULL;
}

struct api *api_new(struct api_backend *backend)
{
    struct api *api = xcalloc(1, sizeof(*api));

    dkv_assert(backend->key_max <= KV_KEY_BYTES_MAX);
    api->backend = backend;
    list_init(&api->free_calls);
    list_init(&api->waiting);
    return api;
}

void api_free(struct api **api)
{
    struct list *node;

    if (*api == NULL)
        return;
    while ((node = list_pop(&(*api)->free_calls)) != NULL)
        free(container_of(node, struct call, link));
    free(*api);
    *api = NULL;
}

static bool is_allowed(const struct api *api, const struct http_request *request)
{
    const struct api_access *access = api->backend->access;
    struct dkv_slice origin = http_request_field(request, HTTP_ORIGIN);

    return api_access_allows_host(access, http_request_field(request, HTTP_HOST)) &&
           (origin.data == NULL || api_access_allows_origin(access, origin));
}

static void refuse(struct call *call)
{
    struct dkv_slice origin = http_request_field(call->request, HTTP_ORIGIN);
    struct dkv_slice host = http_request_field(call->request, HTTP_HOST);

    if (api_access_allows_host(call->api->backend->access, host))
        reply_problem(
            call, &problem_origin,
            "web pages of %.*s may not use this node; http.allowed_origins says which may",
            (int)(origin.len < 100 ? origin.len : 100), (const char *)origin.data);
    else
        reply_problem(call, &problem_host,
                      "this node does not go by the name %.*s; if that name is right, add it to "
                      "http.allowed_hosts",
                      (int)(host.len < 100 ? host.len : 100), (const char *)host.data);
}

void api_handle(void *ctx, struct http_request *request)
{
    struct call *call = call_new(ctx, request);
    const struct route *route = find_route(request->path);
    size_t len;

    if (!is_allowed(call->api, request) && (route == NULL || !route->is_for_all)) {
        refuse(call);
        return;
    }
    if (route == NULL) {
        reply_problem(call, &problem_no_route,
                      "there is nothing at this path; keys are under /kv/; /node, /cluster, "
                      "/readyz tell of the node (docs/rest.md)");
        return;
    }
    len = strlen(route->path);
    route->handle(
        call, (struct dkv_slice){(const char *)request->path.data + len, request->path.len - len});
}

bool api_is_probe(void *ctx, const struct http_request *request)
{
    const struct route *route = find_route(request->path);

    (void)ctx;
    return route != NULL && route->is_for_all;
}

/* A JSON body of hraftd's holds a value with escapes.  All of it is read in one go on this thread, so
 * a value that would be little but escapes, of six bytes each, has to come in another way. */
uint64_t api_body_limit(void *ctx, struct http_request *request)
{
    const struct api *api = ctx;
    const struct route *route = is_allowed(api, request) ? find_route(request->path) : NULL;

    if (route != NULL && route->handle == route_hraftd_key)
        return (uint64_t)api->backend->value_max * 2 + HRAFTD_BODY_ROOM;
    if (route != NULL && route->handle == route_key)
        return api->backend->value_max;
    /* Nothing here takes a body, and what is wrong is not its length. */
    api_handle(ctx, request);
    return 0;
}
