/* A server over socket pairs with a clock of its own, and a client that waits for conditions. */
#ifndef TESTS_HTTP_FIXTURE_H
#define TESTS_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "base/clock.h"
#include "base/mem.h"
#include "http/connection.h"
#include "http/server.h"

#define KEPT_MAX 32
#define SECOND   UINT64_C(1000000)

struct fixture {
    struct event_base *base;
    struct http_server *server;
    struct http_config config;
    uint64_t now_us;
    struct http_request *kept[KEPT_MAX];
    unsigned kept_count, handled, aborts, drains, warnings, drained;
    unsigned slow_count;
    int slow_status;
    uint64_t slow_us;
    enum http_abort abort_why;
    uint64_t body_limit;
    char last_body[4096];
    size_t last_body_len;
    char received[1 << 16];
    size_t received_len;
};

extern struct fixture *the;

int setup(void **state);
int teardown(void **state);
/* Makes the server anew from the->config. */
void restart(void);
int client_new(void);
void client_send(int fd, const char *text);
void client_send_bytes(int fd, const void *data, size_t len);
void turn(void);
/* Waits until the text came; everything received since the last forget is in the->received. */
void expect(int fd, const char *text);
void expect_end(int fd);
void forget(void);
unsigned count_received(const char *text);
void pass_time(uint64_t us);
/* Turns the loop until the condition holds, five seconds at most. */
#define await(condition)                                                                           \
    do {                                                                                           \
        uint64_t until_ = clock_now_us() + 5 * SECOND;                                             \
        while (!(condition) && clock_now_us() < until_)                                            \
            turn();                                                                                \
        assert_true(condition);                                                                    \
    } while (0)

#endif
