/* The REST API: which handler answers which path, on top of core/http and a node's backend.
 *
 * One instance for each thread that serves REST.  It borrows the backend.  A request whose client
 * has left is finished all the same: what was proposed still takes effect. */
#ifndef API_API_H
#define API_API_H

#include "api/backend.h"

struct api;
struct buf;
struct http_error;
struct http_request;

struct api *api_new(struct api_backend *backend);
void api_free(struct api **api); /* nothing may be pending in the backend */

/* Serves one of the lists that wait: each may take milliseconds, and heartbeats must not wait for
 * all of them. */
void api_turn(struct api *api);
/* Answers those that wait with 503; before api_free. */
void api_cancel(struct api *api);

/* For struct http_handler: ctx is the struct api. */
void api_handle(void *ctx, struct http_request *request);
/* How many bytes of body this request may have, by its head alone; refused with 413 above. */
uint64_t api_body_limit(void *ctx, struct http_request *request);
/* Probes are answered also when the node is full. */
bool api_is_probe(void *ctx, const struct http_request *request);
/* The body of an error that the server answers by itself. */
const char *api_error_body(void *ctx, const struct http_error *error, struct buf *body);

#endif
