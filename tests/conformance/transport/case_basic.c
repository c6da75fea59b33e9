/* Connections that go well. */
#include "cases.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>

#include "conf/conf.h"
#include "plugin/transport.h"

enum { MANY = 200, BIG = 16 << 20, THREADS = 3, ROUNDS = 30 };

static bool is_plain(const struct net *net)
{
    return (net->transport->caps & DKV_CAP_ENCRYPTED) == 0;
}

static void test_bytes_go_both_ways(void **state)
{
    struct net *net = *state;
    struct end server, client;

    pair_open(net, &server, &client, net->base);
    end_add(&client, 1000);
    expect_bytes(&server, net->base, 1000);
    end_add(&server, 100000);
    expect_bytes(&client, net->base, 100000);
    end_close(&client);
    assert_true(wait_until(net->base, has_ended, &server));
    assert_int_equal(server.failed, 0);
    end_close(&server);
}

static void test_a_new_bufferevent_is_as_libevent_makes_them(void **state)
{
    struct net *net = *state;
    struct end server, client;
    struct sockaddr_in address;
    int listener = listen_somewhere(4, &address), fd;

    (void)end_wrap(&client, net, net->base, -1, DKV_ROLE_CLIENT);
    assert_int_equal(bufferevent_get_enabled(client.bev), EV_WRITE);
    end_connect(&client, &address);
    fd = accept_one(listener);
    assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    (void)end_wrap(&server, net, net->base, fd, DKV_ROLE_SERVER);
    assert_int_equal(bufferevent_get_enabled(server.bev), EV_WRITE);
    assert_int_equal(bufferevent_getfd(server.bev), fd);
    assert_ptr_equal(bufferevent_get_base(server.bev), net->base);
    assert_int_not_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    end_close(&server);
    run_for(net->base, 10);
    errno = 0;
    assert_int_equal(fcntl(fd, F_GETFL), -1);
    assert_int_equal(errno, EBADF);
    end_close(&client);
    (void)close(listener);
}

static void test_what_is_written_before_the_connection_is_kept(void **state)
{
    struct net *net = *state;
    struct end server, client;
    struct sockaddr_in address;
    int listener = listen_somewhere(4, &address);

    (void)end_wrap(&client, net, net->base, -1, DKV_ROLE_CLIENT);
    end_add(&client, 5000);
    end_connect(&client, &address);
    (void)end_wrap(&server, net, net->base, accept_one(listener), DKV_ROLE_SERVER);
    (void)bufferevent_enable(server.bev, EV_READ);
    expect_bytes(&server, net->base, 5000);
    assert_int_equal(client.connected, 1);
    end_close(&client);
    end_close(&server);
    (void)close(listener);
}

static void test_the_end_of_one_direction_leaves_the_other_open(void **state)
{
    struct net *net = *state;
    struct end server, client;

    if (!is_plain(net))
        skip();
    pair_open(net, &server, &client, net->base);
    end_add(&client, 300000);
    assert_true(wait_until(net->base, has_nothing_waiting, &client));
    assert_int_equal(shutdown(bufferevent_getfd(client.bev), SHUT_WR), 0);
    assert_true(wait_until(net->base, has_ended, &server));
    assert_int_equal(server.last_what, BEV_EVENT_EOF | BEV_EVENT_READING);
    expect_bytes(&server, net->base, 300000);
    end_add(&server, 1 << 20);
    (void)bufferevent_enable(server.bev, EV_WRITE);
    expect_bytes(&client, net->base, 1 << 20);
    end_close(&server);
    assert_true(wait_until(net->base, has_ended, &client));
    assert_int_equal(client.failed, 0);
    end_close(&client);
}

static void test_who_does_not_read_makes_the_peer_wait(void **state)
{
    struct net *net = *state;
    struct end server, client;
    size_t waiting;

    pair_open(net, &server, &client, net->base);
    (void)bufferevent_disable(client.bev, EV_READ);
    end_add(&server, BIG);
    run_for(net->base, 100);
    waiting = end_waiting(&server);
    assert_true(waiting > 0 && waiting < BIG);
    assert_int_equal(client.got, 0);
    run_for(net->base, 50);
    assert_int_equal(end_waiting(&server), waiting);
    (void)bufferevent_enable(client.bev, EV_READ);
    expect_bytes(&client, net->base, BIG);
    assert_int_equal(end_waiting(&server), 0);
    end_close(&server);
    end_close(&client);
}

static void test_peer_claims_no_more_than_the_transport_can(void **state)
{
    struct net *net = *state;
    struct end server, client;
    struct dkv_peer peer = {0};

    pair_open(net, &server, &client, net->base);
    assert_int_equal(net->transport->ops->peer(net->transport, server.bev, &peer), DKV_OK);
    assert_non_null(memchr(peer.name, '\0', sizeof(peer.name)));
    assert_non_null(memchr(peer.detail, '\0', sizeof(peer.detail)));
    assert_true(peer.detail[0] != '\0');
    if ((net->transport->caps & DKV_CAP_PEER_NAME) == 0)
        assert_int_equal(peer.flags & DKV_PEER_VERIFIED, 0);
    end_close(&server);
    end_close(&client);
}

static void test_many_connections_at_once(void **state)
{
    struct net *net = *state;
    struct end *servers = calloc(MANY, sizeof(*servers)), *clients = calloc(MANY, sizeof(*clients));

    assert_true(servers != NULL && clients != NULL);
    for (size_t i = 0; i < MANY; i++)
        pair_open(net, &servers[i], &clients[i], net->base);
    for (size_t i = 0; i < MANY; i++) {
        end_add(&clients[i], 100 + i * 10);
        end_add(&servers[i], 5000 + i);
    }
    for (size_t i = 0; i < MANY; i++) {
        expect_bytes(&servers[i], net->base, 100 + i * 10);
        expect_bytes(&clients[i], net->base, 5000 + i);
    }
    for (size_t i = 0; i < MANY; i++) {
        end_close(&servers[i]);
        end_close(&clients[MANY - 1 - i]);
    }
    free(servers);
    free(clients);
}

static void test_two_instances_do_not_know_each_other(void **state)
{
    struct net *net = *state;
    struct net other = *net;
    struct dkv_error err = {0};
    struct end server, client;

    if (net_open_with(ends_section, &other.conf, &other.loaded, &err) != DKV_OK)
        fail_msg("%s", err.text);
    other.transport = transport_instance(other.loaded);
    assert_ptr_not_equal(other.transport, net->transport);
    pair_open(&other, &server, &client, other.base);
    end_close(&server);
    end_close(&client);
    transport_close(&other.loaded);
    conf_free(&other.conf);
    pair_open(net, &server, &client, net->base);
    end_add(&client, 10);
    expect_bytes(&server, net->base, 10);
    end_close(&server);
    end_close(&client);
}

/* cmocka's assertions work on its own thread only, so a worker counts what went right. */
static void *use_on_a_thread(void *arg)
{
    struct net net = *(struct net *)arg;
    uintptr_t done = 0;

    net.base = event_base_new();
    while (net.base != NULL && done < ROUNDS) {
        struct end ends[2];
        int fds[2];

        if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
            break;
        if (end_wrap(&ends[0], &net, net.base, fds[0], DKV_ROLE_SERVER) != DKV_OK ||
            end_wrap(&ends[1], &net, net.base, fds[1], DKV_ROLE_CLIENT) != DKV_OK)
            break;
        (void)bufferevent_enable(ends[1].bev, EV_READ);
        (void)bufferevent_write(ends[0].bev, "\0", 1);
        while (ends[1].got == 0 && event_base_loop(net.base, EVLOOP_ONCE) == 0)
            continue;
        bufferevent_free(ends[0].bev);
        bufferevent_free(ends[1].bev);
        done += ends[1].got == 1 && !ends[1].is_garbled;
    }
    if (net.base != NULL)
        event_base_free(net.base);
    return (void *)done;
}

static void test_one_transport_serves_several_threads(void **state)
{
    struct net *net = *state;
    pthread_t threads[THREADS];

    if (!is_plain(net))
        skip();
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use_on_a_thread, net), 0);
    for (size_t i = 0; i < THREADS; i++) {
        void *done;

        assert_int_equal(pthread_join(threads[i], &done), 0);
        assert_int_equal((uintptr_t)done, ROUNDS);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int run_cases(void)
{
    const struct CMUnitTest cases[] = {
        CASE(test_bytes_go_both_ways),
        CASE(test_a_new_bufferevent_is_as_libevent_makes_them),
        CASE(test_what_is_written_before_the_connection_is_kept),
        CASE(test_the_end_of_one_direction_leaves_the_other_open),
        CASE(test_who_does_not_read_makes_the_peer_wait),
        CASE(test_peer_claims_no_more_than_the_transport_can),
        CASE(test_many_connections_at_once),
        CASE(test_two_instances_do_not_know_each_other),
        CASE(test_one_transport_serves_several_threads),
        CASE(test_flush_writes_without_a_turn_of_the_loop),
        CASE(test_flush_of_nothing_is_ok),
        CASE(test_what_flush_cannot_write_follows_by_itself),
        CASE(test_additions_and_flushes_keep_their_order),
        CASE(test_an_owner_may_enable_writing_himself),
        CASE(test_flush_before_the_connect_waits),
        CASE(test_flush_does_not_hide_that_a_connect_failed),
        CASE(test_flush_after_a_reset_is_told_by_the_loop),
        CASE(test_a_refused_connect_is_an_error_with_a_reason),
        CASE(test_a_connect_that_nobody_answers_times_out),
        CASE(test_a_reset_is_an_error_with_a_reason),
        CASE(test_a_bad_descriptor_is_refused_and_stays_the_callers),
        CASE(test_closing_drops_what_waits_and_calls_nobody),
        CASE(test_closing_while_connecting),
        CASE(test_an_address_in_use_is_said_with_its_owner),
        CASE(test_an_address_that_is_none_is_refused),
        CASE(test_an_unknown_option_is_refused),
        CASE(test_an_option_of_the_wrong_kind_is_refused),
        CASE(test_an_option_out_of_bounds_is_refused),
    };

    return cmocka_run_group_tests_name(ends_plugin, cases, NULL, NULL);
}
