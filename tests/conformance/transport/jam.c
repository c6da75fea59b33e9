#include "jam.h"

#include <errno.h>
#include <poll.h>

/* True if the connection was made, false if nobody has answered for a while. */
static bool is_answered(int fd)
{
    struct pollfd look = {.fd = fd, .events = POLLOUT};

    return poll(&look, 1, 50) > 0;
}

void jam_open(struct jam *jam)
{
    bool is_full = false;

    jam->count = 0;
    jam->listener = listen_somewhere(0, &jam->address);
    while (!is_full && jam->count < JAM_MAX) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        jam->queued[jam->count++] = fd;
        if (connect(fd, (struct sockaddr *)&jam->address, sizeof(jam->address)) != 0) {
            assert_int_equal(errno, EINPROGRESS);
            is_full = !is_answered(fd);
        }
    }
    assert_true(is_full);
}

static void drop_queued(struct jam *jam)
{
    while (jam->count > 0)
        (void)close(jam->queued[--jam->count]);
}

void jam_clear(struct jam *jam)
{
    size_t connected = jam->count - 1; /* the last one never got in */

    drop_queued(jam);
    for (size_t i = 0; i < connected; i++)
        (void)close(accept_one(jam->listener));
}

void jam_close(struct jam *jam)
{
    drop_queued(jam);
    (void)close(jam->listener);
}

void reset_on_close(struct end *end)
{
    struct linger at_once = {.l_onoff = 1};

    assert_int_equal(
        setsockopt(bufferevent_getfd(end->bev), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)),
        0);
}
