#include "api/reply.h"

#include <event2/buffer.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

const struct problem problem_bad_key = {400, "bad_key", "The key is not acceptable", OUTCOME_NONE};
const struct problem problem_bad_query = {400, "bad_query", "A query parameter is not acceptable",
                                          OUTCOME_NONE};
const struct problem problem_bad_header = {400, "bad_header", "A header is not acceptable",
                                           OUTCOME_NONE};
const struct problem problem_origin = {403, "origin_not_allowed", "Not for this web page",
                                       OUTCOME_NONE};
const struct problem problem_host = {403, "host_not_allowed", "Not by this name", OUTCOME_NONE};
const struct problem problem_not_found = {404, "not_found", "Not found", OUTCOME_NONE};
const struct problem problem_no_route = {404, "no_route", "No such path", OUTCOME_NONE};
const struct problem problem_method = {405, "method_not_allowed", "Method not allowed",
                                       OUTCOME_NONE};
const struct problem problem_condition = {412, "condition_failed", "The condition does not hold",
                                          OUTCOME_NONE};
const struct problem problem_too_long = {413, "value_too_long", "The value is too long",
                                         OUTCOME_NONE};
const struct problem problem_overload = {429, "overloaded", "Too much is waiting already",
                                         OUTCOME_NONE};
const struct problem problem_storage = {500, "storage", "The storage failed", OUTCOME_NONE};
static const struct problem problem_storage_write = {500, "storage", "The storage failed",
                                                     OUTCOME_UNKNOWN};
const struct problem problem_not_supported = {501, "not_supported",
                                              "Not supported by this node's storage", OUTCOME_NONE};
const struct problem problem_no_leader = {503, "no_leader", "No leader", OUTCOME_NONE};
const struct problem problem_stopping = {503, "stopping", "The node is stopping", OUTCOME_NONE};
const struct problem problem_timeout = {504, "timeout", "No answer in time", OUTCOME_UNKNOWN};
const struct problem problem_disk_full = {507, "disk_full", "The disk is full", OUTCOME_NONE};

enum { RETRY_AFTER_S = 1 };

static const char problem_type[] = "application/problem+json";

static void finish(struct call *call)
{
    call->request = NULL;
    if (!call->is_held)
        call_free(call);
}

static json_t *problem_json(unsigned status, const char *code, const char *title,
                            const char *detail, enum reply_outcome outcome, uint64_t request_id)
{
    json_t *body = json_object();
    char id[17];

    json_object_set_new(body, "type", json_string("about:blank"));
    json_object_set_new(body, "title", json_string(title));
    json_object_set_new(body, "status", json_integer(status));
    json_object_set_new(body, "code", json_string(code));
    json_object_set_new(body, "detail", json_string(detail));
    json_object_set_new(body, "outcome",
                        json_string(outcome == OUTCOME_UNKNOWN ? "unknown" : "none"));
    snprintf(id, sizeof(id), "%016llx", (unsigned long long)request_id);
    json_object_set_new(body, "request_id", json_string(id));
    return body;
}

static int add_text(const char *text, size_t len, void *to)
{
    buf_add(to, text, len);
    return 0;
}

static void dump(struct buf *to, json_t *json)
{
    int failed = json_dump_callback(json, add_text, to, JSON_COMPACT);

    dkv_assert(failed == 0);
    buf_add_u8(to, '\n');
    json_decref(json);
}

static void send_problem(struct call *call, const struct problem *problem,
                         struct http_reply_fields *fields, const char *detail)
{
    struct api_node_view view;
    struct buf text = {0};
    json_t *body = problem_json(problem->status, problem->code, problem->title, detail,
                                problem->outcome, call->request->id);

    if (problem->status >= 500) {
        call->api->backend->ops->node_view(call->api->backend, &view);
        json_object_set_new(body, "leader",
                            view.leader[0] == '\0' ? json_null() : json_string(view.leader));
    }
    if (problem->status == 503 || problem->status == 429 || problem->status == 507)
        fields->retry_after_s = RETRY_AFTER_S;
    fields->content_type = problem_type;
    dump(&text, body);
    http_reply(call->request, (int)problem->status, fields, text.data, text.len);
    buf_fini(&text);
    finish(call);
}

static const char *state_lines(const struct call *call)
{
    return call->state_lines[0] == '\0' ? NULL : call->state_lines;
}

void reply_problem(struct call *call, const struct problem *problem, const char *fmt, ...)
{
    struct http_reply_fields fields = {.extra = state_lines(call)};
    char detail[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    send_problem(call, problem, &fields, detail);
}

void reply_condition_failed(struct call *call, uint64_t revision)
{
    struct http_reply_fields fields = {.etag = revision, .has_etag = revision != 0};
    char detail[128];

    if (revision == 0)
        snprintf(detail, sizeof(detail), "the key does not exist");
    else
        snprintf(detail, sizeof(detail), "the key's ETag is \"%llu\"",
                 (unsigned long long)revision);
    send_problem(call, &problem_condition, &fields, detail);
}

void reply_method_not_allowed(struct call *call, const char *allow)
{
    struct http_reply_fields fields = {0};
    char lines[80], detail[128];

    snprintf(lines, sizeof(lines), "Allow: %s\r\n", allow);
    snprintf(detail, sizeof(detail), "this path takes %s", allow);
    fields.extra = lines;
    send_problem(call, &problem_method, &fields, detail);
}

static bool is_write(const struct call *call)
{
    enum http_method method = call->request->method;

    return method == HTTP_PUT || method == HTTP_POST || method == HTTP_DELETE;
}

void reply_status(struct call *call, int status)
{
    switch (status) {
    case DKV_EUNAVAIL:
        reply_problem(call, &problem_no_leader,
                      "no leader with a majority of the nodes was found in time; try again, and "
                      "see GET /node on each node and the log for nodes that are down");
        break;
    case DKV_EUNCERTAIN:
        reply_problem(
            call, &problem_timeout,
            "the write was sent, but its result did not come in time: it may or may not take "
            "effect; read the key before you write again");
        break;
    case DKV_ENOSPC:
        reply_problem(call, &problem_disk_full,
                      "free space in node.data_dir; writes are taken again by themselves");
        break;
    case DKV_ENOMEM:
        reply_problem(call, &problem_overload, "wait a moment and send less at once");
        break;
    case DKV_ECANCELED:
        reply_problem(call, &problem_stopping, "ask another node");
        break;
    default:
        reply_problem(call, is_write(call) ? &problem_storage_write : &problem_storage,
                      "status %d; see the node's log", status);
        break;
    }
}

void reply_empty(struct call *call, unsigned status, uint64_t revision)
{
    struct http_reply_fields fields = {
        .etag = revision, .has_etag = revision != 0, .extra = state_lines(call)};

    http_reply(call->request, (int)status, &fields, NULL, 0);
    finish(call);
}

void reply_value(struct call *call, uint64_t revision, struct dkv_slice value)
{
    struct http_reply_fields fields = {.content_type = "application/octet-stream",
                                       .etag = revision,
                                       .has_etag = true,
                                       .extra = state_lines(call)};

    http_reply(call->request, 200, &fields, value.data, value.len);
    finish(call);
}

void reply_text(struct call *call, unsigned status, const char *content_type, const void *text,
                size_t len)
{
    struct http_reply_fields fields = {.content_type = content_type, .extra = state_lines(call)};

    http_reply(call->request, (int)status, &fields, text, len);
    finish(call);
}

void reply_json(struct call *call, json_t *json)
{
    struct buf text = {0};

    dump(&text, json);
    reply_text(call, 200, "application/json", text.data, text.len);
    buf_fini(&text);
}

const char *api_error_body(void *ctx, const struct http_error *error, struct buf *body)
{
    const struct api *api = ctx;
    char detail[256];

    /* The server knows how long a body may be, but not what decides it. */
    if (error->status == 413)
        snprintf(detail, sizeof(detail), "%s; cluster.value_max is %u", error->detail,
                 api->backend->value_max);
    dump(body, problem_json((unsigned)error->status, error->code, "The request was refused",
                            error->status == 413 ? detail : error->detail, OUTCOME_NONE,
                            error->request_id));
    return problem_type;
}
