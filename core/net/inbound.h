/* Connections that other nodes have made to us: hello first, then frames, one blob each.
 *
 * Raft thread.  A connection that sends anything out of order, too long or damaged is closed, with
 * one note; the peer connects again and Raft repeats what was lost. */
#ifndef NET_INBOUND_H
#define NET_INBOUND_H

#include "base/blob.h"
#include "dkv/transport.h"
#include "net/frame.h"
#include "net/hello.h"

struct event_base;
struct inbound;

struct inbound_config {
    struct event_base *base;
    struct dkv_transport *transport;
    uint32_t connections_max;
    void *ctx;
    /* Fills in the answer; NET_WELCOME lets frames in. */
    void (*greet)(void *ctx, const struct net_hello *hello, struct net_hello_answer *answer_out);
    /* The payload is blob->bytes; the callee refs what it keeps. */
    void (*frame)(void *ctx, uint64_t from, uint8_t type, struct blob *payload);
    void (*note)(void *ctx, const char *text);
};

/* listen_address: host:port.  DKV_EPERM, or DKV_EUNAVAIL when the address is in use. */
int inbound_open(const struct inbound_config *config, const char *listen_address,
                 struct inbound **inbound_out, struct dkv_error *err);
void inbound_close(struct inbound **inbound);
uint16_t inbound_port(const struct inbound *inbound); /* for tests that listen on port 0 */

#endif
