/* How a put or a get is said to each kind of server, and what its answer means.
 *
 * dkv: PUT and GET /kv/KEY with raw bodies.  etcd: the JSON gateway, /v3/kv/put and /v3/kv/range.
 * hraftd: POST /key and GET /key/KEY.  fixed: GET of one path, for a server that knows no keys. */
#ifndef LOAD_DIALECT_H
#define LOAD_DIALECT_H

#include <stdbool.h>

#include "base/buf.h"
#include "bench/load/response.h"
#include "dkv/types.h"

enum dialect { DIALECT_DKV, DIALECT_ETCD, DIALECT_HRAFTD, DIALECT_FIXED };

enum verdict {
    VERDICT_OK,
    VERDICT_MISSING, /* the key was not there */
    VERDICT_REFUSED, /* certainly not done: try again, perhaps elsewhere */
    VERDICT_UNKNOWN, /* may have been done */
    VERDICT_WRONG    /* an answer that no correct request should get */
};

enum { DIALECT_BODY_MAX = 4096 };

int dialect_parse(const char *name, enum dialect *dialect_out);
const char *dialect_name(enum dialect dialect);
/* Appends a whole request.  `extra` goes behind the path of dkv's and is the path of fixed's. */
void dialect_put(enum dialect dialect, const char *host, struct dkv_slice key,
                 struct dkv_slice value, struct buf *to);
void dialect_get(enum dialect dialect, const char *host, struct dkv_slice key, const char *extra,
                 struct buf *to);
enum verdict dialect_judge(enum dialect dialect, bool is_put, const struct response *response);
/* A request that tells whether this node leads, and the reading of its answer. */
void dialect_ask_leader(enum dialect dialect, const char *host, struct buf *to);
bool dialect_is_leader(enum dialect dialect, const struct response *response);

#endif
