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

struct route {
    const char *path;
    enum route_kind kind;
    void (*handle)(struct call *call, struct dkv_slice rest);
};

static const struct route routes[] = {
    {"/kv/", ROUTE_EXACT, route_list},
    {"/kv/", ROUTE_PREFIX, route_key},
    {"/node", ROUTE_EXACT, route_node},
    {"/cluster", ROUTE_EXACT, route_cluster},
    {"/livez", ROUTE_PARTS, route_livez},
    {"/readyz", ROUTE_PARTS, route_readyz},
    {"/health", ROUTE_EXACT, route_health},
    {"/key", ROUTE_PREFIX, route_hraftd_key},
    {"/status", ROUTE_EXACT, route_hraftd_status},
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

void api_handle(void *ctx, struct http_request *request)
{
    struct call *call = call_new(ctx, request);
    const struct route *route = find_route(request->path);
    size_t len;

    if (route == NULL) {
        reply_problem(call, &problem_no_route,
                      "there is nothing at this path; keys are under /kv/, see docs/http.md");
        return;
    }
    len = strlen(route->path);
    route->handle(
        call, (struct dkv_slice){(const char *)request->path.data + len, request->path.len - len});
}

/* A JSON body of hraftd's holds a value in escapes of up to six bytes each. */
uint64_t api_body_limit(void *ctx, struct http_request *request)
{
    const struct api *api = ctx;
    const struct route *route = find_route(request->path);

    if (route != NULL && route->handle == route_hraftd_key)
        return (uint64_t)api->backend->value_max * 6 + 4096;
    if (route != NULL && route->handle == route_key)
        return api->backend->value_max;
    /* Nothing here takes a body, and what is wrong is not its length. */
    api_handle(ctx, request);
    return 0;
}
