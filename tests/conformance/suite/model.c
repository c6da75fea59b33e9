#include "model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "suite.h"

int slice_compare(struct dkv_slice a, struct dkv_slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

struct dkv_slice slice_of(const char *text)
{
    return (struct dkv_slice){text, strlen(text)};
}

static struct model_pair pair_new(struct dkv_slice key, struct dkv_slice value)
{
    unsigned char *bytes = xmalloc(key.len + value.len + 1);

    if (key.len > 0)
        memcpy(bytes, key.data, key.len);
    if (value.len > 0)
        memcpy(bytes + key.len, value.data, value.len);
    return (struct model_pair){{bytes, key.len}, {bytes + key.len, value.len}};
}

static void pair_free(struct model_pair *pair)
{
    free((void *)(uintptr_t)pair->key.data);
}

void model_clear(struct model *m)
{
    for (size_t i = 0; i < m->count; i++)
        pair_free(&m->pairs[i]);
    free(m->pairs);
    *m = (struct model){.pairs = NULL};
}

size_t model_seek(const struct model *m, struct dkv_slice key)
{
    size_t low = 0, high = m->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (slice_compare(m->pairs[mid].key, key) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const struct model_pair *model_find(const struct model *m, struct dkv_slice key)
{
    size_t at = model_seek(m, key);

    return at < m->count && slice_compare(m->pairs[at].key, key) == 0 ? &m->pairs[at] : NULL;
}

static void grow(struct model *m)
{
    if (m->count < m->cap)
        return;
    m->cap = m->cap == 0 ? 64 : m->cap * 2;
    m->pairs = xreallocarray(m->pairs, m->cap, sizeof(*m->pairs));
}

void model_put(struct model *m, struct dkv_slice key, struct dkv_slice value)
{
    size_t at = model_seek(m, key);

    if (at < m->count && slice_compare(m->pairs[at].key, key) == 0) {
        pair_free(&m->pairs[at]);
    } else {
        grow(m);
        memmove(m->pairs + at + 1, m->pairs + at, (m->count - at) * sizeof(*m->pairs));
        m->count++;
    }
    m->pairs[at] = pair_new(key, value);
}

void model_delete(struct model *m, struct dkv_slice key)
{
    size_t at = model_seek(m, key);

    if (at == m->count || slice_compare(m->pairs[at].key, key) != 0)
        return;
    pair_free(&m->pairs[at]);
    m->count--;
    memmove(m->pairs + at, m->pairs + at + 1, (m->count - at) * sizeof(*m->pairs));
}

void model_apply(struct model *m, uint64_t index, const struct dkv_mutation *mutations,
                 size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (mutations[i].kind == DKV_PUT)
            model_put(m, mutations[i].key, mutations[i].value);
        else
            model_delete(m, mutations[i].key);
    }
    m->index = index;
}

void model_append(struct model *m, struct dkv_slice key, struct dkv_slice value)
{
    grow(m);
    m->pairs[m->count++] = pair_new(key, value);
}

static int compare_pairs(const void *a, const void *b)
{
    return slice_compare(((const struct model_pair *)a)->key, ((const struct model_pair *)b)->key);
}

/* Printable enough to recognise a key in a message. */
static const char *text_of(struct dkv_slice key, char text_out[80])
{
    const unsigned char *bytes = key.data;
    size_t used = 0;

    for (size_t i = 0; i < key.len && used < 70; i++)
        used += (size_t)snprintf(text_out + used, 80 - used,
                                 bytes[i] > 0x20 && bytes[i] < 0x7f ? "%c" : "\\%02x", bytes[i]);
    text_out[used] = '\0';
    return text_out;
}

void model_sort(struct model *m)
{
    char text[80];

    if (m->count == 0)
        return;
    qsort(m->pairs, m->count, sizeof(*m->pairs), compare_pairs);
    for (size_t i = 1; i < m->count; i++) {
        if (slice_compare(m->pairs[i - 1].key, m->pairs[i].key) == 0)
            suite_fail(__FILE__, __LINE__, "key %s came twice", text_of(m->pairs[i].key, text));
    }
}

void model_expect_equal(const struct model *got, const struct model *want, const char *what)
{
    char text[80];

    for (size_t i = 0; i < got->count || i < want->count; i++) {
        int order = i == got->count    ? 1
                    : i == want->count ? -1
                                       : slice_compare(got->pairs[i].key, want->pairs[i].key);

        if (order < 0)
            suite_fail(__FILE__, __LINE__, "%s has key %s, which should not be there", what,
                       text_of(got->pairs[i].key, text));
        if (order > 0)
            suite_fail(__FILE__, __LINE__, "%s lacks key %s", what,
                       text_of(want->pairs[i].key, text));
        if (slice_compare(got->pairs[i].value, want->pairs[i].value) != 0)
            suite_fail(__FILE__, __LINE__, "%s has another value for key %s", what,
                       text_of(want->pairs[i].key, text));
    }
    if (got->index != want->index)
        suite_fail(__FILE__, __LINE__, "%s is at index %" PRIu64 ", not %" PRIu64, what, got->index,
                   want->index);
}

struct dkv_slice workload_key(unsigned number, unsigned char bytes_out[MODEL_KEY_MAX])
{
    unsigned char *b = bytes_out;
    size_t len = 0;

    switch (number % 8) {
    case 0:
        b[len++] = 0x00;
        break;
    case 1:
        b[len++] = 0xff;
        b[len++] = 0xff;
        break;
    case 2:
        memset(b, 'L', 200);
        len = 200;
        break;
    case 3: /* each is a prefix of the next */
        len = number / 8 + 1 <= MODEL_KEY_MAX ? number / 8 + 1 : MODEL_KEY_MAX;
        memset(b, 'p', len);
        return (struct dkv_slice){b, len};
    case 4:
        len = (size_t)snprintf((char *)b, 64, "dir/%u/", number % 7);
        break;
    default:
        b[len++] = 'k';
        break;
    }
    b[len++] = (unsigned char)(number >> 8);
    b[len++] = (unsigned char)number;
    return (struct dkv_slice){b, len};
}

static size_t value_length(struct rng *rng)
{
    uint64_t dice = rng_below(rng, 64);

    return dice == 0 ? 2000 + rng_below(rng, 4000) : dice < 6 ? 0 : rng_below(rng, 200);
}

static void fill(unsigned char *bytes, size_t len, uint64_t from)
{
    struct rng rng;

    rng_init(&rng, from);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t word = rng_next(&rng);

        memcpy(bytes + i, &word, len - i < 8 ? len - i : 8);
    }
}

void workload_batch(uint64_t seed, uint64_t index, struct batch *batch_out)
{
    size_t lengths[WORKLOAD_BATCH_MAX], total = 0;
    unsigned char *at;
    struct rng rng;

    rng_init(&rng, seed * 1000003 + index);
    *batch_out = (struct batch){.index = index, .count = rng_below(&rng, WORKLOAD_BATCH_MAX + 1)};
    for (size_t i = 0; i < batch_out->count; i++)
        total += MODEL_KEY_MAX + (lengths[i] = value_length(&rng));
    batch_out->mutations = xcalloc(batch_out->count + 1, sizeof(*batch_out->mutations));
    batch_out->bytes = at = xmalloc(total + 1);
    for (size_t i = 0; i < batch_out->count; i++) {
        struct dkv_mutation *m = &batch_out->mutations[i];

        m->key = workload_key((unsigned)rng_below(&rng, WORKLOAD_KEYS), at);
        at += m->key.len;
        m->kind = rng_below(&rng, 4) == 0 ? DKV_DELETE : DKV_PUT;
        if (m->kind == DKV_DELETE)
            continue;
        fill(at, lengths[i], rng_next(&rng));
        m->value = (struct dkv_slice){at, lengths[i]};
        at += lengths[i];
    }
}

void batch_free(struct batch *batch)
{
    free(batch->mutations);
    free(batch->bytes);
}

void workload_advance(struct model *m, uint64_t seed, uint64_t index)
{
    while (m->index < index) {
        struct batch batch;

        workload_batch(seed, m->index + 1, &batch);
        model_apply(m, batch.index, batch.mutations, batch.count);
        batch_free(&batch);
    }
}
