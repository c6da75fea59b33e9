/* Who may ask, as far as a browser tells: the name a client called this node by (Host) and the web
 * page a request comes from (Origin).
 *
 * A page that somebody opens can make the browser send requests to any address the browser reaches,
 * also to 127.0.0.1 (CSRF), and can let its own name resolve to that address to read the answers
 * (DNS rebinding).  The first shows in Origin, the second in Host. */
#ifndef API_ACCESS_H
#define API_ACCESS_H

#include <stdbool.h>

#include "dkv/types.h"

struct api_access;

/* Allows IP addresses and localhost as hosts, and no origin.  What is added is copied; "*" allows any,
 * NULL adds nothing. */
struct api_access *api_access_new(void);
void api_access_add_host(struct api_access *access, const char *host);
void api_access_add_origin(struct api_access *access, const char *origin);
void api_access_free(struct api_access **access);

/* The values of the header fields, Host with or without a port.  Any thread. */
bool api_access_allows_host(const struct api_access *access, struct dkv_slice host);
bool api_access_allows_origin(const struct api_access *access, struct dkv_slice origin);

#endif
