#include "bench/load/dialect.h"

#include <jansson.h>
#include <string.h>

static const char *const names[] = {"dkv", "etcd", "hraftd", "fixed"};

int dialect_parse(const char *name, enum dialect *dialect_out)
{
    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(name, names[i]) == 0) {
            *dialect_out = (enum dialect)i;
            return 0;
        }
    }
    return -1;
}

const char *dialect_name(enum dialect dialect)
{
    return names[dialect];
}

static void add_escaped(struct buf *to, struct dkv_slice key)
{
    static const char hex[] = "0123456789ABCDEF";
    const unsigned char *bytes = key.data;

    for (size_t i = 0; i < key.len; i++) {
        unsigned char c = bytes[i];

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '.' || c == '_' || c == '~')
            buf_add_u8(to, c);
        else
            buf_add(to, (char[]){'%', hex[c >> 4], hex[c & 15]}, 3);
    }
}

static size_t base64_size(size_t size)
{
    return (size + 2) / 3 * 4;
}

static void add_base64(struct buf *to, struct dkv_slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = bytes.data;

    for (size_t i = 0; i < bytes.len; i += 3) {
        size_t rest = bytes.len - i;
        uint32_t three = (uint32_t)in[i] << 16 | (rest > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                         (rest > 2 ? in[i + 2] : 0);
        char out[4] = {digits[three >> 18], digits[three >> 12 & 63],
                       rest > 1 ? digits[three >> 6 & 63] : '=',
                       rest > 2 ? digits[three & 63] : '='};

        buf_add(to, out, sizeof(out));
    }
}

static void add_host(struct buf *to, const char *host)
{
    buf_add_text(to, " HTTP/1.1\r\nHost: ");
    buf_add_text(to, host);
}

static void add_length(struct buf *to, size_t length)
{
    buf_addf(to, "\r\nContent-Length: %zu\r\n\r\n", length);
}

static void etcd_request(struct buf *to, const char *path, const char *host, struct dkv_slice key,
                         const struct dkv_slice *value)
{
    size_t length = strlen("{\"key\":\"\"}") + base64_size(key.len);

    if (value != NULL)
        length += strlen(",\"value\":\"\"") + base64_size(value->len);
    buf_add_text(to, path);
    add_host(to, host);
    add_length(to, length);
    buf_add_text(to, "{\"key\":\"");
    add_base64(to, key);
    if (value != NULL) {
        buf_add_text(to, "\",\"value\":\"");
        add_base64(to, *value);
    }
    buf_add_text(to, "\"}");
}

/* Keys and values of this dialect are the printable ones that the generator makes. */
static void hraftd_put(struct buf *to, const char *host, struct dkv_slice key,
                       struct dkv_slice value)
{
    buf_add_text(to, "POST /key");
    add_host(to, host);
    add_length(to, key.len + value.len + strlen("{\"\":\"\"}"));
    buf_add_text(to, "{\"");
    buf_add(to, key.data, key.len);
    buf_add_text(to, "\":\"");
    buf_add(to, value.data, value.len);
    buf_add_text(to, "\"}");
}

void dialect_put(enum dialect dialect, const char *host, struct dkv_slice key,
                 struct dkv_slice value, struct buf *to)
{
    switch (dialect) {
    case DIALECT_ETCD:
        etcd_request(to, "POST /v3/kv/put", host, key, &value);
        return;
    case DIALECT_HRAFTD:
        hraftd_put(to, host, key, value);
        return;
    case DIALECT_DKV:
    case DIALECT_FIXED:
        break;
    }
    buf_add_text(to, "PUT /kv/");
    add_escaped(to, key);
    add_host(to, host);
    add_length(to, value.len);
    buf_add(to, value.data, value.len);
}

void dialect_get(enum dialect dialect, const char *host, struct dkv_slice key, const char *extra,
                 struct buf *to)
{
    switch (dialect) {
    case DIALECT_ETCD:
        etcd_request(to, "POST /v3/kv/range", host, key, NULL);
        return;
    case DIALECT_HRAFTD:
        buf_add_text(to, "GET /key/");
        add_escaped(to, key);
        break;
    case DIALECT_DKV:
        buf_add_text(to, "GET /kv/");
        add_escaped(to, key);
        buf_add_text(to, extra);
        break;
    case DIALECT_FIXED:
        buf_add_text(to, "GET ");
        buf_add_text(to, extra);
        break;
    }
    add_host(to, host);
    buf_add_text(to, "\r\n\r\n");
}

static bool body_has(const struct response *response, const char *text)
{
    size_t size = strlen(text);

    for (size_t i = 0; i + size <= response->body_len; i++) {
        if (memcmp(response->body + i, text, size) == 0)
            return true;
    }
    return false;
}

static enum verdict judge_ok(enum dialect dialect, bool is_put, const struct response *response)
{
    if (is_put || dialect == DIALECT_FIXED || dialect == DIALECT_DKV)
        return VERDICT_OK;
    if (dialect == DIALECT_ETCD)
        return body_has(response, "\"kvs\"") ? VERDICT_OK : VERDICT_MISSING;
    return body_has(response, ":\"\"}") ? VERDICT_MISSING : VERDICT_OK;
}

enum verdict dialect_judge(enum dialect dialect, bool is_put, const struct response *response)
{
    int status = response->status;

    if (status == 200 || (is_put && (status == 201 || status == 204)))
        return judge_ok(dialect, is_put, response);
    if (status == 404 && !is_put)
        return VERDICT_MISSING;
    if (dialect == DIALECT_DKV && body_has(response, "\"none\""))
        return status == 429 || status >= 500 ? VERDICT_REFUSED : VERDICT_WRONG;
    if (status == 429)
        return VERDICT_REFUSED;
    return status >= 500 ? VERDICT_UNKNOWN : VERDICT_WRONG;
}

void dialect_ask_leader(enum dialect dialect, const char *host, struct buf *to)
{
    if (dialect == DIALECT_ETCD) {
        buf_add_text(to, "POST /v3/maintenance/status");
        add_host(to, host);
        add_length(to, 2);
        buf_add_text(to, "{}");
        return;
    }
    buf_add_text(to, dialect == DIALECT_HRAFTD ? "GET /status" : "GET /node");
    add_host(to, host);
    buf_add_text(to, "\r\n\r\n");
}

static bool same_text(const json_t *one, const json_t *two)
{
    const char *a = json_string_value(one), *b = json_string_value(two);

    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

bool dialect_is_leader(enum dialect dialect, const struct response *response)
{
    json_t *root;
    bool leads = false;

    if (response->status != 200)
        return false;
    root = json_loadb(response->body, response->body_len, 0, NULL);
    if (dialect == DIALECT_ETCD) {
        leads = same_text(json_object_get(root, "leader"),
                          json_object_get(json_object_get(root, "header"), "member_id"));
    } else if (dialect == DIALECT_HRAFTD) {
        leads = same_text(json_object_get(json_object_get(root, "me"), "id"),
                          json_object_get(json_object_get(root, "leader"), "id"));
    } else {
        const char *role = json_string_value(json_object_get(root, "role"));

        leads = role != NULL && strcmp(role, "leader") == 0;
    }
    json_decref(root);
    return leads;
}
