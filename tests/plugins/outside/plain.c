/* A complete transport plugin: bytes as they are. */
#include <dkv/transport.h>

#include <event2/bufferevent.h>
#include <stdio.h>
#include <stdlib.h>

static int plain_open(const struct dkv_transport_args *args, struct dkv_transport **transport_out,
                      struct dkv_error *err)
{
    struct dkv_transport *transport = calloc(1, sizeof(*transport));

    (void)args;
    if (transport == NULL) {
        err->status = DKV_ENOMEM;
        (void)snprintf(err->text, sizeof(err->text), "out of memory");
        return DKV_ENOMEM;
    }
    *transport_out = transport;
    return DKV_OK;
}

static void plain_close(struct dkv_transport *transport)
{
    free(transport);
}

static int plain_wrap(struct dkv_transport *transport, struct event_base *base, evutil_socket_t fd,
                      int role, const char *peer_name, struct bufferevent **bev_out,
                      struct dkv_error *err)
{
    struct bufferevent *bev = NULL;

    (void)transport;
    (void)role;
    (void)peer_name;
    if (fd < 0 || evutil_make_socket_nonblocking(fd) == 0)
        bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
    if (bev == NULL) {
        err->status = DKV_EIO;
        (void)snprintf(err->text, sizeof(err->text), "socket %d cannot be used", (int)fd);
        return DKV_EIO;
    }
    *bev_out = bev;
    return DKV_OK;
}

static int plain_peer(struct dkv_transport *transport, struct bufferevent *bev,
                      struct dkv_peer *peer_out)
{
    (void)transport;
    (void)bev;
    (void)snprintf(peer_out->detail, sizeof(peer_out->detail), "plain");
    return DKV_OK;
}

static const struct dkv_transport_ops plain_ops = {
    .size = sizeof(struct dkv_transport_ops),
    .open = plain_open,
    .close = plain_close,
    .wrap = plain_wrap,
    .peer = plain_peer,
};

DKV_PLUGIN_DECLARE(.name = "plain", .version = "1.0", .kind = DKV_PLUGIN_TRANSPORT,
                   .summary = "bytes as they are, an example", .ops.transport = &plain_ops);
