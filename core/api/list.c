/* GET /kv/?prefix=&limit=&after=&keys=1: a page of keys in byte order.
 *
 * A page ends after `limit` items or about a mebibyte of values, whichever comes first, and then
 * says where the next one begins.  Keys and values that are not UTF-8 come as key_b64 and
 * value_b64, and the cursor as next_b64, which goes back as after_b64. */
#include "api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "api/text.h"
#include "base/mem.h"

enum { PAGE_ITEMS = 1000, PAGE_BYTES = 1 << 20 };

struct list_state {
    struct kv_list list;
    struct call *call;
    struct buf prefix, after;
    json_t *items;
    bool keys_only, is_full;
    uint64_t limit, count, bytes;
    struct buf last; /* the last key on the page */
};

static void list_state_free(struct call *call)
{
    struct list_state *s = call->state;

    buf_fini(&s->prefix);
    buf_fini(&s->after);
    buf_fini(&s->last);
    if (s->items != NULL)
        json_decref(s->items);
    free(s);
}

/* Sets object[name] or object[name_b64]. */
static void set_bytes(json_t *object, const char *name, struct dkv_slice bytes)
{
    struct buf text = {0};
    char name_b64[32];

    if (text_is_utf8(bytes.data, bytes.len)) {
        json_object_set_new(object, name, json_stringn_nocheck(bytes.data, bytes.len));
        return;
    }
    snprintf(name_b64, sizeof(name_b64), "%s_b64", name);
    text_add_base64(&text, bytes.data, bytes.len);
    json_object_set_new(object, name_b64, json_stringn_nocheck((char *)text.data, text.len));
    buf_fini(&text);
}

static json_t *key_item(struct dkv_slice key)
{
    json_t *object;

    if (text_is_utf8(key.data, key.len))
        return json_stringn_nocheck(key.data, key.len);
    object = json_object();
    set_bytes(object, "key", key);
    return object;
}

static json_t *record_item(struct dkv_slice key, const struct kv_record *record)
{
    json_t *object = json_object();

    set_bytes(object, "key", key);
    set_bytes(object, "value", record->value);
    json_object_set_new(object, "revision", json_integer((json_int_t)record->revision));
    return object;
}

static int add_item(struct kv_list *list, struct dkv_slice key, const struct kv_record *record)
{
    struct list_state *s = container_of(list, struct list_state, list);

    if (s->count == s->limit || s->bytes >= PAGE_BYTES) {
        s->is_full = true;
        return 1;
    }
    json_array_append_new(s->items, s->keys_only ? key_item(key) : record_item(key, record));
    s->count++;
    s->bytes += key.len + (s->keys_only ? 0 : record->value.len);
    buf_reset(&s->last);
    buf_add(&s->last, key.data, key.len);
    return 0;
}

static void finish(struct call *call, int status)
{
    struct list_state *s = call->state;
    json_t *body;

    if (status == DKV_ENOTSUP) {
        reply_problem(call, &problem_not_supported,
                      "this node's storage plugin cannot list keys in order");
        return;
    }
    if (status != DKV_OK) {
        reply_status(call, status);
        return;
    }
    body = json_object();
    json_object_set_new(body, "revision", json_integer((json_int_t)call->barrier.index));
    json_object_set(body, s->keys_only ? "keys" : "items", s->items);
    if (s->is_full)
        set_bytes(body, "next", (struct dkv_slice){s->last.data, s->last.len});
    reply_json(call, body);
}

static void list_done(struct kv_list *list, int status)
{
    finish(container_of(list, struct list_state, list)->call, status);
}

static void run_list(struct call *call)
{
    struct list_state *s = call->state;
    int status;

    s->list.item = add_item;
    s->list.done = list_done;
    /* One more than the page holds tells whether there is a next one. */
    status = kv_reader_list(call->api->backend->reader, &s->list,
                            (struct dkv_slice){s->prefix.data, s->prefix.len},
                            (struct dkv_slice){s->after.data, s->after.len}, s->limit + 1);
    if (status != DKV_PENDING)
        finish(call, status);
}

static void list_now(struct call *call)
{
    call_later(call, run_list);
}

static bool take_limit(struct call *call, struct list_state *s)
{
    struct dkv_slice limit = call_query(call, "limit");
    const char *at = limit.data;
    uint64_t n = 0;

    s->limit = PAGE_ITEMS;
    if (limit.data == NULL)
        return true;
    for (size_t i = 0; i < limit.len; i++) {
        if (at[i] < '0' || at[i] > '9' || n > PAGE_ITEMS)
            return false;
        n = n * 10 + (uint64_t)(at[i] - '0');
    }
    if (limit.len == 0 || n == 0 || n > PAGE_ITEMS)
        return false;
    s->limit = n;
    return true;
}

static bool take_after(struct call *call, struct list_state *s)
{
    struct buf text = {0};
    bool is_bad = false;
    bool is_good = true;

    if (call_query_decoded(call, "after_b64", &text, &is_bad))
        is_good = text_decode_base64(&s->after, (const char *)text.data, text.len);
    else
        (void)call_query_decoded(call, "after", &s->after, &is_bad);
    buf_fini(&text);
    return is_good && !is_bad && s->after.len <= KV_KEY_BYTES_MAX;
}

/* A list changes with every key in it and has no ETag: a condition could only be ignored, and whoever
 * sent it would take the answer for its proof. */
static bool has_condition(const struct call *call)
{
    return http_request_field(call->request, HTTP_IF_MATCH).data != NULL ||
           http_request_field(call->request, HTTP_IF_NONE_MATCH).data != NULL;
}

static bool may_list(struct call *call)
{
    enum http_method method = call->request->method;

    if (method == HTTP_PUT || method == HTTP_DELETE)
        reply_problem(call, &problem_bad_key, "the key is empty; write /kv/KEY");
    else if (method != HTTP_GET && method != HTTP_HEAD)
        reply_method_not_allowed(call, "GET, HEAD");
    else if (has_condition(call))
        reply_problem(call, &problem_bad_header,
                      "a list has no ETag; If-Match and If-None-Match are for /kv/KEY");
    else
        return true;
    return false;
}

void route_list(struct call *call, struct dkv_slice rest)
{
    static const char *const parameters[] = {"prefix", "after",       "after_b64", "limit",
                                             "keys",   "consistency", NULL};
    struct list_state *s;
    struct dkv_slice keys;
    bool is_bad = false;

    (void)rest;
    if (!may_list(call) || !call_check_query(call, parameters))
        return;
    s = xcalloc(1, sizeof(*s));
    s->call = call;
    s->items = json_array();
    call->state = s;
    call->cleanup = list_state_free;
    keys = call_query(call, "keys");
    if (keys.data != NULL &&
        !(keys.len == 1 && memchr("01", *(const char *)keys.data, 2) != NULL)) {
        reply_problem(call, &problem_bad_query, "keys takes 1, keys without values, or 0");
        return;
    }
    s->keys_only = keys.data != NULL && *(const char *)keys.data == '1';
    (void)call_query_decoded(call, "prefix", &s->prefix, &is_bad);
    if (is_bad || s->prefix.len > KV_KEY_BYTES_MAX || !take_after(call, s)) {
        reply_problem(call, &problem_bad_query,
                      "prefix and after take a percent-encoded key, after_b64 a cursor as next_b64 "
                      "gave it");
        return;
    }
    if (!take_limit(call, s)) {
        reply_problem(call, &problem_bad_query, "limit takes a number from 1 to %d", PAGE_ITEMS);
        return;
    }
    call_when_readable(call, list_now);
}
