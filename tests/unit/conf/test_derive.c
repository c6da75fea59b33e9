#include "conf_fixture.h"

#define THREE "peers = n1=10.0.0.1:8300, n2=[fd00::2]:8300, n3=c.example:8300\n"

static void test_a_node_without_peers_is_a_cluster_of_its_own(void **state)
{
    const struct settings *s = load_good(*state, "");

    assert_string_equal(s->node.name, "box");
    assert_int_equal(s->cluster.peers.count, 1);
    assert_string_equal(s->cluster.peers.items[0].name, "box");
    assert_string_equal(s->cluster.peers.items[0].address.text, "127.0.0.1:8300");
    assert_int_equal(s->cluster.self, 0);
    assert_null(s->peer.listen.host);
    assert_string_equal(s->storage.plugin, "lmdb");
}

static void test_peers_are_listened_for_at_our_own_address(void **state)
{
    struct fixture *f = *state;
    const struct settings *s = load_good(f, "[node]\nname = n2\n[cluster]\n" THREE);

    assert_string_equal(s->peer.listen.host, "fd00::2");
    assert_int_equal(s->peer.listen.port, 8300);
    s = load_good(f, "[node]\nname = n2\n[cluster]\n" THREE "[peer]\nlisten = 0.0.0.0:1\n");
    assert_string_equal(s->peer.listen.host, "0.0.0.0");
}

static void test_clients_are_sent_where_they_can_get(void **state)
{
    struct fixture *f = *state;
    const struct settings *s = load_good(f, "[http]\nlisten = 10.0.0.9:85, 0.0.0.0:86\n");

    assert_string_equal(s->http.advertise.text, "10.0.0.9:85");
    s = load_good(f, "[node]\nname = n1\n[cluster]\n" THREE "[http]\nlisten = 0.0.0.0:85\n");
    assert_string_equal(s->http.advertise.text, "10.0.0.1:85");
    s = load_good(f, "[node]\nname = n2\n[cluster]\n" THREE "[http]\nlisten = [::]:85\n");
    assert_string_equal(s->http.advertise.text, "[fd00::2]:85");
    s = load_good(f, "[http]\nlisten = 0.0.0.0:85\nadvertise = proxy.example:80\n");
    assert_string_equal(s->http.advertise.text, "proxy.example:80");
}

/* Found by fuzzing: what is derived from a wrong value must not be looked at. */
static void test_nothing_is_derived_from_a_wrong_value(void **state)
{
    struct fixture *f = *state;

    write_text("dkv.conf", "[node]\nname = a@b\n[cluster]\npeers = n1, n2=b:1\n"
                           "[http]\nlisten = 0.0.0.0:1, x\n[transport]\nplugin = /\n");
    load(f);
    assert_non_null(strstr(f->report, "dkvd: 4 errors, 0 warnings in 1 file\n"));
}

static void test_a_peer_may_be_called_like_the_host_of_another(void **state)
{
    const struct settings *s = load_good(*state, "[node]\nname = n1\n[cluster]\n"
                                                 "peers = n1=b:1, b=c:1\n"
                                                 "[http]\nlisten = 0.0.0.0:85\n");

    assert_string_equal(s->http.advertise.text, "b:85");
}

static void test_listeners_take_the_common_transport(void **state)
{
    const struct settings *s =
        load_good(*state, "[transport]\nplugin = tls\n[peer]\ntransport = tcp\n");

    assert_string_equal(s->http.transport, "tls");
    assert_string_equal(s->peer.transport, "tcp");
}

static void test_a_host_name_that_is_no_name_is_complained_about(void **state)
{
    struct fixture *f = *state;

    f->input.host_name = "";
    load_bad(f, "",
             "dkv.conf: error: node.name: \"\" is not a name: 1 to 63 letters, digits, . _ - only\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_a_node_must_be_among_the_peers(void **state)
{
    struct fixture *f = *state;

    load_bad(f, "[node]\nname = n4\n[cluster]\n" THREE,
             "dkv.conf:4:1: error: cluster.peers has no node 'n4' (node.name, dkv.conf:2:8), only "
             "n1, n2, n3 (did you mean 'n1'?)\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
    load_bad(f, "[cluster]\n" THREE,
             "dkv.conf:2:1: error: cluster.peers has no node 'box' (node.name, default: the host "
             "name), only n1, n2, n3\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_proportions_between_keys_are_kept(void **state)
{
    struct fixture *f = *state;

    load_good(f, "[raft]\nheartbeat_interval = 100ms\nelection_timeout = 500ms\n");
    load_bad(f, "[raft]\nheartbeat_interval = 100ms\nelection_timeout = 499ms\n",
             "dkv.conf:3:20: error: raft.election_timeout = 499ms must be at least 5 x "
             "raft.heartbeat_interval (100ms, dkv.conf:2:22)\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
    load_bad(f, "[raft]\nheartbeat_interval = 2s\n",
             "dkv.conf:2:22: error: raft.election_timeout = 500ms must be at least 5 x "
             "raft.heartbeat_interval (2s, dkv.conf:2:22)\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
    load_good(f, "[cluster]\nvalue_max = 8MiB\n");
    load_bad(f, "[cluster]\nvalue_max = 2MiB\n[wal]\nsegment_size = 1MiB\n",
             "dkv.conf:4:16: error: wal.segment_size = 1MiB must be at least 2 x cluster.value_max "
             "(2MiB, dkv.conf:2:13)\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
    load_bad(f, "[http]\nmax_bytes_in_flight = 1MiB\n[cluster]\nvalue_max = 2MiB\n",
             "dkv.conf:2:23: error: http.max_bytes_in_flight = 1MiB must be at least "
             "cluster.value_max (2MiB, dkv.conf:4:13)\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_a_wrong_value_is_not_complained_about_twice(void **state)
{
    load_bad(
        *state, "[raft]\nelection_timeout = soon\n",
        "dkv.conf:2:20: error: raft.election_timeout: \"soon\" is not a duration; write 150ms, "
        "2s, 5m or 1h\n"
        "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_one_address_cannot_serve_clients_and_peers(void **state)
{
    load_bad(*state,
             "[http]\nlisten = 127.0.0.1:1\nlisten = 127.0.0.1:8300\n[peer]\n"
             "listen = 127.0.0.1:8300\n",
             "dkv.conf:3:10: error: http.listen = 127.0.0.1:8300 is the address of peer.listen too "
             "(dkv.conf:5:10)\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_nobody_is_sent_to_all_addresses(void **state)
{
    load_bad(*state, "[http]\nadvertise = 0.0.0.0:85\n",
             "dkv.conf:2:13: error: http.advertise: nobody can connect to 0.0.0.0:85\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_data_needs_a_place(void **state)
{
    load_bad(*state, "[node]\ndata_dir = \"\"\n",
             "dkv.conf:2:12: error: node.data_dir is empty; only --dev keeps no data\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_a_path_does_not_depend_on_where_dkvd_was_started(void **state)
{
    static const char *const environment[] = {"HOME=/home/me", NULL};
    struct fixture *f = *state;

    f->input.environment = environment;
    load_bad(
        f, "[node]\ndata_dir = data\n[storage \"lmdb\"]\npath = ./x\n",
        "dkv.conf:2:12: error: node.data_dir: \"data\" does not begin with /; write the whole "
        "path, such as /var/lib/dkv\n"
        "dkv.conf:4:8: error: storage \"lmdb\": path: \"./x\" does not begin with /; write the "
        "whole path, such as /var/lib/dkv\n"
        "dkvd: 2 errors, 0 warnings in 1 file\n");
    load_bad(f, "[node]\ndata_dir = ~/dkv\n",
             "dkv.conf:2:12: error: node.data_dir: \"~/dkv\" does not begin with /, and ~ is not "
             "expanded (did you mean '/home/me/dkv'?)\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
    load_bad(f, "[node]\ndata_dir = ~me/dkv\n",
             "dkv.conf:2:12: error: node.data_dir: \"~me/dkv\" does not begin with /, and ~ is not "
             "expanded; write the whole path\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_options_of_a_plugin_nobody_uses_are_warned_about(void **state)
{
    struct fixture *f = *state;

    write_text("dkv.conf", "[storage]\nplugin = cache\n[storage \"cache\"]\nwraps = lmdb\n"
                           "[storage \"lmdb\"]\nmap_size = 1G\n[storage \"lmbd\"]\nmap_size = 2G\n"
                           "[transport \"tcp\"]\n");
    load(f);
    assert_string_equal(f->report, "dkv.conf:7:1: warning: [storage \"lmbd\"] is not used: "
                                   "storage.plugin = cache\n"
                                   "dkvd: 0 errors, 1 warning in 1 file\n");
    assert_false(conf_failed(f->conf));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_node_without_peers_is_a_cluster_of_its_own),
        TEST(test_peers_are_listened_for_at_our_own_address),
        TEST(test_clients_are_sent_where_they_can_get),
        TEST(test_nothing_is_derived_from_a_wrong_value),
        TEST(test_a_peer_may_be_called_like_the_host_of_another),
        TEST(test_listeners_take_the_common_transport),
        TEST(test_a_host_name_that_is_no_name_is_complained_about),
        TEST(test_a_node_must_be_among_the_peers),
        TEST(test_proportions_between_keys_are_kept),
        TEST(test_a_wrong_value_is_not_complained_about_twice),
        TEST(test_one_address_cannot_serve_clients_and_peers),
        TEST(test_nobody_is_sent_to_all_addresses),
        TEST(test_data_needs_a_place),
        TEST(test_a_path_does_not_depend_on_where_dkvd_was_started),
        TEST(test_options_of_a_plugin_nobody_uses_are_warned_about),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
