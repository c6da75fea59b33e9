/* Refused by the loader: has no name at all. */
#include <stddef.h>

#include "dkv/storage.h"

static const struct dkv_storage_ops ops = {.size = sizeof(struct dkv_storage_ops)};

DKV_PLUGIN_DECLARE(.name = NULL, .version = "1.0", .kind = DKV_PLUGIN_STORAGE, .ops.storage = &ops);
