/* host:port to a socket address, without blocking the loop: numeric addresses at once, names on
 * the env's queue for names. */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include <stdbool.h>

#include "base/env.h"

struct sockaddr;
struct resolve;

/* address is NULL on failure, and why says what to do about it; both are borrowed. */
typedef void resolve_fn(void *ctx, const struct sockaddr *address, int address_len,
                        const char *why);

/* Raft thread.  Calls done exactly once, later or before it returns; gives a handle for
 * resolve_disown, or NULL when it has called already. */
struct resolve *resolve_start(struct env *env, const char *host_port, resolve_fn *done, void *ctx);
void resolve_disown(struct resolve *resolve); /* done will not be called */

/* Splits host:port or [v6]:port; false if it is neither, or too long. */
bool resolve_split(const char *host_port, char *host, size_t host_size, char *port,
                   size_t port_size);

#endif
