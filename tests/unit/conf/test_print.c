#include "conf_fixture.h"

#include "conf/schema.h"

static char *dump(struct conf *conf, enum conf_format format)
{
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);

    conf_dump(conf, format, NULL, NULL, to);
    fclose(to);
    return text;
}

static void test_the_sample_is_good_and_has_every_key(void **state)
{
    struct fixture *f = *state;
    FILE *to = fopen("dkv.conf", "w");
    char *text = NULL;
    size_t len = 0;

    conf_print_sample(to);
    fclose(to);
    load(f);
    assert_string_equal(f->report, "");
    to = open_memstream(&text, &len);
    conf_print_sample(to);
    fclose(to);
    for (const struct conf_key *key = conf_schema; key->section != NULL; key++) {
        char line[80];

        snprintf(line, sizeof(line), "\n%s%s = ", (key->flags & CONF_KEY_LIVE) != 0 ? "" : "#",
                 key->name);
        assert_non_null(strstr(text, line));
    }
    free(text);
}

/* All that is commented out with its value must be a value that is accepted. */
static void test_the_sample_is_good_with_all_keys_live(void **state)
{
    struct fixture *f = *state;
    char *text = NULL, line[256];
    size_t len = 0;
    FILE *sample = open_memstream(&text, &len);
    FILE *to = fopen("dkv.conf", "w");

    conf_print_sample(sample);
    fclose(sample);
    sample = fmemopen(text, len, "r");
    while (fgets(line, sizeof(line), sample) != NULL)
        fputs(line[0] == '#' && line[1] != ' ' ? line + 1 : line, to);
    fclose(sample);
    fclose(to);
    free(text);
    load(f);
    assert_string_equal(f->report, "");
    assert_int_equal(conf_settings(f->conf)->cluster.peers.count, 3);
}

static void test_a_dump_reads_back_as_the_same_settings(void **state)
{
    struct fixture *f = *state;
    char *first, *second;

    load_good(f, "[node]\nname = n2\ndata_dir = \"/ a, \\\"b\\\" # c\\\\\"\n[cluster]\n"
                 "peers = n1=a:1, n2=b:1\n[raft]\nelection_timeout = 3s\n[storage \"lmdb\"]\n");
    first = dump(f->conf, CONF_INI);
    write_text("dkv.conf", first);
    load(f);
    assert_string_equal(f->report, "");
    second = dump(f->conf, CONF_INI);
    assert_string_equal(conf_settings(f->conf)->node.data_dir, "/ a, \"b\" # c\\");
    /* Equal but for the origins. */
    for (char *p = first, *q = second; *p != '\0' && *q != '\0';) {
        size_t p_len = strcspn(p, "\n"), value = strcspn(p, "#");

        if (strncmp(p, "data_dir", 8) != 0)
            assert_memory_equal(p, q, value < p_len ? value : p_len);
        p += p_len + 1;
        q += strcspn(q, "\n") + 1;
    }
    free(first);
    free(second);
}

static void test_a_dump_says_where_each_value_comes_from(void **state)
{
    static const char *const ENVIRONMENT[] = {"DKV_LOG_LEVEL=warn", NULL};
    static const char *const SETS[] = {"log.format=json"};
    struct fixture *f = *state;
    char *text;

    f->input.environment = ENVIRONMENT;
    f->input.sets = SETS;
    f->input.sets_count = 1;
    load_good(f, "[http]\nlisten = 127.0.0.1:1, 127.0.0.1:2\n");
    text = dump(f->conf, CONF_INI);
    assert_non_null(strstr(text, "\nlevel = warn                                     # environment "
                                 "variable DKV_LOG_LEVEL\n"));
    assert_non_null(strstr(text, "\nformat = json                                    # --set "
                                 "log.format\n"));
    assert_non_null(strstr(text,
                           "\nlisten = 127.0.0.1:1, 127.0.0.1:2                # dkv.conf:2:10"
                           "\n"));
    assert_non_null(strstr(text, "name = box                                       # default: the "
                                 "host name\n"));
    free(text);
    text = dump(f->conf, CONF_JSON);
    assert_non_null(strstr(text, "\n  \"http.listen\": {\"value\": [\"127.0.0.1:1\", "
                                 "\"127.0.0.1:2\"], \"origin\": \"dkv.conf:2:10\", \"reloadable\": "
                                 "false},\n"));
    assert_non_null(strstr(text,
                           "\n  \"log.level\": {\"value\": \"warn\", \"origin\": \"environment "
                           "variable DKV_LOG_LEVEL\", \"reloadable\": true},\n"));
    free(text);
}

static bool is_password(void *ctx, const struct conf_section *section, const char *key)
{
    (void)ctx;
    (void)section;
    return strcmp(key, "password") == 0;
}

static void test_secrets_are_hidden_and_so_is_what_might_be_one(void **state)
{
    struct fixture *f = *state;
    size_t len = 0;
    char *text;
    FILE *to;

    load_good(f, "[storage \"lmdb\"]\npassword = hunter2\npath = /p\n");
    text = dump(f->conf, CONF_INI);
    assert_null(strstr(text, "hunter2"));
    assert_null(strstr(text, "/p\n"));
    free(text);
    text = dump(f->conf, CONF_JSON);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "\"storage.lmdb.password\": {\"value\": null, \"hidden\": true"));
    free(text);
    to = open_memstream(&text, &len);
    conf_dump(f->conf, CONF_INI, is_password, NULL, to);
    fclose(to);
    assert_null(strstr(text, "hunter2"));
    assert_non_null(strstr(text, "\npath = /p "));
    free(text);
}

static void test_plugins_that_have_no_file_are_named_with_those_that_have(void **state)
{
    static const char *const ENVIRONMENT[] = {"DKV_PLUGIN_PATH=plugins", NULL};
    struct fixture *f = *state;
    size_t len = 0;
    FILE *to;

    assert_int_equal(mkdir("plugins", 0700), 0);
    write_text("plugins/lmdb.so", "");
    write_text("plugins/tcp.so", "");
    write_text("plugins/README", "");
    f->input.environment = ENVIRONMENT;
    load_good(f, "[storage]\nplugin = main\n[storage \"main\"]\nplugin = lmdb\n");
    conf_check_plugins(f->conf);
    assert_false(conf_failed(f->conf));
    load_good(f, "[storage]\nplugin = lmbd\n[peer]\ntransport = tls\n[storage \"lmbd\"]\n"
                 "wraps = redis\n");
    conf_check_plugins(f->conf);
    free(f->report);
    to = open_memstream(&f->report, &len);
    conf_report(f->conf, to);
    fclose(to);
    assert_string_equal(f->report,
                        "dkv.conf:2:10: error: storage.plugin 'lmbd': no such plugin in plugins "
                        "(have: lmdb, tcp) (did you mean 'lmdb'?)\n"
                        "dkv.conf:4:13: error: peer.transport 'tls': no such plugin in plugins "
                        "(have: lmdb, tcp)\n"
                        "dkv.conf:6:9: error: storage \"lmbd\": wraps 'redis': no such plugin in "
                        "plugins (have: lmdb, tcp)\n"
                        "dkvd: 3 errors, 0 warnings in 1 file\n");
    write_text("dkv.conf", "[transport]\nplugin = /\n");
    load(f);
    conf_check_plugins(f->conf);
    assert_true(conf_failed(f->conf));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_the_sample_is_good_and_has_every_key),
        TEST(test_the_sample_is_good_with_all_keys_live),
        TEST(test_a_dump_reads_back_as_the_same_settings),
        TEST(test_a_dump_says_where_each_value_comes_from),
        TEST(test_secrets_are_hidden_and_so_is_what_might_be_one),
        TEST(test_plugins_that_have_no_file_are_named_with_those_that_have),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
