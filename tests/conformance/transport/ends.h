/* Two ends of a connection over the transport under test, on loopback, in one process.
 *
 * Each end counts what it is told.  Payload is a fixed sequence of bytes, so an end knows at each
 * byte which one must come next.  A wait ends when its condition holds or when PATIENCE_MS are over,
 * never by hoping. */
#ifndef CONFORMANCE_TRANSPORT_ENDS_H
#define CONFORMANCE_TRANSPORT_ENDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dkv/transport.h"

enum { PATIENCE_MS = 10000 };

struct net {
    struct conf *conf;
    struct transport *loaded;
    struct dkv_transport *transport;
    struct event_base *base;
};

struct end {
    struct net *net;
    struct bufferevent *bev;
    bool is_called;     /* a call of the plugin is under way */
    unsigned intrusive; /* callbacks that came during one */
    unsigned connected, failed, timed_out, ended;
    short last_what;
    size_t sent, got;
    bool is_garbled;
    struct dkv_error why; /* of the failure, by explain() */
};

/* The plugin and its options: from the command line, for all cases. */
extern const char *ends_plugin;
extern char ends_section[4096]; /* of dkv.conf */

int net_setup(void **state);
int net_teardown(void **state);
/* The plugin with this section of dkv.conf; DKV_OK gives a transport. */
int net_open_with(const char *section, struct conf **conf_out, struct transport **loaded_out,
                  struct dkv_error *err);

/* A listening socket on a free port of 127.0.0.1. */
int listen_somewhere(int backlog, struct sockaddr_in *address_out);
int accept_one(int listener);

/* wrap(), and callbacks; the status of wrap. */
int end_wrap(struct end *end, struct net *net, struct event_base *base, int fd, enum dkv_role role);
void end_connect(struct end *end, const struct sockaddr_in *address);
/* Both ends are ready when it returns; the client lives on client_base. */
void pair_open(struct net *net, struct end *server, struct end *client,
               struct event_base *client_base);
void end_close(struct end *end);

/* Adds the next len bytes of the sequence to the output. */
void end_add(struct end *end, size_t len);
int end_flush(struct end *end);
size_t end_waiting(const struct end *end);

/* Runs the loop until the condition holds; false if that took too long. */
bool wait_until(struct event_base *base, bool (*holds)(const void *arg), const void *arg);
/* Runs the loop for about this long, for what must not happen. */
void run_for(struct event_base *base, unsigned ms);

bool has_connected(const void *end);
bool has_ended(const void *end);
bool has_failed(const void *end);
bool has_nothing_waiting(const void *end);
/* Until the end has got len bytes; fails if they are not the sequence. */
void expect_bytes(struct end *end, struct event_base *base, size_t len);

#endif
