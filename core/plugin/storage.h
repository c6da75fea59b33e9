/* Opens the storage that dkv.conf names, with what it wraps, and closes it again.  Main thread.
 *
 * storage.plugin names an instance; [storage "NAME"] has its options, `plugin = FILE` if the plugin
 * is not called like the instance, and `wraps = NAME` if it is a decorator. */
#ifndef PLUGIN_STORAGE_H
#define PLUGIN_STORAGE_H

#include "dkv/storage.h"

struct conf;
struct storage;

enum { STORAGE_CHAIN_MAX = 8 }; /* decorators over each other, and the store */

struct storage_config {
    struct conf *conf;       /* outlives the storage: options point into it */
    const char *name;        /* of the instance */
    struct event_base *home; /* loop of the thread that will apply */
    uint32_t key_max;        /* of the cluster; a store that holds less is refused */
    uint64_t value_max;
};

/* Loads the plugins of the chain and reads their options; opens nothing. */
int storage_check(struct conf *conf, const char *name, struct dkv_error *err);

/* Gives a storage, closed with storage_close. */
int storage_open(const struct storage_config *config, struct storage **storage_out,
                 struct dkv_error *err);
/* The outermost store; borrowed. */
struct dkv_store *storage_store(const struct storage *storage);
void storage_close(struct storage **storage);

#endif
