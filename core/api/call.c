#include "api/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "base/assert.h"
#include "base/mem.h"

enum { FREE_CALLS_MAX = 256 };

struct call *call_new(struct api *api, struct http_request *request)
{
    struct list *node = list_pop(&api->free_calls);
    struct call *call;

    if (node != NULL) {
        call = container_of(node, struct call, link);
        api->free_count--;
    } else {
        call = xmalloc(sizeof(*call));
        list_init(&call->link);
    }
    call->api = api;
    call->request = request;
    call->is_held = false;
    call->key_len = 0;
    call->state = NULL;
    call->cleanup = NULL;
    call->not_readable = reply_status;
    call->state_lines[0] = '\0';
    api->live_count++;
    return call;
}

void call_free(struct call *call)
{
    struct api *api = call->api;

    if (call->cleanup != NULL)
        call->cleanup(call);
    dkv_assert(api->live_count > 0);
    api->live_count--;
    if (api->free_count == FREE_CALLS_MAX) {
        free(call);
        return;
    }
    api->free_count++;
    list_push_front(&api->free_calls, &call->link);
}

struct dkv_slice call_key(const struct call *call)
{
    return (struct dkv_slice){call->key, call->key_len};
}

bool call_has_control_bytes(struct dkv_slice key)
{
    const uint8_t *bytes = key.data;

    for (size_t i = 0; i < key.len; i++) {
        if (bytes[i] < 0x20 || bytes[i] == 0x7f)
            return true;
    }
    return false;
}

bool call_take_key(struct call *call, struct dkv_slice rest)
{
    uint32_t key_max = call->api->backend->key_max;
    uint8_t key[KV_KEY_BYTES_MAX * 3];
    size_t len = 0;

    if (rest.len > sizeof(key)) { /* too long even if every byte is encoded */
        reply_problem(call, &problem_bad_key, "the key is longer than cluster.key_max, %u bytes",
                      key_max);
        return false;
    }
    if (http_decode(rest, key, &len) != DKV_OK) {
        reply_problem(
            call, &problem_bad_key,
            "the key has a %% that two hexadecimal digits do not follow; write %%25 for %%");
        return false;
    }
    if (len > key_max) {
        reply_problem(call, &problem_bad_key, "the key has %zu bytes; cluster.key_max is %u", len,
                      key_max);
        return false;
    }
    if (len == 0) {
        reply_problem(call, &problem_bad_key, "the key is empty; write /kv/KEY");
        return false;
    }
    if (call_has_control_bytes((struct dkv_slice){key, len})) {
        reply_problem(
            call, &problem_bad_key,
            "the key has a control byte (below 0x20, or 0x7f); use printable characters or "
            "bytes from 0x80");
        return false;
    }
    memcpy(call->key, key, len);
    call->key_len = len;
    return true;
}

static void refuse_parameter(struct call *call, struct dkv_slice name, const char *const *names)
{
    int len = name.len > 64 ? 64 : (int)name.len;
    char known[160] = "no parameter";
    size_t used = 0;

    for (size_t i = 0; names[i] != NULL; i++)
        used += (size_t)snprintf(known + used, sizeof(known) - used, "%s%s", i > 0 ? ", " : "",
                                 names[i]);
    dkv_assert(used < sizeof(known));
    reply_problem(call, &problem_bad_query, "\"%.*s\" is not known here; %s on this path takes %s",
                  len, (const char *)name.data, http_method_text(call->request->method), known);
}

bool call_check_query(struct call *call, const char *const *names)
{
    struct dkv_slice rest = call->request->query, name, value;
    uint32_t seen = 0;

    while (rest.len > 0 && http_query_next(&rest, &name, &value)) {
        unsigned i = 0;

        while (names[i] != NULL && !http_query_name_is(name, names[i]))
            i++;
        if (names[i] == NULL) {
            refuse_parameter(call, name, names);
            return false;
        }
        if ((seen & 1u << i) != 0) {
            reply_problem(call, &problem_bad_query, "%s is there twice; give it once", names[i]);
            return false;
        }
        seen |= 1u << i;
    }
    return true;
}

struct dkv_slice call_query(const struct call *call, const char *name)
{
    struct dkv_slice value = {NULL, 0};

    if (call->request->query.len > 0 && http_query_find(call->request->query, name, &value) &&
        value.data == NULL)
        value.data = ""; /* "?verbose" is there, without a value */
    return value;
}

bool call_query_decoded(const struct call *call, const char *name, struct buf *to, bool *is_bad_out)
{
    struct dkv_slice value = call_query(call, name);
    size_t len = 0;

    if (value.data == NULL)
        return false;
    if (http_decode(value, buf_reserve(to, value.len), &len) != DKV_OK)
        *is_bad_out = true;
    else
        to->len += len;
    return true;
}

void call_later(struct call *call, void (*proceed)(struct call *call))
{
    struct api *api = call->api;

    call->proceed = proceed;
    list_push(&api->waiting, &call->link);
    api->backend->turn_wanted(api->backend);
}

void api_turn(struct api *api)
{
    struct list *node = list_pop(&api->waiting);
    struct call *call;

    if (node == NULL)
        return;
    if (!list_is_empty(&api->waiting))
        api->backend->turn_wanted(api->backend);
    call = container_of(node, struct call, link);
    call->proceed(call);
}

void api_cancel(struct api *api)
{
    struct list *node;

    while ((node = list_pop(&api->waiting)) != NULL)
        reply_status(container_of(node, struct call, link), DKV_ECANCELED);
}

static void barrier_done(struct api_barrier *barrier)
{
    struct call *call = container_of(barrier, struct call, barrier);

    if (barrier->status == DKV_OK)
        call->proceed(call);
    else
        call->not_readable(call, barrier->status);
}

static bool is_text(struct dkv_slice slice, const char *text)
{
    return slice.len == strlen(text) && memcmp(slice.data, text, slice.len) == 0;
}

/* A stale answer says how far behind it may be. */
static void note_state(struct call *call, const struct api_node_view *view)
{
    char contact[24] = "unknown";

    if (view->contact_age_us != UINT64_MAX)
        snprintf(contact, sizeof(contact), "%llu",
                 (unsigned long long)(view->contact_age_us + 999) / 1000);
    snprintf(call->state_lines, sizeof(call->state_lines),
             "Dkv-Applied-Index: %llu\r\nDkv-Leader-Contact-Ms: %s\r\n",
             (unsigned long long)view->applied_index, contact);
}

void call_when_readable(struct call *call, void (*proceed)(struct call *call))
{
    struct api_backend *backend = call->api->backend;
    struct dkv_slice consistency = {NULL, 0};

    if (call->request->query.len > 0)
        consistency = call_query(call, "consistency");
    if (consistency.data != NULL && is_text(consistency, "stale")) {
        struct api_node_view view;

        backend->ops->node_view(backend, &view);
        call->barrier.index = view.applied_index;
        note_state(call, &view);
        proceed(call);
        return;
    }
    if (consistency.data != NULL && !is_text(consistency, "linearizable")) {
        reply_problem(call, &problem_bad_query,
                      "consistency takes linearizable (the default) or stale");
        return;
    }
    call->proceed = proceed;
    call->barrier.wait_max_us = 0;
    call->barrier.done = barrier_done;
    backend->ops->barrier(backend, &call->barrier);
}
