#include <event2/buffer.h>
#include <event2/bufferevent.h>

#include "base/error.h"
#include "http/http.h"

static int plain_wrap(void *ctx, struct event_base *base, evutil_socket_t fd,
                      struct bufferevent **bev_out, struct dkv_error *err)
{
    struct bufferevent *bev = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);

    (void)ctx;
    if (bev == NULL)
        return dkv_error_set(err, DKV_ENOMEM, "no memory for a connection");
    *bev_out = bev;
    return DKV_OK;
}

/* A bufferevent keeps the front of its output locked against others than itself. */
static void plain_flush(void *ctx, struct bufferevent *bev)
{
    struct evbuffer *out = bufferevent_get_output(bev);

    (void)ctx;
    evbuffer_unfreeze(out, 1);
    evbuffer_write(out, bufferevent_getfd(bev));
    evbuffer_freeze(out, 1);
}

const struct http_transport http_transport_plain = {.wrap = plain_wrap, .flush = plain_flush};
