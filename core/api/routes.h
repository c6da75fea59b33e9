/* Private to core/api: the handlers that the router calls.  Each answers and frees its call, now
 * or later.  `rest` is the path after the literal prefix, not decoded. */
#ifndef API_ROUTES_H
#define API_ROUTES_H

#include "api/call.h"

void route_key(struct call *call, struct dkv_slice rest);        /* /kv/{key} */
void route_list(struct call *call, struct dkv_slice rest);       /* /kv/ */
void route_node(struct call *call, struct dkv_slice rest);       /* /node */
void route_cluster(struct call *call, struct dkv_slice rest);    /* /cluster */
void route_livez(struct call *call, struct dkv_slice rest);      /* /livez and /livez/NAME */
void route_readyz(struct call *call, struct dkv_slice rest);     /* /readyz and /readyz/NAME */
void route_health(struct call *call, struct dkv_slice rest);     /* /health */
void route_hraftd_key(struct call *call, struct dkv_slice rest); /* /key… */
void route_hraftd_status(struct call *call, struct dkv_slice rest);

#endif
