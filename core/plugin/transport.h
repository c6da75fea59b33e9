/* Opens a transport that dkv.conf names, and closes it again.  Main thread; what the transport
 * itself may be asked on which thread is in dkv/transport.h. */
#ifndef PLUGIN_TRANSPORT_H
#define PLUGIN_TRANSPORT_H

#include "dkv/transport.h"

struct conf;
struct transport;

/* Loads the plugin and reads its options; opens nothing. */
int transport_check(struct conf *conf, const char *name, struct dkv_error *err);

/* Gives a transport, closed with transport_close; conf outlives it. */
int transport_open(struct conf *conf, const char *name, struct transport **transport_out,
                   struct dkv_error *err);
/* Borrowed. */
struct dkv_transport *transport_instance(const struct transport *transport);
void transport_close(struct transport **transport);

#endif
