#include "conf/options.h"

#include "conf_fixture.h"

struct opts {
    const char *path;
    bool sync;
    int64_t readers;
    uint64_t map_size;
    uint64_t timeout_ms;
    int64_t mode;
    const char *password;
};

static const char *const MODES[] = {"slow", "fast", NULL};

#define AT(member) .offset = offsetof(struct opts, member)
static const struct dkv_option TABLE[] = {
    {.name = "path", .type = DKV_OPTION_STRING, AT(path), .help = "where it is"},
    {.name = "sync", .type = DKV_OPTION_BOOL, AT(sync), .fallback = "on", .help = "sync?"},
    {.name = "readers",
     .type = DKV_OPTION_INT,
     AT(readers),
     .fallback = "126",
     .min = 1,
     .max = 1000,
     .help = "readers"},
    {.name = "map_size",
     .type = DKV_OPTION_SIZE,
     AT(map_size),
     .fallback = "64G",
     .min = 1 << 20,
     .max = INT64_MAX,
     .help = "map"},
    {.name = "timeout",
     .type = DKV_OPTION_DURATION,
     AT(timeout_ms),
     .fallback = "250ms",
     .min = 10,
     .max = 60000,
     .help = "patience"},
    {.name = "mode",
     .type = DKV_OPTION_CHOICE,
     AT(mode),
     .fallback = "fast",
     .choices = MODES,
     .help = "how"},
    {.name = "password",
     .type = DKV_OPTION_STRING,
     .flags = DKV_OPTION_SECRET,
     AT(password),
     .fallback = "sesame",
     .help = "hush"},
    {.name = NULL},
};

static int fill(struct fixture *f, const char *options, const struct dkv_option *table,
                struct opts *into, struct dkv_error *err)
{
    char text[512];
    size_t len = 0;
    FILE *to;
    int status;

    snprintf(text, sizeof(text), "[storage \"lmdb\"]\n%s", options);
    load_good(f, text);
    status = options_fill(f->conf, conf_section(f->conf, "storage", "lmdb"), table, into,
                          sizeof(*into), err);
    free(f->report);
    to = open_memstream(&f->report, &len);
    conf_report(f->conf, to);
    fclose(to);
    return status;
}

static void expect_errors(struct fixture *f, const char *options, const char *report)
{
    struct opts into;
    struct dkv_error err;

    assert_int_equal(fill(f, options, TABLE, &into, &err), DKV_EINVAL);
    assert_string_equal(f->report, report);
    /* One is in err as well, for callers that have no conf to report. */
    assert_non_null(strstr(report, err.text));
    assert_memory_equal(err.text, "storage \"lmdb\": ", 16);
}

static void test_defaults_fill_what_nobody_set(void **state)
{
    struct opts into;

    memset(&into, 0xff, sizeof(into));
    assert_int_equal(fill(*state, "", TABLE, &into, NULL), DKV_OK);
    assert_string_equal(into.path, "/var/lib/dkv/store/lmdb");
    assert_true(into.sync);
    assert_int_equal(into.readers, 126);
    assert_true(into.map_size == 64ull << 30);
    assert_int_equal(into.timeout_ms, 250);
    assert_int_equal(into.mode, 1);
    assert_string_equal(into.password, "sesame");
}

static void test_every_storage_in_use_gets_a_folder_below_data_dir(void **state)
{
    static const struct dkv_option PATH[] = {
        {.name = "path", .type = DKV_OPTION_STRING, .flags = DKV_OPTION_REQUIRED, AT(path)},
        {.name = NULL},
    };
    struct fixture *f = *state;
    struct opts into;

    load_good(f, "[node]\ndata_dir = /d\n[storage]\nplugin = cache\n[storage \"cache\"]\n"
                 "wraps = lmdb\n");
    assert_int_equal(options_fill(f->conf, conf_section(f->conf, "storage", "lmdb"), PATH, &into,
                                  sizeof(into), NULL),
                     DKV_OK);
    assert_string_equal(into.path, "/d/store/lmdb");
    /* One that has no such option is not bothered with it. */
    assert_int_equal(options_fill(f->conf, conf_section(f->conf, "storage", "cache"), NULL, &into,
                                  sizeof(into), NULL),
                     DKV_OK);
    f->input.dev = true;
    load_good(f, "[storage]\nplugin = lmdb\n");
    assert_int_equal(options_fill(f->conf, conf_section(f->conf, "storage", "lmdb"), PATH, &into,
                                  sizeof(into), NULL),
                     DKV_EINVAL);
}

static void test_values_of_the_section_are_filled_in(void **state)
{
    struct opts into;

    assert_int_equal(fill(*state,
                          "plugin = lmdb\nwraps = x\npath = /p\nsync = off\nreaders = 7\n"
                          "map_size = 1M\ntimeout = 5s\nmode = slow\npassword = \"a,b\"\n",
                          TABLE, &into, NULL),
                     DKV_OK);
    assert_string_equal(into.path, "/p");
    assert_false(into.sync);
    assert_int_equal(into.readers, 7);
    assert_int_equal(into.map_size, 1 << 20);
    assert_int_equal(into.timeout_ms, 5000);
    assert_int_equal(into.mode, 0);
    assert_string_equal(into.password, "a,b");
}

static void test_all_mistakes_are_reported_in_one_form(void **state)
{
    expect_errors(
        *state,
        "map_size = \"10X\"\nmap_siez = 1G\nreaders = 0\ntimeout = 1us\nmode = fats\n"
        "path = a, /b\nsync = on\nsync = off\nzebra = 1\n",
        "dkv.conf:2:12: error: storage \"lmdb\": map_size: \"10X\" is not a size; write "
        "64M or 2G\n"
        "dkv.conf:3:1: error: storage \"lmdb\": unknown option 'map_siez' (did you mean "
        "'map_size'?)\n"
        "dkv.conf:4:11: error: storage \"lmdb\": readers: \"0\" must be between 1 and "
        "1000\n"
        "dkv.conf:5:11: error: storage \"lmdb\": timeout: \"1us\" is finer than 1ms\n"
        "dkv.conf:6:8: error: storage \"lmdb\": mode: \"fats\" is none of slow, fast (did "
        "you mean 'fast'?)\n"
        "dkv.conf:7:11: error: storage \"lmdb\": path takes one value; quote it if the "
        "comma is part of it\n"
        "dkv.conf:9:8: error: storage \"lmdb\": sync is set twice in this file, first in "
        "line 8\n"
        "dkv.conf:10:1: error: storage \"lmdb\": unknown option 'zebra'\n"
        "dkvd: 8 errors, 0 warnings in 1 file\n");
}

static void test_required_options_are_asked_for_with_their_help(void **state)
{
    static const struct dkv_option REQUIRED[] = {
        {.name = "server",
         .type = DKV_OPTION_STRING,
         .flags = DKV_OPTION_REQUIRED,
         AT(path),
         .help = "where it is"},
        {.name = NULL},
    };
    struct fixture *f = *state;
    struct dkv_error err;
    struct opts into;

    assert_int_equal(fill(f, "", REQUIRED, &into, &err), DKV_EINVAL);
    assert_string_equal(f->report,
                        "dkv.conf:1:1: error: storage \"lmdb\": server is required: where "
                        "it is\n"
                        "dkvd: 1 error, 0 warnings in 1 file\n");
}

static void test_secrets_stay_secret(void **state)
{
    static const struct dkv_option SECRET[] = {
        {.name = "pin", .type = DKV_OPTION_INT, .flags = DKV_OPTION_SECRET, AT(readers)},
        {.name = NULL},
    };
    struct fixture *f = *state;
    struct dkv_error err;
    struct opts into;

    assert_int_equal(fill(f, "pin = hunter2\n", SECRET, &into, &err), DKV_EINVAL);
    assert_string_equal(f->report, "dkv.conf:2:7: error: storage \"lmdb\": pin: \"***\" is not a "
                                   "whole number\n"
                                   "dkvd: 1 error, 0 warnings in 1 file\n");
    assert_null(strstr(err.text, "hunter2"));
}

static void test_a_plugin_with_a_bad_table_is_refused(void **state)
{
    static const struct dkv_option BAD[] = {
        {.name = "a", .type = 77, AT(path)},
        {.name = "b", .type = DKV_OPTION_SIZE, .offset = sizeof(struct opts) - 4},
        {.name = "c", .type = DKV_OPTION_STRING, .offset = SIZE_MAX},
        {.name = "d", .type = DKV_OPTION_SIZE, AT(map_size), .fallback = "64"},
        {.name = "e", .type = DKV_OPTION_CHOICE, AT(mode), .fallback = "x"},
        {.name = NULL},
    };
    struct fixture *f = *state;
    struct opts into;

    assert_int_equal(fill(f, "", BAD, &into, NULL), DKV_EINVAL);
    assert_non_null(strstr(f->report, "a has type 77, which this dkvd does not know\n"));
    assert_non_null(strstr(f->report, "b lies outside of the plugin's options_size of "));
    assert_non_null(strstr(f->report, "c lies outside of the plugin's options_size of "));
    assert_non_null(strstr(f->report, "d: the plugin's own default \"64\" has no unit"));
    assert_non_null(strstr(f->report, "e: the plugin's own default \"x\" has no choices"));
    assert_non_null(strstr(f->report, "dkvd: 5 errors, 0 warnings in 1 file\n"));
}

static void test_a_plugin_without_options_refuses_all(void **state)
{
    struct fixture *f = *state;
    struct opts into;

    assert_int_equal(fill(f, "plugin = lmdb\n", NULL, &into, NULL), DKV_OK);
    assert_int_equal(fill(f, "path = /\n", NULL, &into, NULL), DKV_EINVAL);
    assert_non_null(strstr(f->report, "unknown option 'path'\n"));
}

static void test_help_lists_every_option(void **state)
{
    static const struct dkv_plugin PLUGIN = {.kind = DKV_PLUGIN_STORAGE,
                                             .name = "lmdb",
                                             .version = "1.2",
                                             .summary = "B+tree on disk",
                                             .options = TABLE};
    struct fixture *f = *state;
    size_t len = 0;
    FILE *to = open_memstream(&f->report, &len);

    options_print_help(&PLUGIN, to);
    fclose(to);
    assert_string_equal(f->report,
                        "storage plugin lmdb 1.2: B+tree on disk\n"
                        "\nOptions, in section [storage \"lmdb\"] of dkv.conf:\n"
                        "\n  path = text (default: store/lmdb below node.data_dir)\n"
                        "      where it is\n"
                        "\n  sync = on|off (default: on)\n      sync?\n"
                        "\n  readers = number, 1 to 1000 (default: 126)\n      readers\n"
                        "\n  map_size = size: 64M, 2G, at least 1MiB (default: 64G)\n"
                        "      map\n"
                        "\n  timeout = duration: 250ms, 5s, 10ms to 1m (default: 250ms)\n"
                        "      patience\n"
                        "\n  mode = slow|fast (default: fast)\n      how\n"
                        "\n  password = text (default: ***)\n      hush\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_defaults_fill_what_nobody_set),
        TEST(test_every_storage_in_use_gets_a_folder_below_data_dir),
        TEST(test_values_of_the_section_are_filled_in),
        TEST(test_all_mistakes_are_reported_in_one_form),
        TEST(test_required_options_are_asked_for_with_their_help),
        TEST(test_secrets_stay_secret),
        TEST(test_a_plugin_with_a_bad_table_is_refused),
        TEST(test_a_plugin_without_options_refuses_all),
        TEST(test_help_lists_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
