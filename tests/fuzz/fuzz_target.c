/* Any bytes as a path segment and as a query: decoding never grows, never reads behind the end, and
 * what was decoded and encoded again decodes to the same bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "http/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_decode(struct dkv_slice part)
{
    uint8_t *out = xmalloc(part.len + 1), *again = xmalloc(part.len * 3 + 1), *encoded;
    size_t len = 0, again_len = 0;

    if (http_decode(part, out, &len) == DKV_OK) {
        dkv_assert(len <= part.len);
        encoded = xmalloc(len * 3 + 1);
        for (size_t i = 0; i < len; i++)
            snprintf((char *)encoded + i * 3, 4, "%%%02x", out[i]);
        dkv_assert(http_decode((struct dkv_slice){encoded, len * 3}, again, &again_len) == DKV_OK);
        dkv_assert(again_len == len && memcmp(again, out, len) == 0);
        /* In place gives the same. */
        memcpy(again, part.data, part.len);
        dkv_assert(http_decode((struct dkv_slice){again, part.len}, again, &again_len) == DKV_OK);
        dkv_assert(again_len == len && memcmp(again, out, len) == 0);
        free(encoded);
    }
    free(out);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dkv_slice whole = {data, size}, rest = whole, name, value;
    size_t seen = 0;

    if (size == 0)
        return 0;
    check_decode(whole);
    while (http_query_next(&rest, &name, &value)) {
        dkv_assert(name.len + value.len <= size);
        check_decode(name);
        if (value.data != NULL)
            check_decode(value);
        dkv_assert(++seen <= size);
    }
    dkv_assert(rest.len == 0);
    (void)http_query_find(whole, "prefix", &value);
    return 0;
}
