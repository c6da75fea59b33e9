/* A script of a client, a handler and a clock against a whole server: any order of sending, half
 * closing, leaving, answering late, in parts, out of order or not to the end, and time passing.
 * Nothing may be touched after its end, and in the end nothing may be left. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <signal.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "base/assert.h"
#include "http/connection.h"
#include "http/server.h"

#define KEPT_MAX 64
#define SECOND   UINT64_C(1000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    uint64_t now_us;
    struct http_request *kept[KEPT_MAX];
    bool started[KEPT_MAX];
    unsigned count;
    uint8_t mode;
};

static uint64_t world_now(void *ctx)
{
    return ((struct world *)ctx)->now_us;
}

static void forget(struct world *w, unsigned i)
{
    w->count--;
    w->kept[i] = w->kept[w->count];
    w->started[i] = w->started[w->count];
}

/* Some handlers answer from here, some do not. */
static void on_abort(struct http_request *req, enum http_abort why)
{
    struct world *w = req->user;

    for (unsigned i = 0; i < w->count; i++) {
        if (w->kept[i] != req || w->started[i] || (req->id & 1) != (uint64_t)why % 2)
            continue;
        forget(w, i);
        http_reply(req, 503, NULL, "left", 4);
        return;
    }
}

static void on_drain(struct http_request *req)
{
    http_reply_chunk(req, "more", 4);
}

static void on_request(void *ctx, struct http_request *req)
{
    struct world *w = ctx;

    if (w->count == KEPT_MAX || (w->mode & 1) != 0) {
        http_reply(req, 200, NULL, req->body.data, req->body.len);
        return;
    }
    req->user = w;
    req->on_abort = on_abort;
    req->on_drain = on_drain;
    w->started[w->count] = false;
    w->kept[w->count++] = req;
}

static uint64_t on_body_limit(void *ctx, struct http_request *req)
{
    struct world *w = ctx;

    if (w->mode & 2)
        http_reply(req, 403, NULL, "no", 2);
    return w->mode & 4 ? 3 : 4096;
}

static void answer(struct world *w, uint8_t how, uint8_t which)
{
    static char block[90000];
    struct http_reply_fields fields = {.close = (how & 8) != 0};
    unsigned i = w->count == 0 ? 0 : which % w->count;
    struct http_request *req = w->kept[i];

    if (w->count == 0)
        return;
    if (!w->started[i] && (how & 3) == 0) {
        forget(w, i);
        http_reply(req, 200, &fields, block, (how & 4) != 0 ? sizeof(block) : 3);
    } else if (!w->started[i]) {
        w->started[i] = true;
        http_reply_start(req, 200, &fields, how & 4 ? HTTP_LENGTH_CHUNKED : UINT64_C(1) << 30);
    } else if ((how & 3) == 1) {
        forget(w, i);
        http_reply_end(req);
    } else if ((how & 3) == 2) {
        forget(w, i);
        http_reply_abort(req);
    } else {
        http_reply_chunk(req, block, (how & 4) != 0 ? sizeof(block) : 5);
    }
}

static void play(struct world *w, struct http_server *server, struct event_base *base, int *fd,
                 const uint8_t *data, size_t size)
{
    char room[65536];
    size_t at = 0;

    while (at + 2 <= size) {
        uint8_t op = data[at], arg = data[at + 1];
        size_t len = arg < size - at - 2 ? arg : size - at - 2;

        at += 2;
        switch (op % 8) {
        case 0:
        case 1:
            if (*fd >= 0 && write(*fd, data + at, len) < 0)
                len = size - at;
            at += len;
            break;
        case 2:
        case 3:
            answer(w, arg, op >> 3);
            break;
        case 4:
            w->mode = arg;
            break;
        case 5:
            w->now_us += arg * SECOND / 4;
            http__server_sweep(server);
            break;
        case 6:
            if (*fd >= 0 && arg % 4 == 0)
                shutdown(*fd, SHUT_WR);
            else if (*fd >= 0 && read(*fd, room, sizeof(room)) < 0)
                w->mode ^= 1;
            break;
        default:
            if (*fd >= 0 && arg % 8 == 0) {
                close(*fd);
                *fd = -1;
            } else if (arg % 8 == 1) {
                http_server_drain(server, NULL, NULL);
            }
            break;
        }
        event_base_loop(base, EVLOOP_NONBLOCK);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.now_us = 1000 * SECOND};
    struct http_handler handler = {.ctx = &w, .request = on_request, .body_limit = on_body_limit};
    struct event_base *base = event_base_new();
    struct http_config config;
    struct http_server *server;
    int fds[2];

    signal(SIGPIPE, SIG_IGN);
    http_config_init(&config);
    config.now_us = world_now;
    config.clock_ctx = &w;
    server = http_server_new(&config, base, &handler);
    dkv_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    http_server_adopt(server, fds[1]);
    play(&w, server, base, &fds[0], data, size);
    if (fds[0] >= 0)
        close(fds[0]);
    while (w.count > 0)
        answer(&w, w.started[0] ? 1 : 0, 0);
    for (int i = 0; i < 4; i++)
        event_base_loop(base, EVLOOP_NONBLOCK);
    w.now_us += 100 * SECOND;
    http__server_sweep(server);
    http_server_flush(server);
    while (w.count > 0)
        answer(&w, w.started[0] ? 1 : 0, 0);
    dkv_assert(http_server_stats(server)->connections == 0);
    dkv_assert(http_server_stats(server)->in_flight == 0);
    dkv_assert(server->held_bytes == 0);
    http_server_free(&server);
    event_base_free(base);
    return 0;
}
