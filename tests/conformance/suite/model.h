/* What a store should hold: pairs in memcmp order, kept by the simplest means.  And a workload that
 * can be made again from its seed, so that the state after each index is known to every process. */
#ifndef MODEL_H
#define MODEL_H

#include <stdbool.h>

#include "dkv/storage.h"

enum { WORKLOAD_KEYS = 1500, WORKLOAD_BATCH_MAX = 64, MODEL_KEY_MAX = 500 };

struct model_pair {
    struct dkv_slice key, value; /* one allocation, at key.data */
};

struct model {
    struct model_pair *pairs;
    size_t count, cap;
    uint64_t index;
};

void model_clear(struct model *m);
void model_put(struct model *m, struct dkv_slice key, struct dkv_slice value);
void model_delete(struct model *m, struct dkv_slice key);
const struct model_pair *model_find(const struct model *m, struct dkv_slice key);
/* The first at or after key; count if there is none. */
size_t model_seek(const struct model *m, struct dkv_slice key);
void model_apply(struct model *m, uint64_t index, const struct dkv_mutation *mutations,
                 size_t count);
/* Without regard to order; model_sort() makes it a model again. */
void model_append(struct model *m, struct dkv_slice key, struct dkv_slice value);
/* Fails the case if a key is there twice. */
void model_sort(struct model *m);
/* Fails the case, naming the first pair that differs. */
void model_expect_equal(const struct model *got, const struct model *want, const char *what);

int slice_compare(struct dkv_slice a, struct dkv_slice b);
struct dkv_slice slice_of(const char *text);

/* Batch `index` of a workload; always the same for the same seed. */
struct batch {
    uint64_t index;
    struct dkv_mutation *mutations;
    size_t count;
    void *bytes;
};
void workload_batch(uint64_t seed, uint64_t index, struct batch *batch_out);
void batch_free(struct batch *batch);
/* The model from where it is to `index`. */
void workload_advance(struct model *m, uint64_t seed, uint64_t index);
/* One of the workload's keys: short and long, with every byte, prefixes of each other. */
struct dkv_slice workload_key(unsigned number, unsigned char bytes_out[MODEL_KEY_MAX]);

#endif
