/* The transport interface: a factory of libevent bufferevents.
 *
 * Listening, accepting, resolving names and calling connect are the daemon's; a transport says how
 * bytes travel once there is a socket.  The daemon reads and writes through the bufferevent alone. */
#ifndef DKV_TRANSPORT_H
#define DKV_TRANSPORT_H

#include <event2/util.h>

#include "dkv/plugin.h"

struct bufferevent;
struct event_base;

#define DKV_CAP_ENCRYPTED (1u << 0) /* nobody on the way can read or change what is sent */
#define DKV_CAP_PEER_NAME (1u << 1) /* peer() can prove who the peer is */

enum dkv_role { DKV_ROLE_CLIENT = 1, DKV_ROLE_SERVER = 2 };

#define DKV_PEER_VERIFIED (1u << 0) /* name was proved, not just claimed */

struct dkv_peer {
    uint32_t flags;   /* DKV_PEER_* */
    char name[256];   /* DNS SAN that matched, else CN; "" if none */
    char detail[124]; /* for the log: protocol, cipher */
};

/* Base of every instance: the first member of the plugin's own struct.  The plugin allocates it
 * zeroed and sets caps in open(); the daemon sets ops and host when open() has returned. */
struct dkv_transport {
    const struct dkv_transport_ops *ops;
    const struct dkv_host *host;
    uint32_t caps; /* DKV_CAP_* */
    uint32_t reserved0;
    void *reserved[4];
};

/* Borrowed during open(); what the pointers lead to lives until close() has returned. */
struct dkv_transport_args {
    uint32_t size; /* sizeof(struct dkv_transport_args) where the daemon was built */
    uint32_t reserved;
    const struct dkv_host *host;
    const void *options; /* the struct described by dkv_plugin.options */
};

/* Threads.  open, close and reload run on the main thread; the rest on any thread, several at once,
 * but one bufferevent stays on the thread of its base: no lock is needed for what belongs to it.
 * Nothing here blocks, except open and reload, which may read files.
 *
 * What the daemon's side may rely on with every bufferevent:
 *   - when it is freed nothing is called back any more, and its socket is closed in the next turn of
 *     the loop, also while output is waiting or a connect is under way;
 *   - what was written is sent in order, once, or the connection fails with BEV_EVENT_ERROR;
 *   - the peer's orderly end is BEV_EVENT_EOF | BEV_EVENT_READING, after all that it sent, and does
 *     not stop what is still to be written here;
 *   - watermarks, timeouts and disabling EV_READ work as libevent says, so that who does not read
 *     makes the peer wait;
 *   - no callback runs inside wrap() or flush().
 * The daemon ignores SIGPIPE. */
struct dkv_transport_ops {
    uint32_t size; /* sizeof(struct dkv_transport_ops) where the plugin was built */
    uint32_t reserved;

    /* Gives a transport, closed with close().  On failure fills err, leaves *transport_out alone and
     * leaks nothing.  A section that is used by both listeners is opened once. */
    int (*open)(const struct dkv_transport_args *args, struct dkv_transport **transport_out,
                struct dkv_error *err);
    /* Takes the transport.  All its bufferevents have been freed. */
    void (*close)(struct dkv_transport *transport);

    /* Gives a bufferevent on `base`, without callbacks and as libevent makes them (EV_READ off,
     * EV_WRITE on), for the stream socket fd (accepted or connected; made non-blocking here if need
     * be), or, if fd is -1, for one that the caller will open with bufferevent_socket_connect*().
     * peer_name (borrowed during the call) is whom a client expects to reach; NULL for a server.  On
     * success the bufferevent owns fd; on failure the caller still does.
     *
     * DKV_OK: usable as soon as it is connected.
     * DKV_PENDING: wait for BEV_EVENT_CONNECTED, which comes after a handshake and on both sides,
     * before peer(); what is written earlier is kept, what comes earlier is not given out.
     * Anything else: err says why, for the log. */
    int (*wrap)(struct dkv_transport *transport, struct event_base *base, evutil_socket_t fd,
                int role, const char *peer_name, struct bufferevent **bev_out,
                struct dkv_error *err);
    /* Fills *peer_out, which the caller has zeroed, while the connection is up.  With
     * DKV_CAP_PEER_NAME the daemon lets a node in only if this succeeds with DKV_PEER_VERIFIED and
     * the node's name. */
    int (*peer)(struct dkv_transport *transport, struct bufferevent *bev,
                struct dkv_peer *peer_out);
    /* Optional.  Says why a connection failed, for the log.  Called first thing in the event callback
     * of BEV_EVENT_ERROR, while errno is still the socket's. */
    void (*explain)(struct dkv_transport *transport, struct bufferevent *bev,
                    struct dkv_error *why_out);
    /* Optional.  Reads keys and certificates again; connections made before keep theirs.  After a
     * failure everything is as it was.  Not called by daemons of ABI 1.0. */
    int (*reload)(struct dkv_transport *transport, struct dkv_error *err);
    /* Optional.  Writes what the output holds to the socket now, without a turn of the event loop.
     *
     * DKV_OK: the output is empty.  DKV_PENDING: the rest follows by itself, also when the socket is
     * not connected yet.  An error: the owner is also told by BEV_EVENT_ERROR, from the loop, and
     * need not look at it here.
     *
     * From the first flush on EV_WRITE of the bufferevent is the transport's: it may be off while
     * nothing waits, so an owner who has flushed once flushes after every addition to the output, or
     * enables EV_WRITE himself.  Who does so may disable it again when the output is empty or a
     * flush follows. */
    int (*flush)(struct dkv_transport *transport, struct bufferevent *bev);
};

#endif
