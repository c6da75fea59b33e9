/* Refused by the loader: a transport that can be opened, and nothing else. */
#include <stddef.h>

#include "dkv/transport.h"

static int open_nothing(const struct dkv_transport_args *args, struct dkv_transport **transport_out,
                        struct dkv_error *err)
{
    (void)args;
    (void)transport_out;
    (void)err;
    return DKV_ENOTSUP;
}

static const struct dkv_transport_ops ops = {.size = sizeof(struct dkv_transport_ops),
                                             .open = open_nothing};

DKV_PLUGIN_DECLARE(.name = "bad_transport", .version = "1.0", .kind = DKV_PLUGIN_TRANSPORT,
                   .ops.transport = &ops);
