/* flush(): what it promises, and when EV_WRITE is whose. */
#include "cases.h"
#include "jam.h"

#include <poll.h>

enum { BIG = 16 << 20 };

static void need_flush(const struct net *net)
{
    if (net->transport->ops->flush == NULL)
        skip();
}

/* The server's loop never runs; the client has one of its own. */
void test_flush_writes_without_a_turn_of_the_loop(void **state)
{
    struct net *net = *state;
    struct event_base *other;
    struct end server, client;

    need_flush(net);
    other = event_base_new();
    assert_non_null(other);
    pair_open(net, &server, &client, other);
    for (size_t i = 1; i <= 20; i++) {
        end_add(&server, 64);
        assert_int_equal(end_flush(&server), DKV_OK);
        assert_int_equal(end_waiting(&server), 0);
        expect_bytes(&client, other, i * 64);
    }
    end_close(&server);
    end_close(&client);
    event_base_free(other);
}

void test_flush_of_nothing_is_ok(void **state)
{
    struct net *net = *state;
    struct end server, client;

    need_flush(net);
    pair_open(net, &server, &client, net->base);
    assert_int_equal(end_flush(&server), DKV_OK);
    assert_int_equal(end_flush(&server), DKV_OK);
    end_add(&server, 10);
    expect_bytes(&client, net->base, 10); /* no flush has written yet: the loop still does */
    end_close(&server);
    end_close(&client);
}

void test_what_flush_cannot_write_follows_by_itself(void **state)
{
    struct net *net = *state;
    struct end server, client;

    need_flush(net);
    pair_open(net, &server, &client, net->base);
    end_add(&server, 64);
    assert_int_equal(end_flush(&server), DKV_OK);
    (void)bufferevent_disable(client.bev, EV_READ);
    end_add(&server, BIG);
    assert_int_equal(end_flush(&server), DKV_PENDING);
    run_for(net->base, 50);
    assert_true(end_waiting(&server) > 0);
    assert_int_equal(end_flush(&server), DKV_PENDING);
    (void)bufferevent_enable(client.bev, EV_READ);
    expect_bytes(&client, net->base, 64 + BIG);
    assert_int_equal(end_waiting(&server), 0);
    end_add(&server, 64);
    assert_int_equal(end_flush(&server), DKV_OK);
    expect_bytes(&client, net->base, 128 + BIG);
    end_add(&client, 500);
    expect_bytes(&server, net->base, 500); /* none of this has touched the other direction */
    end_close(&server);
    end_close(&client);
}

void test_additions_and_flushes_keep_their_order(void **state)
{
    struct net *net = *state;
    struct end server, client;
    size_t sum = 0;

    need_flush(net);
    pair_open(net, &server, &client, net->base);
    for (size_t i = 0; i < 400; i++) {
        size_t len = i * 7919 % 60000 + 1;

        end_add(&server, len);
        assert_true(end_flush(&server) >= DKV_OK);
        sum += len;
        if (i % 3 == 0)
            (void)event_base_loop(net->base, EVLOOP_NONBLOCK);
    }
    expect_bytes(&client, net->base, sum);
    end_close(&server);
    end_close(&client);
}

void test_an_owner_may_enable_writing_himself(void **state)
{
    struct net *net = *state;
    struct end server, client;

    need_flush(net);
    pair_open(net, &server, &client, net->base);
    (void)bufferevent_disable(server.bev, EV_WRITE); /* as the HTTP server does before the first */
    end_add(&server, 100);
    assert_int_equal(end_flush(&server), DKV_OK);
    end_add(&server, BIG);
    (void)bufferevent_enable(server.bev, EV_WRITE);
    expect_bytes(&client, net->base, 100 + BIG);
    (void)bufferevent_disable(server.bev, EV_WRITE);
    end_add(&server, 100);
    assert_int_equal(end_flush(&server), DKV_OK);
    expect_bytes(&client, net->base, 200 + BIG);
    end_close(&server);
    end_close(&client);
}

void test_flush_before_the_connect_waits(void **state)
{
    struct net *net = *state;
    struct jam jam;
    struct end client, server;
    int fd;

    need_flush(net);
    jam_open(&jam);
    (void)end_wrap(&client, net, net->base, -1, DKV_ROLE_CLIENT);
    end_add(&client, 1000);
    assert_int_equal(end_flush(&client), DKV_PENDING);
    end_connect(&client, &jam.address);
    assert_int_equal(end_flush(&client), DKV_PENDING);
    run_for(net->base, 20);
    assert_int_equal(client.connected + client.failed, 0);
    jam_clear(&jam);
    assert_true(wait_until(net->base, has_connected, &client));
    fd = accept_one(jam.listener);
    (void)end_wrap(&server, net, net->base, fd, DKV_ROLE_SERVER);
    (void)bufferevent_enable(server.bev, EV_READ);
    expect_bytes(&server, net->base, 1000);
    end_close(&client);
    end_close(&server);
    jam_close(&jam);
}

/* The refusal is there before the loop has seen it; writing would take the socket's error away. */
void test_flush_does_not_hide_that_a_connect_failed(void **state)
{
    struct net *net = *state;
    struct jam jam;
    struct end client;
    struct pollfd look = {.events = POLLOUT};

    need_flush(net);
    jam_open(&jam);
    (void)end_wrap(&client, net, net->base, -1, DKV_ROLE_CLIENT);
    end_add(&client, 1000);
    end_connect(&client, &jam.address);
    jam_close(&jam);
    look.fd = bufferevent_getfd(client.bev);
    assert_int_equal(poll(&look, 1, PATIENCE_MS), 1);
    assert_true(end_flush(&client) != DKV_OK);
    assert_true(wait_until(net->base, has_failed, &client));
    assert_int_equal(client.connected, 0);
    end_close(&client);
}

void test_flush_after_a_reset_is_told_by_the_loop(void **state)
{
    struct net *net = *state;
    struct end server, client;

    need_flush(net);
    pair_open(net, &server, &client, net->base);
    (void)bufferevent_disable(server.bev, EV_READ);
    reset_on_close(&client);
    end_close(&client);
    run_for(net->base, 10);
    end_add(&server, 1000);
    assert_true(end_flush(&server) != DKV_OK);
    assert_int_equal(server.failed, 0);
    assert_true(wait_until(net->base, has_failed, &server));
    end_close(&server);
}
