/* Refused by the loader: its descriptor does not begin with the magic number. */
#include <stddef.h>

#include "dkv/storage.h"

static const struct dkv_storage_ops ops = {.size = sizeof(struct dkv_storage_ops)};

extern DKV_EXPORT const struct dkv_plugin dkv_plugin;
const struct dkv_plugin dkv_plugin = {
    .magic = 0x12345678, .name = "bad_magic", .ops.storage = &ops};
