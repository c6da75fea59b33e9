/* Refused by the loader: built for another major version of the ABI. */
#include <stddef.h>

#include "dkv/storage.h"

static const struct dkv_storage_ops ops = {.size = sizeof(struct dkv_storage_ops)};

extern DKV_EXPORT const struct dkv_plugin dkv_plugin;
const struct dkv_plugin dkv_plugin = {.magic = DKV_PLUGIN_MAGIC,
                                      .abi_major = DKV_ABI_MAJOR + 1,
                                      .abi_minor = DKV_ABI_MINOR,
                                      .name = "bad_newer_major",
                                      .size = sizeof(struct dkv_plugin),
                                      .kind = DKV_PLUGIN_STORAGE,
                                      .libevent = LIBEVENT_VERSION_NUMBER,
                                      .ops.storage = &ops};
