#include "conf_fixture.h"

/* What is said about one line in a section. */
static void expect(struct fixture *f, const char *section, const char *line, const char *message)
{
    char text[512], report[1024];

    snprintf(text, sizeof(text), "[%s]\n%s\n", section, line);
    snprintf(report, sizeof(report),
             "dkv.conf:2:%zu: error: %s\n"
             "dkvd: 1 error, 0 warnings in 1 file\n",
             strcspn(line, "=") + 3, message);
    load_bad(f, text, report);
}

static void test_numbers_out_of_range_name_the_range(void **state)
{
    struct fixture *f = *state;

    expect(f, "cluster", "value_max = 9MiB",
           "cluster.value_max = 9MiB must be between 1B and 8MiB");
    expect(f, "http", "header_timeout = 0", "http.header_timeout = 0 must be between 10ms and 10m");
    expect(f, "threads", "workers = 65", "threads.workers = 65 must be between 0 and 64");
}

static void test_numbers_that_are_none_say_what_to_write(void **state)
{
    struct fixture *f = *state;

    expect(f, "raft", "heartbeat_interval = 100",
           "raft.heartbeat_interval: \"100\" has no unit; write 150ms, 2s, 5m or 1h");
    expect(f, "raft", "max_message = 10X",
           "raft.max_message: \"10X\" is not a size; write 64M or 2G");
    expect(f, "raft", "max_in_flight = -1", "raft.max_in_flight: \"-1\" is negative");
    expect(f, "raft", "max_in_flight = many", "raft.max_in_flight: \"many\" is not a whole number");
    expect(f, "threads", "apply = maybe", "threads.apply: \"maybe\" is neither on nor off");
}

static void test_names_have_few_characters(void **state)
{
    struct fixture *f = *state;

    expect(f, "node", "name = a/b",
           "node.name: \"a/b\" is not a name: 1 to 63 letters, digits, . _ - only");
    expect(f, "storage", "plugin = ../evil",
           "storage.plugin: \"../evil\" is not a name: 1 to 63 letters, digits, . _ - only");
}

static void test_bad_addresses_say_what_is_wrong(void **state)
{
    static const char *const BAD[][2] = {
        {"localhost", "has no port; write HOST:PORT"},
        {"[::1]", "has no port; write HOST:PORT"},
        {":8500", "has no host; write 0.0.0.0:PORT for all addresses of this machine"},
        {"::1:8500", "is not an address; write an IPv6 one as [::1]:8500"},
        {"[::1:8500", "is not an address; write an IPv6 one as [::1]:8500"},
        {"[]:8500", "is not an IPv6 address"},
        {"[1::2::3]:8500", "is not an IPv6 address"},
        {"10.0.0.256:8500", "is not an IPv4 address"},
        {"1.2.3:8500", "is not an IPv4 address"},
        {"a b:8500", "is not one address; is a comma missing between two entries?"},
        {"a:1 b:2", "is not one address; is a comma missing between two entries?"},
        {"host:65536", "has a bad port; it must be a number up to 65535"},
        {"host:", "has a bad port; it must be a number up to 65535"},
        {"host:http", "has a bad port; it must be a number up to 65535"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        char line[64], message[256];

        snprintf(line, sizeof(line), "listen = %s", BAD[i][0]);
        snprintf(message, sizeof(message), "http.listen: \"%s\" %s", BAD[i][0], BAD[i][1]);
        expect(f, "http", line, message);
    }
}

static void test_good_addresses_are_taken_apart(void **state)
{
    const struct settings *s = load_good(
        *state, "[http]\nlisten = host-1.example:1, 10.0.0.1:0, [fe80::1%eth0]:3, [::]:4\n");
    const struct conf_address *items = s->http.listen.items;

    assert_int_equal(s->http.listen.count, 4);
    assert_string_equal(items[0].host, "host-1.example");
    assert_int_equal(items[0].port, 1);
    assert_int_equal(items[1].port, 0);
    assert_string_equal(items[2].host, "fe80::1%eth0");
    assert_string_equal(items[3].host, "::");
    assert_string_equal(items[3].text, "[::]:4");
}

static void test_an_address_stands_in_a_list_once(void **state)
{
    load_bad(*state, "[http]\nlisten = a:1, b:1, a:1\n",
             "dkv.conf:2:20: error: http.listen: \"a:1\" stands here twice\n"
             "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_peers_are_names_with_addresses(void **state)
{
    const struct settings *s = load_good(*state, "[node]\nname = n2\n[cluster]\n"
                                                 "peers = n1=10.0.0.1:8300, n2=[::1]:8301\n"
                                                 "peers = n3=c.example:8302\n");

    assert_int_equal(s->cluster.peers.count, 3);
    assert_int_equal(s->cluster.self, 1);
    assert_string_equal(s->cluster.peers.items[0].name, "n1");
    assert_string_equal(s->cluster.peers.items[1].address.host, "::1");
    assert_int_equal(s->cluster.peers.items[2].address.port, 8302);
}

static void test_peers_that_clash_are_both_named(void **state)
{
    load_bad(*state,
             "[node]\nname = n1\n[cluster]\npeers = n1=a:1, n2=b:1, n1=c:1\npeers = n4=b:1\n",
             "dkv.conf:4:25: error: cluster.peers: 'n1=a:1' and 'n1=c:1' have the same name\n"
             "dkv.conf:5:9: error: cluster.peers: 'n2=b:1' and 'n4=b:1' have the same address\n"
             "dkvd: 2 errors, 0 warnings in 1 file\n");
}

static void test_a_cluster_has_64_nodes_at_most(void **state)
{
    struct fixture *f = *state;

    for (int count = 64; count <= 65; count++) {
        FILE *file = fopen("dkv.conf", "w");

        fputs("[node]\nname = n1\n[cluster]\n", file);
        for (int i = 1; i <= count; i++)
            fprintf(file, "peers = n%d=10.0.0.%d:8300\n", i, i);
        fclose(file);
        load(f);
        assert_string_equal(f->report, count == 64
                                           ? ""
                                           : "dkv.conf:68:9: error: cluster.peers has 65 nodes; a "
                                             "cluster has at most 64\n"
                                             "dkvd: 1 error, 0 warnings in 1 file\n");
    }
}

static void test_peers_must_be_reachable(void **state)
{
    load_bad(
        *state,
        "[cluster]\npeers = n1, a/b=c:1, n2=c:0, n3=0.0.0.0:1, n4=c, n5= a:1, n6=a:1 n7=b:1\n",
        "dkv.conf:2:9: error: cluster.peers: \"n1\" is not a node; write NAME=HOST:PORT\n"
        "dkv.conf:2:13: error: cluster.peers: \"a/b=c:1\" has a bad name: 1 to 63 letters, "
        "digits, . _ - only\n"
        "dkv.conf:2:22: error: cluster.peers: \"n2=c:0\" has port 0, where nobody can be "
        "reached\n"
        "dkv.conf:2:30: error: cluster.peers: \"n3=0.0.0.0:1\" has an address that other nodes "
        "cannot connect to\n"
        "dkv.conf:2:44: error: cluster.peers: \"n4=c\" has no port; write HOST:PORT\n"
        "dkv.conf:2:50: error: cluster.peers: \"n5= a:1\" is not an address; write HOST:PORT\n"
        "dkv.conf:2:59: error: cluster.peers: \"n6=a:1 n7=b:1\" is not one address; is a comma "
        "missing between two entries?\n"
        "dkvd: 7 errors, 0 warnings in 1 file\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_numbers_out_of_range_name_the_range),
        TEST(test_numbers_that_are_none_say_what_to_write),
        TEST(test_names_have_few_characters),
        TEST(test_bad_addresses_say_what_is_wrong),
        TEST(test_good_addresses_are_taken_apart),
        TEST(test_an_address_stands_in_a_list_once),
        TEST(test_peers_are_names_with_addresses),
        TEST(test_peers_that_clash_are_both_named),
        TEST(test_a_cluster_has_64_nodes_at_most),
        TEST(test_peers_must_be_reachable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
