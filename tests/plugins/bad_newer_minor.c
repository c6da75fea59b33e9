/* Refused by the loader: built for a newer minor version than the daemon has. */
#include <stddef.h>

#include "dkv/storage.h"

static const struct dkv_storage_ops ops = {.size = sizeof(struct dkv_storage_ops)};

extern DKV_EXPORT const struct dkv_plugin dkv_plugin;
const struct dkv_plugin dkv_plugin = {.magic = DKV_PLUGIN_MAGIC,
                                      .abi_major = DKV_ABI_MAJOR,
                                      .abi_minor = DKV_ABI_MINOR + 1,
                                      .name = "bad_newer_minor",
                                      .size = sizeof(struct dkv_plugin),
                                      .kind = DKV_PLUGIN_STORAGE,
                                      .libevent = LIBEVENT_VERSION_NUMBER,
                                      .ops.storage = &ops};
