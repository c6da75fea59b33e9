/* A storage for unit tests: a sorted array, exact and slow.  With `late` set, every get and apply
 * answers DKV_PENDING and completes in fake_store_run, in the order of the calls. */
#ifndef TESTS_FAKE_STORE_H
#define TESTS_FAKE_STORE_H

#include "base/list.h"
#include "dkv/storage.h"

struct fake_pair {
    uint8_t *key, *value;
    size_t key_len, value_len;
};

struct fake_store {
    struct dkv_store base;
    struct fake_pair *pairs;
    size_t count, cap;
    uint64_t index;
    bool late;
    int fail_apply; /* a status that the next apply answers, once */
    int fail_get;
    unsigned applies, gets, snapshots; /* calls */
    struct dkv_op *waiting[4096];
    int (*waiting_run[4096])(struct fake_store *store, struct dkv_op *op);
    size_t waiting_count;
};

struct fake_store *fake_store_new(void);
struct fake_store *fake_store_copy(const struct fake_store *store); /* its content */
void fake_store_free(struct fake_store *store);
void fake_store_forget_one(struct fake_store *store); /* a user's key, if it has any */
/* Completes what waits, also what that adds; returns how many. */
size_t fake_store_run(struct fake_store *store);
const struct fake_pair *fake_store_find(const struct fake_store *store, const void *key,
                                        size_t len);

#endif
