#include "node/health_probe.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/error.h"

enum { TIMEOUT_S = 2 };

/* A daemon that listens on all addresses is asked on loopback. */
static const char *host_to_ask(const struct conf_address *address)
{
    if (strcmp(address->host, "0.0.0.0") == 0 || address->host[0] == '\0')
        return "127.0.0.1";
    return strcmp(address->host, "::") == 0 ? "::1" : address->host;
}

static int connect_to(const struct conf_address *address, int *fd_out, struct dkv_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
    struct timeval timeout = {.tv_sec = TIMEOUT_S};
    char port[8];
    int error, fd;

    snprintf(port, sizeof(port), "%u", address->port);
    error = getaddrinfo(host_to_ask(address), port, &hints, &list);
    if (error != 0)
        return dkv_error_set(err, DKV_EINVAL, "%s: %s", address->text, gai_strerror(error));
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    }
    if (fd < 0 || connect(fd, list->ai_addr, list->ai_addrlen) != 0) {
        error = errno;
        freeaddrinfo(list);
        if (fd >= 0)
            close(fd);
        return dkv_error_set(err, DKV_EUNAVAIL, "connect to %s: %s", address->text,
                             strerror(error));
    }
    freeaddrinfo(list);
    *fd_out = fd;
    return DKV_OK;
}

static int ask(int fd, char *to, size_t size, struct dkv_error *err)
{
    static const char request[] = "GET /readyz?verbose HTTP/1.1\r\nHost: localhost\r\n"
                                  "Connection: close\r\n\r\n";
    size_t used = 0;
    ssize_t got = 0;

    to[0] = '\0';
    if (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
        return dkv_error_set(err, DKV_EUNAVAIL, "the request could not be sent: %s",
                             strerror(errno));
    while (used < size - 1 && (got = recv(fd, to + used, size - 1 - used, 0)) > 0)
        used += (size_t)got;
    to[used] = '\0';
    if (used > 0)
        return DKV_OK;
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return dkv_error_set(err, DKV_EUNAVAIL, "no answer within %d s", TIMEOUT_S);
    return dkv_error_set(err, DKV_EUNAVAIL, "the connection was closed without an answer");
}

static int judge(const char *answer, const char *address, struct dkv_error *err)
{
    const char *failed = strstr(answer, "[-]");

    if (strncmp(answer, "HTTP/1.1 200 ", 13) == 0)
        return DKV_OK;
    if (failed != NULL)
        return dkv_error_set(err, DKV_EUNAVAIL, "%.*s", (int)strcspn(failed + 3, "\r\n"),
                             failed + 3);
    if (strncmp(answer, "HTTP/", 5) != 0)
        return dkv_error_set(
            err, DKV_EUNAVAIL,
            "what listens at %s does not speak HTTP; does http.listen name another "
            "program's port?",
            address);
    return dkv_error_set(err, DKV_EUNAVAIL,
                         "%s answers /readyz with \"%.*s\" and without dkv's checks; does "
                         "http.listen name another program's port?",
                         address, (int)strcspn(answer, "\r\n"), answer);
}

int health_probe(const struct settings *settings, struct dkv_error *err)
{
    const struct conf_address *address = &settings->http.listen.items[0];
    char answer[4096];
    int fd, status = connect_to(address, &fd, err);

    if (status != DKV_OK)
        return status;
    status = ask(fd, answer, sizeof(answer), err);
    close(fd);
    return status == DKV_OK ? judge(answer, address->text, err) : status;
}
