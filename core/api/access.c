#include "api/access.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

struct names {
    char **items;
    size_t count;
};

struct api_access {
    struct names hosts, origins;
};

static void add(struct names *names, const char *name)
{
    size_t size;

    if (name == NULL)
        return;
    size = strlen(name) + 1;
    names->items = xreallocarray(names->items, names->count + 1, sizeof(names->items[0]));
    names->items[names->count++] = memcpy(xmalloc(size), name, size);
}

static void free_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
    free(names->items);
}

struct api_access *api_access_new(void)
{
    return xcalloc(1, sizeof(struct api_access));
}

void api_access_add_host(struct api_access *access, const char *host)
{
    add(&access->hosts, host);
}

void api_access_add_origin(struct api_access *access, const char *origin)
{
    add(&access->origins, origin);
}

void api_access_free(struct api_access **access)
{
    if (*access == NULL)
        return;
    free_names(&(*access)->hosts);
    free_names(&(*access)->origins);
    free(*access);
    *access = NULL;
}

static bool is_name(const char *name, struct dkv_slice text)
{
    return strlen(name) == text.len && strncasecmp(name, text.data, text.len) == 0;
}

static bool has(const struct names *names, struct dkv_slice text)
{
    for (size_t i = 0; i < names->count; i++) {
        if (strcmp(names->items[i], "*") == 0 || is_name(names->items[i], text))
            return true;
    }
    return false;
}

/* Without the port, and without the dot that may end a full name. */
static struct dkv_slice host_of(struct dkv_slice field)
{
    const char *text = field.data;
    const char *colon = memrchr(text, ':', field.len);
    size_t len = colon != NULL ? (size_t)(colon - text) : field.len;

    if (len > 0 && text[len - 1] == '.')
        len--;
    return (struct dkv_slice){text, len};
}

static bool is_address(struct dkv_slice host)
{
    char text[INET_ADDRSTRLEN];
    struct in_addr address;

    if (host.len == 0 || host.len >= sizeof(text))
        return false;
    memcpy(text, host.data, host.len);
    text[host.len] = '\0';
    return inet_pton(AF_INET, text, &address) == 1;
}

static bool is_local(struct dkv_slice host)
{
    static const char suffix[] = ".localhost";
    size_t len = sizeof(suffix) - 1;

    return is_name("localhost", host) ||
           (host.len > len &&
            strncasecmp((const char *)host.data + host.len - len, suffix, len) == 0);
}

bool api_access_allows_host(const struct api_access *access, struct dkv_slice field)
{
    struct dkv_slice host;

    if (field.len == 0 || ((const char *)field.data)[0] == '[')
        return true; /* none, in HTTP/1.0, or an IPv6 address: no name that could be rebound */
    host = host_of(field);
    return is_address(host) || is_local(host) || has(&access->hosts, host);
}

bool api_access_allows_origin(const struct api_access *access, struct dkv_slice origin)
{
    return has(&access->origins, origin);
}
