/* Refused by the loader: lacks mandatory slots. */
#include <stddef.h>

#include "dkv/storage.h"

static const struct dkv_storage_ops ops = {.size = sizeof(struct dkv_storage_ops)};

DKV_PLUGIN_DECLARE(.name = "bad_slot", .version = "1.0", .kind = DKV_PLUGIN_STORAGE,
                   .ops.storage = &ops);
