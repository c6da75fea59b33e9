/* `dkvd --health`: asks a running daemon for /readyz, for health checks in containers that have
 * neither shell nor curl.  Blocking, a process of its own. */
#ifndef NODE_HEALTH_PROBE_H
#define NODE_HEALTH_PROBE_H

#include "conf/settings.h"
#include "dkv/types.h"

/* DKV_OK if /readyz on http.listen answers 200 within two seconds; else err says what it said. */
int health_probe(const struct settings *settings, struct dkv_error *err);

#endif
