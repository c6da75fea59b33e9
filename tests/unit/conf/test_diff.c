/* What SIGHUP finds: the keys that two configurations have otherwise. */
#include "conf_fixture.h"

struct seen {
    char text[512];
};

static void note(void *ctx, const char *key, bool is_reloadable)
{
    struct seen *seen = ctx;
    size_t used = strlen(seen->text);

    snprintf(seen->text + used, sizeof(seen->text) - used, "%s%s%s", used == 0 ? "" : " ", key,
             is_reloadable ? "!" : "");
}

/* The differences of two texts; ! marks what is reloadable. */
static void expect(struct fixture *f, const char *now, const char *then, const char *wanted)
{
    struct seen seen = {{0}};
    struct conf *first;

    load_good(f, now);
    first = f->conf;
    f->conf = NULL;
    load_good(f, then);
    conf_diff(first, f->conf, note, &seen);
    assert_string_equal(seen.text, wanted);
    conf_free(&first);
}

static void test_a_text_has_no_difference_to_itself(void **state)
{
    static const char TEXT[] = "[cluster]\npeers = box=a:1, n2=b:2\n[http]\nlisten = a:3, a:4\n"
                               "[log]\nlevel = warn\n[storage \"lmdb\"]\nmap_size = 1G\n";

    expect(*state, TEXT, TEXT, "");
    expect(*state, "[log]\nlevel = info\n", "[log]\n", "");
}

static void test_values_count_and_not_their_spelling(void **state)
{
    expect(*state, "[http]\nidle_timeout = 2s\n", "[http]\nidle_timeout = 2000ms\n", "");
    expect(*state, "[snapshot]\nlog_size = 1M\n", "[snapshot]\nlog_size = 1024KiB\n", "");
    expect(*state, "[threads]\napply = on\n", "[threads]\napply = yes\n", "");
}

static void test_what_is_reloadable_is_marked(void **state)
{
    expect(*state, "[http]\nidle_timeout = 2s\n", "[http]\nidle_timeout = 3s\n",
           "http.idle_timeout!");
    expect(*state, "[log]\nlevel = info\nslow_request = 1s\nformat = json\n",
           "[log]\nlevel = debug\nslow_request = 2s\nformat = text\n",
           "log.level! log.format log.slow_request!");
    expect(*state, "[threads]\napply = on\n", "[threads]\napply = off\n", "threads.apply");
    expect(*state, "[http]\nmax_connections = 5\n", "[http]\n", "http.max_connections");
}

static void test_lists_and_what_follows_from_others(void **state)
{
    expect(*state, "[http]\nallowed_hosts = a, b\n", "[http]\nallowed_hosts = a\n",
           "http.allowed_hosts");
    expect(*state, "[http]\nlisten = 127.0.0.1:1\n", "[http]\nlisten = 127.0.0.1:2\n",
           "http.listen http.advertise");
    expect(*state, "[cluster]\npeers = box=a:1, n2=b:2\n", "[cluster]\npeers = box=a:1, n2=b:3\n",
           "cluster.peers");
}

static void test_options_of_plugins_changed_added_and_gone(void **state)
{
    expect(*state, "[storage \"lmdb\"]\nmap_size = 1G\n", "[storage \"lmdb\"]\nmap_size = 2G\n",
           "storage.lmdb.map_size");
    expect(*state, "[storage \"lmdb\"]\nmap_size = 1G\n", "[storage]\n", "storage.lmdb.map_size");
    expect(*state, "[storage]\n", "[transport \"tcp\"]\nnodelay = on\n", "transport.tcp.nodelay");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_text_has_no_difference_to_itself, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_count_and_not_their_spelling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_reloadable_is_marked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lists_and_what_follows_from_others, setup, teardown),
        cmocka_unit_test_setup_teardown(test_options_of_plugins_changed_added_and_gone, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
