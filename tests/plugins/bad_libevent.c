/* Refused by the loader: built with another libevent. */
#include <stddef.h>

#include "dkv/storage.h"

static const struct dkv_storage_ops ops = {.size = sizeof(struct dkv_storage_ops)};

extern DKV_EXPORT const struct dkv_plugin dkv_plugin;
const struct dkv_plugin dkv_plugin = {.magic = DKV_PLUGIN_MAGIC,
                                      .abi_major = DKV_ABI_MAJOR,
                                      .abi_minor = DKV_ABI_MINOR,
                                      .name = "bad_libevent",
                                      .size = sizeof(struct dkv_plugin),
                                      .kind = DKV_PLUGIN_STORAGE,
                                      .libevent = LIBEVENT_VERSION_NUMBER ^ 0x7f000000,
                                      .ops.storage = &ops};
