/* A store of the lmdb plugin in a folder of its own, with calls that read like the domain.  The
 * plugin's sources are linked into the test program with their fault points compiled in. */
#ifndef LMDB_FIXTURE_H
#define LMDB_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "plugins/storage/lmdb/store.h"

extern const struct dkv_plugin dkv_plugin;

struct fixture {
    char path[64];
    struct lmdb_options options;
    struct dkv_host host;
    uint64_t now_ms; /* what the host's clock says; 0 = the real one */
    unsigned errors_logged, warnings_logged;
    struct event_base *home; /* NULL: calls wait */
    struct dkv_store *store;
    struct dkv_reader *reader;
};

int fixture_setup(void **state); /* nothing open yet */
int fixture_teardown(void **state);

int store_try_open(struct fixture *f, struct dkv_store **store_out, struct dkv_error *err);
void store_reopen(struct fixture *f); /* opens, after closing if it was open */
void store_shut(struct fixture *f);

int put(struct fixture *f, uint64_t index, const char *key, const void *value, size_t len);
int del(struct fixture *f, uint64_t index, const char *key);
int apply_many(struct fixture *f, uint64_t index, const struct dkv_mutation *mutations,
               size_t count);
int sync_status(struct fixture *f, uint64_t *index_out);
uint64_t sync_now(struct fixture *f); /* asserts success; the durable index */
uint64_t applied_now(struct fixture *f);

/* DKV_OK copies up to size bytes. */
int get_from(struct dkv_reader *reader, const char *key, void *value_out, size_t size,
             size_t *len_out);
void assert_value(struct fixture *f, const char *key, const char *value); /* NULL: absent */

struct collected {
    size_t count;
    size_t limit;    /* stop after; 0 = never */
    char text[8192]; /* "key=value " of each */
};
int scan_into(struct dkv_reader *reader, const char *prefix, const char *after, uint64_t limit,
              struct collected *collected);

/* A model: the state of a small set of keys after each index can be computed again from the seed
 * alone, so a process that was killed needs to hand over nothing but its index. */
#define MODEL_KEYS 200

struct model {
    uint64_t index;
    uint64_t seed;
    uint64_t written[MODEL_KEYS]; /* index of the newest put, 0 = absent */
};

void model_advance(struct model *model, struct dkv_mutation *mutations, size_t *count_out);
int model_apply(struct fixture *f, struct model *model);
void assert_is_model(struct fixture *f, const struct model *model);

#endif
