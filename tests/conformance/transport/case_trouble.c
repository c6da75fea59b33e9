/* Connections that fail, and what users get wrong. */
#include "cases.h"
#include "jam.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>

#include "conf/conf.h"
#include "net/inbound.h"
#include "plugin/loader.h"
#include "plugin/transport.h"

enum { BIG = 16 << 20 };

static void expect_reason(const struct end *end, const char *wanted)
{
    if (end->net->transport->ops->explain == NULL)
        return;
    assert_true(end->why.status < 0);
    assert_non_null(memchr(end->why.text, '\0', sizeof(end->why.text)));
    if (strstr(end->why.text, wanted) == NULL)
        fail_msg("the reason is \"%s\", not \"%s\"", end->why.text, wanted);
}

void test_a_refused_connect_is_an_error_with_a_reason(void **state)
{
    struct net *net = *state;
    struct sockaddr_in address;
    struct end client;

    (void)close(listen_somewhere(1, &address));
    (void)end_wrap(&client, net, net->base, -1, DKV_ROLE_CLIENT);
    end_add(&client, 100);
    end_connect(&client, &address);
    assert_true(wait_until(net->base, has_failed, &client));
    assert_int_equal(client.connected, 0);
    expect_reason(&client, strerror(ECONNREFUSED));
    end_close(&client);
}

static bool has_timed_out(const void *end)
{
    return ((const struct end *)end)->timed_out > 0;
}

void test_a_connect_that_nobody_answers_times_out(void **state)
{
    struct net *net = *state;
    struct timeval limit = {.tv_usec = 150000};
    struct jam jam;
    struct end client;

    jam_open(&jam);
    (void)end_wrap(&client, net, net->base, -1, DKV_ROLE_CLIENT);
    bufferevent_set_timeouts(client.bev, &limit, &limit);
    end_connect(&client, &jam.address);
    assert_true(wait_until(net->base, has_timed_out, &client));
    assert_int_equal(client.connected + client.failed, 0);
    end_close(&client);
    jam_close(&jam);
}

void test_a_reset_is_an_error_with_a_reason(void **state)
{
    struct net *net = *state;
    struct end server, client;

    pair_open(net, &server, &client, net->base);
    reset_on_close(&client);
    end_close(&client);
    assert_true(wait_until(net->base, has_failed, &server));
    assert_int_equal(server.ended, 0);
    expect_reason(&server, strerror(ECONNRESET));
    end_close(&server);
}

void test_a_bad_descriptor_is_refused_and_stays_the_callers(void **state)
{
    struct net *net = *state;
    struct end end;
    int fd = dup(STDIN_FILENO), status;

    assert_true(fd >= 0);
    (void)close(fd);
    status = end_wrap(&end, net, net->base, fd, DKV_ROLE_SERVER);
    assert_true(status < 0);
    assert_int_equal(end.why.status, status);
    assert_true(end.why.text[0] != '\0');
}

void test_closing_drops_what_waits_and_calls_nobody(void **state)
{
    struct net *net = *state;
    struct end server, client, gone;

    pair_open(net, &server, &client, net->base);
    (void)bufferevent_disable(client.bev, EV_READ);
    end_add(&server, BIG);
    if (net->transport->ops->flush != NULL)
        (void)end_flush(&server);
    run_for(net->base, 20);
    end_close(&server);
    gone = server;
    (void)bufferevent_enable(client.bev, EV_READ);
    while (client.ended + client.failed == 0)
        assert_true(event_base_loop(net->base, EVLOOP_ONCE) == 0);
    assert_true(client.got > 0 && client.got < BIG);
    assert_false(client.is_garbled);
    assert_memory_equal(&gone, &server, sizeof(gone));
    end_close(&client);
}

void test_closing_while_connecting(void **state)
{
    struct net *net = *state;
    struct jam jam;
    struct end client;

    jam_open(&jam);
    (void)end_wrap(&client, net, net->base, -1, DKV_ROLE_CLIENT);
    end_add(&client, 100);
    end_connect(&client, &jam.address);
    run_for(net->base, 10);
    end_close(&client);
    run_for(net->base, 10);
    assert_int_equal(client.connected + client.failed, 0);
    jam_close(&jam);
}

/* --- the daemon's listener over this transport --- */

static void note_nothing(void *ctx, const char *text)
{
    (void)ctx;
    (void)text;
}

static int listen_at(const struct net *net, const char *address, struct inbound **inbound_out,
                     struct dkv_error *err)
{
    struct inbound_config config = {
        .base = net->base, .transport = net->transport, .connections_max = 4, .note = note_nothing};

    return inbound_open(&config, address, inbound_out, err);
}

void test_an_address_in_use_is_said_with_its_owner(void **state)
{
    struct net *net = *state;
    struct inbound *inbound = NULL;
    struct dkv_error err = {0};
    struct sockaddr_in address;
    int listener = listen_somewhere(1, &address);
    char text[64];

    (void)snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(listen_at(net, text, &inbound, &err), DKV_EUNAVAIL);
    assert_non_null(strstr(err.text, text));
    assert_non_null(strstr(err.text, "the address is in use by"));
    (void)close(listener);
    if (listen_at(net, text, &inbound, &err) != DKV_OK)
        fail_msg("%s", err.text);
    inbound_close(&inbound);
}

void test_an_address_that_is_none_is_refused(void **state)
{
    static const char *const addresses[] = {
        "nonsense", "", "127.0.0.1", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:http8", "[::1:80"};
    struct net *net = *state;

    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        struct inbound *inbound = NULL;
        struct dkv_error err = {0};

        if (listen_at(net, addresses[i], &inbound, &err) == DKV_OK)
            fail_msg("\"%s\" is an address", addresses[i]);
        assert_null(inbound);
        assert_non_null(strstr(err.text, addresses[i]));
    }
}

/* --- options --- */

static void expect_refused(const char *key, const char *value, const char *text)
{
    char section[512];
    struct conf *conf;
    struct transport *loaded = NULL;
    struct dkv_error err = {0};
    int status;

    (void)snprintf(section, sizeof(section), "[transport \"%s\"]\n%s = %s\n", ends_plugin, key,
                   value);
    status = net_open_with(section, &conf, &loaded, &err);
    if (status == DKV_OK)
        fail_msg("%s = %s is taken", key, value);
    assert_null(loaded);
    if (strstr(err.text, text) == NULL || strstr(err.text, key) == NULL)
        fail_msg("\"%s\" does not say \"%s\" of %s", err.text, text, key);
    conf_free(&conf);
}

static struct plugin *load_again(void)
{
    struct plugin *plugin = NULL;
    struct dkv_error err = {0};

    if (plugin_load(plugin_folder(), ends_plugin, DKV_PLUGIN_TRANSPORT, &plugin, &err) != DKV_OK)
        fail_msg("%s", err.text);
    return plugin;
}

void test_an_unknown_option_is_refused(void **state)
{
    (void)state;
    expect_refused("no_such_option", "1", "unknown option");
}

void test_an_option_of_the_wrong_kind_is_refused(void **state)
{
    struct plugin *plugin = load_again();
    const struct dkv_option *option = plugin->descriptor->options;

    (void)state;
    for (; option != NULL && option->name != NULL; option++) {
        if (option->type != DKV_OPTION_STRING)
            expect_refused(option->name, "apples", "apples");
        assert_non_null(option->help);
    }
    plugin_free(&plugin);
}

void test_an_option_out_of_bounds_is_refused(void **state)
{
    struct plugin *plugin = load_again();
    const struct dkv_option *option = plugin->descriptor->options;
    char value[64];

    (void)state;
    for (; option != NULL && option->name != NULL; option++) {
        const char *unit = option->type == DKV_OPTION_DURATION ? "ms"
                           : option->type == DKV_OPTION_SIZE   ? "B"
                                                               : "";

        if (option->type == DKV_OPTION_STRING || option->type == DKV_OPTION_BOOL ||
            option->type == DKV_OPTION_CHOICE || option->max == INT64_MAX ||
            (option->min == 0 && option->max == 0))
            continue;
        (void)snprintf(value, sizeof(value), "%lld%s", (long long)option->max + 1, unit);
        expect_refused(option->name, value, "must be between");
        if (option->min <= 0)
            continue;
        (void)snprintf(value, sizeof(value), "%lld%s", (long long)option->min - 1, unit);
        expect_refused(option->name, value, "must be between");
    }
    plugin_free(&plugin);
}
