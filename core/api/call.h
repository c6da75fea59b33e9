/* Private to core/api: one request on its way through the API.
 *
 * Calls are pooled, for a GET may not cost an allocation.  A call is freed by whoever answers it,
 * also when its client has left meanwhile. */
#ifndef API_CALL_H
#define API_CALL_H

#include "api/api.h"
#include "base/buf.h"
#include "http/http.h"

struct api {
    struct api_backend *backend;
    struct list free_calls;
    struct list waiting; /* calls whose `proceed` is due in a later turn */
    size_t free_count, live_count;
};

struct call {
    struct list link;
    struct api *api;
    struct http_request *request;
    bool is_held;                       /* answering does not free it: whoever holds it does */
    void (*proceed)(struct call *call); /* after the barrier */
    void (*not_readable)(struct call *call, int status); /* or this: reply_status, if not changed */
    uint8_t key[KV_KEY_BYTES_MAX];
    size_t key_len;
    struct api_write write;
    struct api_barrier barrier;
    struct kv_get get;
    char state_lines[96]; /* header lines about the state a stale answer comes from; or "" */
    void *state;          /* of a route that needs more; freed by cleanup */
    void (*cleanup)(struct call *call);
};

struct call *call_new(struct api *api, struct http_request *request);
void call_free(struct call *call);
struct dkv_slice call_key(const struct call *call);

/* Decodes the rest of the path after a literal prefix into call->key, exactly once.  On a bad key
 * answers 400 and returns false. */
bool call_take_key(struct call *call, struct dkv_slice rest);
bool call_has_control_bytes(struct dkv_slice key); /* which no key may have */

/* Runs proceed() when the local state is new enough: at once for ?consistency=stale, else after a
 * barrier, whose failure it answers itself.  A bad ?consistency gets 400. */
void call_when_readable(struct call *call, void (*proceed)(struct call *call));

/* Runs proceed() in a later turn of the loop, one call in each. */
void call_later(struct call *call, void (*proceed)(struct call *call));

/* Whether all of the query is known to the route: each parameter is one of the names, once.  Else
 * answers 400 and returns false. */
bool call_check_query(struct call *call, const char *const *names);

/* Value of a query parameter, undecoded; data NULL if absent. */
struct dkv_slice call_query(const struct call *call, const char *name);
/* The same, decoded once into `to`; false (and *is_bad_out) if it does not decode or fit. */
bool call_query_decoded(const struct call *call, const char *name, struct buf *to,
                        bool *is_bad_out);

#endif
