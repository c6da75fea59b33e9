#include "net/resolve.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

struct resolve {
    struct env_job job;
    resolve_fn *done;
    void *ctx;
    char host[256], port[8];
    struct sockaddr_storage address;
    int address_len; /* 0: failed */
    char why[256];
};

/* getaddrinfo takes 99999 for 34463. */
static bool is_port(const char *text)
{
    size_t len = strspn(text, "0123456789");

    return len > 0 && len <= 5 && text[len] == '\0' && strtoul(text, NULL, 10) <= UINT16_MAX;
}

bool resolve_split(const char *host_port, char *host, size_t host_size, char *port,
                   size_t port_size)
{
    const char *colon = strrchr(host_port, ':');
    const char *begin = host_port, *end = colon;

    if (colon == NULL)
        return false;
    if (*begin == '[' && end > begin && end[-1] == ']') {
        begin++;
        end--;
    }
    if (end == begin || (size_t)(end - begin) >= host_size || !is_port(colon + 1) ||
        strlen(colon + 1) >= port_size)
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static bool look_up(struct resolve *r, int flags)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    struct addrinfo *list = NULL;
    int error = getaddrinfo(r->host, r->port, &hints, &list);

    if (error != 0) {
        snprintf(r->why, sizeof(r->why), "cannot resolve: %s", gai_strerror(error));
        return false;
    }
    memcpy(&r->address, list->ai_addr, list->ai_addrlen);
    r->address_len = (int)list->ai_addrlen;
    freeaddrinfo(list);
    return true;
}

static void work(struct env_job *job)
{
    (void)look_up(container_of(job, struct resolve, job), AI_ADDRCONFIG);
}

static void finish(struct resolve *r)
{
    if (r->done != NULL)
        r->done(r->ctx, r->address_len > 0 ? (struct sockaddr *)&r->address : NULL, r->address_len,
                r->why);
    free(r);
}

static void job_done(struct env_job *job)
{
    finish(container_of(job, struct resolve, job));
}

struct resolve *resolve_start(struct env *env, const char *host_port, resolve_fn *done, void *ctx)
{
    struct resolve *r = xcalloc(1, sizeof(*r));

    r->done = done;
    r->ctx = ctx;
    if (!resolve_split(host_port, r->host, sizeof(r->host), r->port, sizeof(r->port))) {
        snprintf(r->why, sizeof(r->why), "not an address: write host:port");
        finish(r);
        return NULL;
    }
    if (look_up(r, AI_NUMERICHOST)) {
        finish(r);
        return NULL;
    }
    r->job = (struct env_job){.work = work, .done = job_done};
    env->ops->submit(env, ENV_QUEUE_NAMES, &r->job);
    return r;
}

void resolve_disown(struct resolve *resolve)
{
    resolve->done = NULL;
}
