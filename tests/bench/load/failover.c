#include "bench/load/failover.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/engine.h"

#define PACE_NS    UINT64_C(20000000)
#define GIVE_UP_NS UINT64_C(30000000000)

enum { TRIES_MAX = 512, TRY_MS = 1000 };

struct
try {
    bool sent;
    uint64_t end_ns;
    struct response response;
};

struct failover {
    const struct options *options;
    struct pollfd fds[TRIES_MAX];
    struct try tries[TRIES_MAX];
    unsigned count;
    struct buf request;
};

static int begin_try(struct failover *f, unsigned server, uint64_t now)
{
    const struct server *to = &f->options->servers[server];
    struct try *try = &f->tries[f->count];
    int fd;

    if (f->count == TRIES_MAX)
        return 0;
    fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        fprintf(stderr, "load: socket: %s\n", strerror(errno));
        return -1;
    }
    if (connect(fd, (const struct sockaddr *)&to->address, sizeof(to->address)) != 0 &&
        errno != EINPROGRESS) {
        close(fd);
        return 0;
    }
    f->fds[f->count] = (struct pollfd){.fd = fd, .events = POLLOUT};
    try->sent = false;
    try->end_ns = now + TRY_MS * UINT64_C(1000000);
    response_init(&try->response, DIALECT_BODY_MAX);
    f->count++;
    return 0;
}

static void end_try(struct failover *f, unsigned i)
{
    close(f->fds[i].fd);
    response_fini(&f->tries[i].response);
    f->count--;
    f->fds[i] = f->fds[f->count];
    f->tries[i] = f->tries[f->count];
}

/* True when the try has ended; *acknowledged_out says how. */
static bool go_on(struct failover *f, unsigned i, bool *acknowledged_out)
{
    struct try *try = &f->tries[i];
    struct pollfd *fd = &f->fds[i];
    char data[4096];
    ssize_t size;

    if (!try->sent) {
        size = send(fd->fd, f->request.data, f->request.len, MSG_NOSIGNAL);
        try->sent = size == (ssize_t)f->request.len;
        fd->events = POLLIN;
        return !try->sent;
    }
    size = recv(fd->fd, data, sizeof(data), 0);
    if (size > 0)
        response_feed(&try->response, data, (size_t)size);
    if (size == 0)
        response_eof(&try->response);
    *acknowledged_out = try->response.state == RESPONSE_DONE &&
                        dialect_judge(f->options->dialect, true, &try->response) == VERDICT_OK;
    return size < 0 || try->response.state >= RESPONSE_DONE;
}

static bool go_on_all(struct failover *f)
{
    uint64_t now = engine_now_ns();
    bool acknowledged = false;

    for (unsigned i = 0; i < f->count && !acknowledged;) {
        bool over = f->fds[i].revents != 0 ? go_on(f, i, &acknowledged) : f->tries[i].end_ns < now;

        if (over && !acknowledged)
            end_try(f, i);
        else
            i++;
    }
    return acknowledged;
}

/* Nanoseconds until a server from `first` on acknowledges a write, or 0. */
static uint64_t time_write(struct failover *f, unsigned first, const volatile int *stop)
{
    uint64_t start = engine_now_ns(), next = start, now = start, found = 0;

    while (found == 0 && *stop == 0 && now - start < GIVE_UP_NS) {
        if (now >= next) {
            for (unsigned i = first; i < f->options->servers_count; i++) {
                if (begin_try(f, i, now) != 0)
                    return 0;
            }
            next += PACE_NS;
        }
        poll(f->fds, f->count, next > now ? (int)((next - now) / 1000000u) + 1 : 0);
        if (go_on_all(f))
            found = engine_now_ns() - start;
        now = engine_now_ns();
    }
    while (f->count > 0)
        end_try(f, 0);
    return found;
}

int failover_measure(const struct options *options, const volatile int *stop)
{
    static struct failover f;
    struct dkv_slice key = {"failover", 8}, value = {"1", 1};
    uint64_t time;

    f.options = options;
    dialect_put(options->dialect, "localhost", key, value, &f.request);
    if (time_write(&f, 1, stop) == 0) {
        fputs("load: the cluster takes no writes even before the kill\n", stderr);
        return -1;
    }
    if (kill(options->kill_pid, SIGKILL) != 0) {
        fprintf(stderr, "load: kill %ld: %s\n", (long)options->kill_pid, strerror(errno));
        return -1;
    }
    time = time_write(&f, 1, stop);
    buf_fini(&f.request);
    if (time == 0) {
        fputs("load: no other node acknowledged a write within 30 s\n", stderr);
        return -1;
    }
    printf(options->json ? "{\"failover_ms\":%.1f}\n" : "first write after %.1f ms\n",
           (double)time / 1e6);
    return 0;
}
