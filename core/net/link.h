/* The outgoing connection to one peer: connects, says hello, keeps trying.
 *
 * Raft thread.  Each node sends on the connections that it has made and receives on those that it
 * has accepted, so no two nodes ever argue about which connection counts.  What is written while
 * the link is not ready, or while more than the limit waits, is dropped: Raft sends again. */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <stdbool.h>

#include "base/env.h"
#include "dkv/transport.h"
#include "net/hello.h"

struct event_base;
struct evbuffer;
struct link;

struct link_config {
    struct env *env;
    struct event_base *base;
    struct dkv_transport *transport;
    const struct net_hello *hello; /* borrowed; `to` is filled in by the link */
    uint64_t peer_id;
    const char *peer_name; /* copied */
    const char *address;   /* host:port, copied */
    size_t queue_bytes_max;
    void *ctx;
    void (*ready)(void *ctx, uint64_t peer_id);
    void (*lost)(void *ctx, uint64_t peer_id);
    /* The peer does not want us: it says why, and the link tries again later. */
    void (*refused)(void *ctx, uint64_t peer_id, const struct net_hello_answer *answer);
    /* Something about the link worth a line in the log: why it does not come about is told once,
     * and then once a minute. */
    void (*note)(void *ctx, uint64_t peer_id, const char *text);
};

struct link *link_new(const struct link_config *config);
void link_free(struct link **link); /* waits for nothing; a name look-up under way is disowned */
bool link_is_ready(const struct link *link);
/* Where frames go, or NULL when the link is not ready or its queue is full. */
struct evbuffer *link_output(struct link *link);
/* At the end of the loop's turn: sends what is there. */
void link_flush(struct link *link);

#endif
