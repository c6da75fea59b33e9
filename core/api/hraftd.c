/* hraftd's /key and /status, byte for byte, except that a follower forwards where hraftd answers
 * 500, that reads are linearizable (?consistency=stale is hraftd's read), and that a key no other API
 * could read is refused.  Its oddities are kept: a missing key reads as "", a bad GET path answers
 * 400 with a body, and whatever follows "/key" up to the next slash does not matter. */
#include "api/routes.h"

#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "api/text.h"
#include "base/blob.h"
#include "base/mem.h"

/* Go's net/http finds this type by looking at the body. */
static const char sniffed[] = "text/plain; charset=utf-8";

/* --- GET --- */

static void answer_get(struct call *call, unsigned status, struct dkv_slice value)
{
    struct buf text = {0};

    buf_add_u8(&text, '{');
    text_add_go_string(&text, call->key, call->key_len);
    buf_add_u8(&text, ':');
    text_add_go_string(&text, value.data, value.len);
    buf_add_u8(&text, '}');
    reply_text(call, status, sniffed, text.data, text.len);
    buf_fini(&text);
}

static void found(struct kv_get *get, const struct kv_record *record)
{
    answer_get(container_of(get, struct call, get), 200, record->value);
}

static void finish_get(struct call *call, int status)
{
    call->is_held = false;
    if (status == DKV_OK)
        call_free(call);
    else if (status == DKV_ENOENT)
        answer_get(call, 200, (struct dkv_slice){"", 0});
    else
        reply_empty(call, 500, 0);
}

static void not_readable(struct call *call, int status)
{
    (void)status;
    reply_empty(call, 500, 0);
}

static void get_done(struct kv_get *get, int status)
{
    finish_get(container_of(get, struct call, get), status);
}

static void read_now(struct call *call)
{
    int status;

    call->get.found = found;
    call->get.done = get_done;
    call->is_held = true; /* found() runs inside the storage's call */
    status = kv_reader_get(call->api->backend->reader, &call->get, call_key(call));
    if (status != DKV_PENDING)
        finish_get(call, status);
}

/* --- POST: each pair is an entry of its own, one after another, as hraftd does it --- */

enum { PAIRS_MAX = 1024 };

struct post {
    json_t *pairs;
    void *at;     /* the next pair */
    bool is_over; /* nobody is there for the answer */
};

static void free_post(struct call *call)
{
    struct post *p = call->state;

    json_decref(p->pairs);
    free(p);
}

static void post_next(struct call *call);

/* hraftd would go on; here a stop does not wait for a long list, nor does anybody longer than for
 * any other request. */
static bool has_to_end(const struct call *call)
{
    struct api_backend *backend = call->api->backend;
    struct api_node_view view;

    if (http_request_age_us(call->request) >= backend->request_timeout_us)
        return true;
    backend->ops->node_view(backend, &view);
    return view.is_stopping;
}

static void post_aborted(struct http_request *request, enum http_abort why)
{
    struct call *call = request->user;
    struct post *p = call->state;

    if (why == HTTP_ABORT_GONE)
        p->is_over = true;
}

static void post_done(struct api_write *write)
{
    struct call *call = container_of(write, struct call, write);

    if (write->status != DKV_OK)
        reply_empty(call, 500, 0);
    else
        post_next(call);
}

static void propose(struct call *call, const struct kv_command *command,
                    void (*done)(struct api_write *write))
{
    call->write = (struct api_write){.done = done};
    call->write.command = kv_command_encode(command);
    if (call->write.command == NULL)
        reply_empty(call, 500, 0);
    else
        call->api->backend->ops->write(call->api->backend, &call->write);
}

static void post_next(struct call *call)
{
    struct post *p = call->state;
    struct kv_command command = {.op = KV_OP_PUT};
    const char *key;
    json_t *value;

    if (p->at == NULL) {
        reply_text(call, 200, NULL, "", 0);
        return;
    }
    if (p->is_over || has_to_end(call)) {
        reply_empty(call, 500, 0);
        return;
    }
    key = json_object_iter_key(p->at);
    value = json_object_iter_value(p->at);
    command.key = (struct dkv_slice){key, strlen(key)};
    command.value = (struct dkv_slice){json_string_value(value), json_string_length(value)};
    p->at = json_object_iter_next(p->pairs, p->at);
    propose(call, &command, post_done);
}

/* All of them, before any is written. */
static bool are_acceptable(const struct call *call, json_t *pairs)
{
    const struct api_backend *backend = call->api->backend;
    const char *key;
    json_t *value;

    if (!json_is_object(pairs))
        return false;
    json_object_foreach(pairs, key, value)
    {
        size_t len = strlen(key);

        if (!json_is_string(value) || json_string_length(value) > backend->value_max || len == 0 ||
            len > backend->key_max || call_has_control_bytes((struct dkv_slice){key, len}))
            return false;
    }
    return true;
}

static size_t skip_string(const uint8_t *bytes, size_t at, size_t len)
{
    while (at < len && bytes[at] != '"')
        at += bytes[at] == '\\' ? 2 : 1;
    return at;
}

/* How many pairs it may have at most; PAIRS_MAX + 1 also for what is no object of strings for
 * certain.  Reading JSON costs a hundred times its size in memory where it is made of brackets. */
static size_t count_pairs(struct dkv_slice body)
{
    const uint8_t *bytes = body.data;
    size_t pairs = 1, opened = 0;

    for (size_t at = 0; at < body.len && pairs <= PAIRS_MAX; at++) {
        switch (bytes[at]) {
        case '"':
            at = skip_string(bytes, at + 1, body.len);
            break;
        case ',':
            pairs++;
            break;
        case '{':
            pairs = opened++ == 0 ? pairs : PAIRS_MAX + 1;
            break;
        case ' ':
        case '\t':
        case '\r':
        case '\n':
        case ':':
        case '}':
            break;
        default:
            return PAIRS_MAX + 1;
        }
    }
    return pairs;
}

static void post_now(struct call *call)
{
    struct dkv_slice body = call->request->body;
    json_t *pairs = json_loadb(body.data, body.len, JSON_ALLOW_NUL, NULL);
    struct post *p;

    if (!are_acceptable(call, pairs)) {
        json_decref(pairs);
        reply_empty(call, 400, 0);
        return;
    }
    p = xmalloc(sizeof(*p));
    *p = (struct post){.pairs = pairs, .at = json_object_iter(pairs)};
    call->state = p;
    call->cleanup = free_post;
    call->request->user = call;
    call->request->on_abort = post_aborted;
    post_next(call);
}

static void post(struct call *call)
{
    if (count_pairs(call->request->body) > PAIRS_MAX)
        reply_empty(call, 400, 0);
    else
        call_later(call, post_now);
}

/* --- DELETE --- */

static void delete_done(struct api_write *write)
{
    struct call *call = container_of(write, struct call, write);

    if (write->status != DKV_OK)
        reply_empty(call, 500, 0);
    else
        reply_text(call, 200, NULL, "", 0);
}

/* hraftd takes any path that begins with /key and has two slashes, once it is decoded. */
static bool take_one_part(struct call *call, struct dkv_slice rest)
{
    const char *slash = rest.len > 0 ? memchr(rest.data, '/', rest.len) : NULL;
    struct dkv_slice part;
    size_t len;

    if (slash == NULL || memchr(rest.data, '%', (size_t)(slash - (const char *)rest.data)) != NULL)
        return false;
    part.data = slash + 1;
    part.len = rest.len - (size_t)(slash + 1 - (const char *)rest.data);
    if (part.len == 0 || part.len > sizeof(call->key) ||
        http_decode(part, call->key, &len) != DKV_OK || len == 0 ||
        len > call->api->backend->key_max || memchr(call->key, '/', len) != NULL)
        return false;
    call->key_len = len;
    return true;
}

void route_hraftd_key(struct call *call, struct dkv_slice rest)
{
    bool has_key = take_one_part(call, rest);
    struct kv_command command = {.op = KV_OP_DELETE};

    switch (call->request->method) {
    case HTTP_GET:
        call->not_readable = not_readable;
        if (has_key)
            call_when_readable(call, read_now);
        else
            answer_get(call, 400, (struct dkv_slice){"", 0});
        break;
    case HTTP_POST:
        post(call);
        break;
    case HTTP_DELETE:
        if (!has_key) {
            reply_empty(call, 400, 0);
            break;
        }
        command.key = call_key(call);
        propose(call, &command, delete_done);
        break;
    default:
        reply_empty(call, 405, 0);
    }
}

/* --- /status --- */

static void add_node(struct buf *to, const char *name, const char *address)
{
    buf_add_text(to, "{\"id\":");
    text_add_go_string(to, name, strlen(name));
    buf_add_text(to, ",\"address\":");
    text_add_go_string(to, address, strlen(address));
    buf_add_u8(to, '}');
}

static const char *address_of(const struct api_cluster_view *members, const char *name)
{
    for (uint32_t i = 0; i < members->members_count; i++) {
        if (strcmp(members->members[i].name, name) == 0)
            return members->members[i].peer;
    }
    return "";
}

void route_hraftd_status(struct call *call, struct dkv_slice rest)
{
    struct api_cluster_view *members = xcalloc(1, sizeof(*members));
    struct api_node_view node;
    struct buf text = {0};
    const char *comma = "";

    (void)rest;
    call->api->backend->ops->node_view(call->api->backend, &node);
    call->api->backend->ops->members(call->api->backend, members);
    buf_add_text(&text, "{\"me\":");
    add_node(&text, node.name, address_of(members, node.name));
    buf_add_text(&text, ",\"leader\":");
    add_node(&text, node.leader, address_of(members, node.leader));
    buf_add_text(&text, ",\"followers\":[");
    for (uint32_t i = 0; i < members->members_count; i++) {
        const struct api_member *m = &members->members[i];

        if (strcmp(m->name, node.leader) == 0)
            continue;
        buf_add_text(&text, comma);
        add_node(&text, m->name, m->peer);
        comma = ",";
    }
    buf_add_text(&text, "]}");
    /* Other methods get 405 and the body all the same, as there. */
    reply_text(call, call->request->method == HTTP_GET ? 200 : 405, sniffed, text.data, text.len);
    buf_fini(&text);
    free(members);
}
