#include <string.h>

#include "http/http.h"

static int hex_value(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int http_decode(struct dkv_slice part, void *out, size_t *len_out)
{
    const uint8_t *in = part.data;
    uint8_t *to = out;
    size_t n = 0;

    for (size_t i = 0; i < part.len; i++) {
        uint8_t c = in[i];

        if (c == '%') {
            int high = i + 2 < part.len ? hex_value(in[i + 1]) : -1;
            int low = i + 2 < part.len ? hex_value(in[i + 2]) : -1;

            if (high < 0 || low < 0)
                return DKV_EINVAL;
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        to[n++] = c;
    }
    *len_out = n;
    return DKV_OK;
}

bool http_query_next(struct dkv_slice *rest, struct dkv_slice *name_out,
                     struct dkv_slice *value_out)
{
    const char *p = rest->data;
    const char *end, *amp, *equals;

    /* Empty parts, as in "a=1&&b=2", are nobody's parameter. */
    while (rest->len > 0 && p[0] == '&') {
        p++;
        rest->len--;
    }
    rest->data = p;
    if (rest->len == 0)
        return false;
    amp = memchr(p, '&', rest->len);
    end = amp != NULL ? amp : p + rest->len;
    equals = memchr(p, '=', (size_t)(end - p));
    *name_out = (struct dkv_slice){p, (size_t)((equals != NULL ? equals : end) - p)};
    *value_out = equals != NULL ? (struct dkv_slice){equals + 1, (size_t)(end - equals - 1)}
                                : (struct dkv_slice){NULL, 0};
    rest->len -= (size_t)(end - p);
    rest->data = end;
    return true;
}

bool http_query_name_is(struct dkv_slice name, const char *wanted)
{
    const uint8_t *in = name.data;
    size_t i = 0;

    for (; *wanted != '\0'; wanted++) {
        size_t one = i < name.len && in[i] == '%' ? 3 : 1, len;
        uint8_t c[3];

        if (i + one > name.len || http_decode((struct dkv_slice){in + i, one}, c, &len) != DKV_OK ||
            c[0] != (uint8_t)*wanted)
            return false;
        i += one;
    }
    return i == name.len;
}

bool http_query_find(struct dkv_slice query, const char *name, struct dkv_slice *value_out)
{
    struct dkv_slice found, value;

    while (http_query_next(&query, &found, &value)) {
        if (http_query_name_is(found, name)) {
            *value_out = value;
            return true;
        }
    }
    return false;
}
