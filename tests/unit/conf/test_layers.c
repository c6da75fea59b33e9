#include "conf_fixture.h"

static void expect_origin(const struct fixture *f, const char *key, enum conf_layer layer,
                          const char *name, unsigned line)
{
    const struct conf_origin *origin = conf_origin(f->conf, key);

    assert_int_equal(origin->layer, layer);
    if (name == NULL)
        assert_null(origin->name);
    else
        assert_string_equal(origin->name, name);
    assert_int_equal(origin->line, line);
}

static void expect_report(struct fixture *f, const char *report)
{
    load(f);
    assert_string_equal(f->report, report);
}

static void test_each_layer_overrules_the_one_below(void **state)
{
    static const char *const ENVIRONMENT[] = {"DKV_RAFT_MAX_IN_FLIGHT=4",
                                              "DKV_RAFT_LOG_MEMORY=4MiB", "HOME=/", NULL};
    static const char *const SETS[] = {"raft.log_memory=5MiB"};
    struct fixture *f = *state;
    const struct settings *s;

    assert_int_equal(mkdir("conf.d", 0700), 0);
    write_text("conf.d/10-site.conf", "[raft]\nmax_message = 3MiB\nmax_in_flight = 3\n"
                                      "log_memory = 3MiB\n");
    f->input.environment = ENVIRONMENT;
    f->input.sets = SETS;
    f->input.sets_count = 1;
    s = load_good(f, "[raft]\nmax_uncommitted = 16MiB\nmax_message = 2MiB\nmax_in_flight = 2\n"
                     "log_memory = 2MiB\n");
    assert_int_equal(s->raft.heartbeat_interval_us, 100000);
    assert_int_equal(s->raft.max_uncommitted, 16 << 20);
    assert_int_equal(s->raft.max_message, 3 << 20);
    assert_int_equal(s->raft.max_in_flight, 4);
    assert_int_equal(s->raft.log_memory, 5 << 20);
    expect_origin(f, "raft.heartbeat_interval", CONF_DEFAULT, NULL, 0);
    expect_origin(f, "raft.max_uncommitted", CONF_FILE, "dkv.conf", 2);
    expect_origin(f, "raft.max_message", CONF_FILE, "conf.d/10-site.conf", 2);
    expect_origin(f, "raft.max_in_flight", CONF_ENVIRONMENT, "DKV_RAFT_MAX_IN_FLIGHT", 0);
    expect_origin(f, "raft.log_memory", CONF_COMMAND_LINE, "--set raft.log_memory", 0);
}

static void test_drop_ins_are_read_in_lexical_order(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir("conf.d", 0700), 0);
    write_text("conf.d/20-b.conf", "[log]\nlevel = debug\n");
    write_text("conf.d/10-a.conf", "[log]\nlevel = error\n[http]\nlisten = 127.0.0.1:2\n");
    write_text("conf.d/30-c.off", "[log]\nlevel = nonsense\n");
    load_good(f, "[http]\nlisten = 127.0.0.1:1\n");
    assert_int_equal(conf_settings(f->conf)->log.level, LOG_DEBUG);
    expect_origin(f, "log.level", CONF_FILE, "conf.d/20-b.conf", 2);
    /* A list of a later file replaces, as any value does. */
    assert_int_equal(conf_settings(f->conf)->http.listen.count, 1);
    assert_int_equal(conf_settings(f->conf)->http.listen.items[0].port, 2);
}

static void test_errors_of_several_files_come_in_the_order_of_reading(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir("conf.d", 0700), 0);
    write_text("conf.d/20-site.conf", "[log]\nlevel = loud\n");
    write_text("dkv.conf", "[log]\nformt = json\n");
    expect_report(f, "dkv.conf:2:1: error: unknown key 'formt' in [log] (did you mean 'format'?)\n"
                     "conf.d/20-site.conf:2:9: error: log.level: \"loud\" is none of debug, info, "
                     "warn, error\n"
                     "dkvd: 2 errors, 0 warnings in 2 files\n");
}

static void test_included_files_start_in_the_section_of_the_line(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir("more", 0700), 0);
    write_text("more/a.inc", "level = warn\n[http]\nmax_pipelined = 7\n");
    write_text("more/b.inc", "format = json\n");
    load_good(f, "[log]\ninclude = more/*.inc\nqueue_lines = 99\ninclude = more/none-*.inc\n");
    assert_int_equal(conf_settings(f->conf)->log.level, LOG_WARN);
    assert_int_equal(conf_settings(f->conf)->log.format, LOG_FORMAT_JSON);
    assert_int_equal(conf_settings(f->conf)->log.queue_lines, 99);
    assert_int_equal(conf_settings(f->conf)->http.max_pipelined, 7);
}

static void test_a_folder_named_like_a_pattern_is_only_a_folder(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdir("[a]*", 0700), 0);
    assert_int_equal(mkdir("[a]*/conf.d", 0700), 0);
    assert_int_equal(mkdir("a", 0700), 0);
    assert_int_equal(mkdir("a/conf.d", 0700), 0);
    write_text("[a]*/dkv.conf", "");
    write_text("[a]*/conf.d/1.conf", "[log]\nlevel = warn\n");
    write_text("a/conf.d/1.conf", "[log]\nlevel = error\n");
    f->input.path = "[a]*/dkv.conf";
    expect_report(f, "");
    assert_int_equal(conf_settings(f->conf)->log.level, LOG_WARN);
}

static void test_include_loops_are_reported(void **state)
{
    struct fixture *f = *state;

    write_text("dkv.conf", "include = a.inc\n");
    write_text("a.inc", "\ninclude = b.inc\n");
    write_text("b.inc", " include = a.inc, dkv.conf, absent.inc\n");
    expect_report(f, "b.inc:1:12: error: a.inc includes itself\n"
                     "b.inc:1:19: error: dkv.conf includes itself\n"
                     "b.inc:1:29: error: cannot open absent.inc: No such file or directory\n"
                     "dkvd: 3 errors, 0 warnings in 4 files\n");
}

static void test_deep_includes_are_refused(void **state)
{
    struct fixture *f = *state;
    char name[32], text[64];

    write_text("dkv.conf", "include = 1.inc\n");
    for (int i = 1; i < 12; i++) {
        snprintf(name, sizeof(name), "%d.inc", i);
        snprintf(text, sizeof(text), "include = %d.inc\n", i + 1);
        write_text(name, text);
    }
    expect_report(f, "8.inc:1:11: error: files include each other more than 8 deep\n"
                     "dkvd: 1 error, 0 warnings in 9 files\n");
}

static void test_missing_and_unreadable_files_are_errors(void **state)
{
    struct fixture *f = *state;

    expect_report(f, "dkv.conf: error: cannot open the file: No such file or directory\n"
                     "dkvd: 1 error, 0 warnings in 1 file\n");
    assert_int_equal(mkdir("dkv.conf", 0700), 0);
    expect_report(f, "dkv.conf: error: cannot read the file: Is a directory\n"
                     "dkvd: 1 error, 0 warnings in 1 file\n");
    assert_int_equal(rmdir("dkv.conf"), 0);
    if (geteuid() == 0)
        return; /* root may read everything */
    write_text("dkv.conf", "");
    assert_int_equal(chmod("dkv.conf", 0), 0);
    expect_report(f, "dkv.conf: error: cannot open the file: Permission denied\n"
                     "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_the_default_file_may_be_absent_if_something_else_configures(void **state)
{
    static const char *const ENVIRONMENT[] = {"DKV_NODE_NAME=n7", NULL};
    struct fixture *f = *state;

    f->input.path_may_be_absent = true;
    expect_report(f, "dkvd: error: nothing is configured: there is no dkv.conf; name a file with "
                     "--config, or try dkv with --dev\n"
                     "dkvd: 1 error, 0 warnings\n");
    f->input.environment = ENVIRONMENT;
    expect_report(f, "");
    assert_string_equal(conf_settings(f->conf)->node.name, "n7");
}

static void test_unknown_variables_are_errors_and_others_are_left_alone(void **state)
{
    static const char *const ENVIRONMENT[] = {"DKV_RAFT_HARTBEAT_INTERVAL=1s",
                                              "DKV_ZEBRA=1",
                                              "DKV_PLUGIN_PATH=/p",
                                              "DKV_SRCDIR=x",
                                              "DKV_BUILDDIR=x",
                                              "DKV_SHARED_DATA=x",
                                              "DKVCTL_ENDPOINTS=x",
                                              "DKV_LOG_LEVEL=loud",
                                              "DKV_LOG_FILE=a\nb",
                                              "DKV_PLUGN_PATH=x",
                                              NULL};
    struct fixture *f = *state;

    f->input.environment = ENVIRONMENT;
    write_text("dkv.conf", "");
    expect_report(
        f, "environment variable DKV_RAFT_HARTBEAT_INTERVAL: error: dkvd knows no such "
           "setting (did you mean 'DKV_RAFT_HEARTBEAT_INTERVAL'?)\n"
           "environment variable DKV_ZEBRA: error: dkvd knows no such setting\n"
           "environment variable DKV_LOG_FILE: error: value has a control character or is "
           "not UTF-8\n"
           "environment variable DKV_PLUGN_PATH: error: dkvd knows no such setting (did you "
           "mean 'DKV_PLUGIN_PATH'?)\n"
           "environment variable DKV_LOG_LEVEL: error: log.level: \"loud\" is none of debug, "
           "info, warn, error\n"
           "dkvd: 5 errors, 0 warnings in 1 file\n");
    assert_string_equal(conf_plugin_dir(f->conf), "/p");
}

static void test_what_kubernetes_says_of_a_service_is_left_alone(void **state)
{
    static const char *const ENVIRONMENT[] = {
        "DKV_SERVICE_HOST=10.0.0.1",         "DKV_SERVICE_PORT_HTTP=8500",
        "DKV_PORT=tcp://10.0.0.1:8500",      "DKV_PORT_8500_TCP_ADDR=10.0.0.1",
        "DKV_PEER_PORT=tcp://10.0.0.1:8300", NULL};
    struct fixture *f = *state;

    f->input.environment = ENVIRONMENT;
    load_good(f, "");
}

static void test_a_variable_may_name_a_file_with_the_value(void **state)
{
    static const char *const GOOD[] = {"DKV_NODE_NAME_FILE=secret",
                                       "DKV_STORAGE_REDIS_PASSWORD_FILE=secret",
                                       "DKV_STORAGE_PLUGIN=redis", NULL};
    static const char *const BAD[] = {"DKV_NODE_NAME_FILE=secret", "DKV_NODE_NAME=n1",
                                      "DKV_LOG_LEVEL_FILE=absent", NULL};
    struct fixture *f = *state;

    write_text("secret", "hush\n");
    f->input.environment = GOOD;
    load_good(f, "");
    assert_string_equal(conf_settings(f->conf)->node.name, "hush");
    assert_string_equal(
        conf_section_get(conf_section(f->conf, "storage", "redis"), "password")->text, "hush");
    f->input.environment = BAD;
    expect_report(f, "environment variable DKV_NODE_NAME_FILE: error: DKV_NODE_NAME is set too; "
                     "which of them is meant?\n"
                     "environment variable DKV_LOG_LEVEL_FILE: error: cannot open absent: No such "
                     "file or directory\n"
                     "dkvd: 2 errors, 0 warnings in 1 file\n");
}

static void test_credentials_directory_is_expanded(void **state)
{
    static const char *const ENVIRONMENT[] = {"CREDENTIALS_DIRECTORY=/run/cred", NULL};
    struct fixture *f = *state;

    f->input.environment = ENVIRONMENT;
    load_good(f, "[log]\nfile = ${CREDENTIALS_DIRECTORY}/log\n");
    assert_string_equal(conf_settings(f->conf)->log.file, "/run/cred/log");
    f->input.environment = NULL;
    expect_report(f, "dkv.conf:2:8: error: ${CREDENTIALS_DIRECTORY} is not set; systemd sets it "
                     "for a unit with LoadCredential=\n"
                     "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_set_takes_keys_lists_and_plugin_options(void **state)
{
    static const char *const SETS[] = {"http.listen=127.0.0.1:1, 127.0.0.1:2",
                                       "storage.lmdb.map_size=1G", "log.file=a,b", "log.level=warn",
                                       "log.level=debug"};
    struct fixture *f = *state;
    const struct settings *s;

    f->input.sets = SETS;
    f->input.sets_count = 5;
    s = load_good(f, "");
    assert_int_equal(s->http.listen.count, 2);
    assert_string_equal(s->log.file, "a,b");
    assert_int_equal(s->log.level, LOG_DEBUG);
    assert_string_equal(
        conf_section_get(conf_section(f->conf, "storage", "lmdb"), "map_size")->text, "1G");
}

static void test_bad_sets_are_refused(void **state)
{
    static const char *const SETS[] = {"level=warn", "log.level", "log.levl=warn", "lgo.level=warn",
                                       ".level=x",   "log.=x",    "log.level=\x01"};
    struct fixture *f = *state;

    f->input.sets = SETS;
    f->input.sets_count = 7;
    write_text("dkv.conf", "");
    expect_report(f, "--set level: error: expected --set section.key=value\n"
                     "--set log.level: error: expected --set section.key=value\n"
                     "--set log.levl: error: unknown key 'levl' in [log] (did you mean 'level'?)\n"
                     "--set lgo.level: error: unknown section [lgo] (did you mean 'log'?)\n"
                     "--set .level: error: expected --set section.key=value\n"
                     "--set log.: error: expected --set section.key=value\n"
                     "--set log.level: error: value has a control character or is not UTF-8\n"
                     "dkvd: 7 errors, 0 warnings in 1 file\n");
}

static void test_dev_is_weaker_than_files(void **state)
{
    struct fixture *f = *state;
    const struct settings *s;

    f->input.dev = true;
    s = load_good(f, "[http]\nlisten = 127.0.0.1:9\n");
    assert_true(s->dev);
    assert_string_equal(s->node.name, "dev");
    assert_string_equal(s->node.data_dir, "");
    assert_string_equal(s->storage.plugin, "memory");
    assert_int_equal(s->http.listen.items[0].port, 9);
    f->input.path = NULL;
    load(f);
    assert_string_equal(f->report, "");
    assert_int_equal(conf_settings(f->conf)->http.listen.items[0].port, 8500);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_layer_overrules_the_one_below),
        TEST(test_drop_ins_are_read_in_lexical_order),
        TEST(test_errors_of_several_files_come_in_the_order_of_reading),
        TEST(test_included_files_start_in_the_section_of_the_line),
        TEST(test_a_folder_named_like_a_pattern_is_only_a_folder),
        TEST(test_include_loops_are_reported),
        TEST(test_deep_includes_are_refused),
        TEST(test_missing_and_unreadable_files_are_errors),
        TEST(test_the_default_file_may_be_absent_if_something_else_configures),
        TEST(test_unknown_variables_are_errors_and_others_are_left_alone),
        TEST(test_what_kubernetes_says_of_a_service_is_left_alone),
        TEST(test_a_variable_may_name_a_file_with_the_value),
        TEST(test_credentials_directory_is_expanded),
        TEST(test_set_takes_keys_lists_and_plugin_options),
        TEST(test_bad_sets_are_refused),
        TEST(test_dev_is_weaker_than_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
