/* GET, HEAD, PUT and DELETE /kv/{key}: raw bytes, revisions as ETags, conditions as headers. */
#include "api/routes.h"

#include <string.h>

#include "base/assert.h"
#include "base/blob.h"
#include "api/reply.h"

/* --- reading --- */

static bool is_star(struct dkv_slice header)
{
    return header.len == 1 && *(const char *)header.data == '*';
}

static const char *skip_separators(const char *at, const char *end)
{
    while (at < end && (*at == ',' || *at == ' ' || *at == '\t'))
        at++;
    return at;
}

/* One of the list is the ETag of this revision, or the list is "*".  A weak one (a cache's W/"7")
 * counts where only an answer is spared (RFC 9110, 8.8.3.2). */
static bool etags_have(struct dkv_slice list, uint64_t revision, bool weak_counts)
{
    const char *at = list.data, *end = at + list.len;
    char etag[24];
    size_t len = (size_t)snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)revision);

    if (is_star(list))
        return true;
    for (at = skip_separators(at, end); at < end; at = skip_separators(at, end)) {
        const char *next = memchr(at, ',', (size_t)(end - at));
        size_t left = (size_t)((next != NULL ? next : end) - at);

        next = at + left;
        while (left > 0 && (at[left - 1] == ' ' || at[left - 1] == '\t'))
            left--;
        if (weak_counts && left > 2 && memcmp(at, "W/", 2) == 0) {
            at += 2;
            left -= 2;
        }
        if (left == len && memcmp(at, etag, len) == 0)
            return true;
        at = next;
    }
    return false;
}

static void found(struct kv_get *get, const struct kv_record *record)
{
    struct call *call = container_of(get, struct call, get);
    struct dkv_slice wanted = http_request_field(call->request, HTTP_IF_MATCH);
    struct dkv_slice known = http_request_field(call->request, HTTP_IF_NONE_MATCH);

    if (wanted.data != NULL && !etags_have(wanted, record->revision, false))
        reply_condition_failed(call, record->revision);
    else if (known.data != NULL && etags_have(known, record->revision, true))
        reply_empty(call, 304, record->revision);
    else
        reply_value(call, record->revision, record->value);
}

/* found() has answered when the status is DKV_OK. */
static void finish_get(struct call *call, int status)
{
    call->is_held = false;
    if (status == DKV_OK)
        call_free(call);
    else if (status == DKV_ENOENT && http_request_field(call->request, HTTP_IF_MATCH).data != NULL)
        reply_condition_failed(call, 0);
    else if (status == DKV_ENOENT)
        reply_problem(call, &problem_not_found, "there is no such key");
    else
        reply_status(call, status);
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

/* --- writing --- */

static bool parse_etag(struct dkv_slice header, uint64_t *revision_out)
{
    const char *at = header.data;
    uint64_t revision = 0;

    if (header.len < 3 || header.len > 22 || at[0] != '"' || at[header.len - 1] != '"')
        return false;
    for (size_t i = 1; i + 1 < header.len; i++) {
        if (at[i] < '0' || at[i] > '9' ||
            __builtin_mul_overflow(revision, (uint64_t)10, &revision) ||
            __builtin_add_overflow(revision, (uint64_t)(at[i] - '0'), &revision))
            return false;
    }
    *revision_out = revision;
    return true;
}

/* Answers 400 itself when the conditions make no sense. */
static bool take_conditions(struct call *call, struct kv_command *command)
{
    struct dkv_slice match = http_request_field(call->request, HTTP_IF_MATCH);
    struct dkv_slice none = http_request_field(call->request, HTTP_IF_NONE_MATCH);

    if (match.data != NULL && none.data != NULL) {
        reply_problem(call, &problem_bad_header,
                      "If-Match and If-None-Match cannot both hold; send one of them");
        return false;
    }
    if (match.data != NULL && is_star(match)) {
        command->flags = KV_IF_EXISTS;
    } else if (match.data != NULL) {
        if (!parse_etag(match, &command->match)) {
            reply_problem(call, &problem_bad_header,
                          "If-Match takes one ETag as this API gives them, such as \"42\", or *");
            return false;
        }
        command->flags = KV_IF_REVISION;
    } else if (none.data != NULL) {
        if (!is_star(none)) {
            reply_problem(call, &problem_bad_header, "If-None-Match takes only * when writing");
            return false;
        }
        command->flags = KV_IF_ABSENT;
    }
    return true;
}

static void write_done(struct api_write *write)
{
    struct call *call = container_of(write, struct call, write);

    if (write->status != DKV_OK) {
        reply_status(call, write->status);
        return;
    }
    switch ((enum kv_outcome)write->result.outcome) {
    case KV_OUTCOME_CREATED:
        reply_empty(call, 201, write->result.revision);
        break;
    case KV_OUTCOME_REPLACED:
    case KV_OUTCOME_DELETED:
        reply_empty(call, 204, write->result.revision);
        break;
    case KV_OUTCOME_NOT_FOUND:
        reply_problem(call, &problem_not_found, "there is no such key");
        break;
    case KV_OUTCOME_CONDITION:
        reply_condition_failed(call, write->result.revision);
        break;
    case KV_OUTCOME_NONE:
        reply_status(call, DKV_EUNCERTAIN);
        break;
    }
}

static void write_key(struct call *call, enum kv_op op)
{
    struct kv_command command = {.op = op, .key = call_key(call)};

    if (op == KV_OP_PUT)
        command.value = call->request->body;
    if (!take_conditions(call, &command))
        return;
    if (command.value.len > call->api->backend->value_max) {
        reply_problem(call, &problem_too_long, "the value has %zu bytes; cluster.value_max is %u",
                      command.value.len, call->api->backend->value_max);
        return;
    }
    call->write = (struct api_write){.done = write_done};
    call->write.command = kv_command_encode(&command);
    if (call->write.command == NULL) {
        reply_status(call, DKV_ENOMEM);
        return;
    }
    call->api->backend->ops->write(call->api->backend, &call->write);
}

void route_key(struct call *call, struct dkv_slice rest)
{
    static const char *const of_read[] = {"consistency", NULL}, *const of_write[] = {NULL};
    enum http_method method = call->request->method;
    bool is_read = method == HTTP_GET || method == HTTP_HEAD;

    if (!is_read && method != HTTP_PUT && method != HTTP_DELETE) {
        reply_method_not_allowed(call, "GET, HEAD, PUT, DELETE");
        return;
    }
    if (!call_take_key(call, rest) || !call_check_query(call, is_read ? of_read : of_write))
        return;
    if (method == HTTP_PUT)
        write_key(call, KV_OP_PUT);
    else if (method == HTTP_DELETE)
        write_key(call, KV_OP_DELETE);
    else
        call_when_readable(call, read_now);
}
