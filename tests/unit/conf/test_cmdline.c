#include "conf/cmdline.h"

#include "conf_fixture.h"

#include "base/exit_codes.h"

static int parse(struct fixture *f, struct cmdline *cmdline, const char *a, const char *b,
                 const char *c)
{
    char *argv[] = {strdup("dkvd"), a == NULL ? NULL : strdup(a), b == NULL ? NULL : strdup(b),
                    c == NULL ? NULL : strdup(c), NULL};
    int argc = 1 + (a != NULL) + (b != NULL) + (c != NULL);
    size_t len = 0;
    FILE *to;
    int code;

    forget(f);
    to = open_memstream(&f->report, &len);
    code = cmdline_parse(argc, argv, cmdline, to);
    fclose(to);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return code;
}

static void expect_usage(struct fixture *f, const char *a, const char *b, const char *report)
{
    struct cmdline cmdline;

    assert_int_equal(parse(f, &cmdline, a, b, NULL), EXIT_CODE_USAGE);
    assert_string_equal(f->report, report);
}

static void test_each_command_has_its_option(void **state)
{
    static const struct {
        const char *text;
        enum cmdline_action action;
    } EXPECTED[] = {
        {"--help", CMDLINE_HELP},
        {"-h", CMDLINE_HELP},
        {"--version", CMDLINE_VERSION},
        {"--check-config", CMDLINE_CHECK_CONFIG},
        {"--print-sample-config", CMDLINE_PRINT_SAMPLE},
        {"--dump-config", CMDLINE_DUMP_CONFIG},
        {"--dump-config=json", CMDLINE_DUMP_CONFIG},
        {"--check-recovery=/d", CMDLINE_CHECK_RECOVERY},
        {"--plugin-help=lmdb", CMDLINE_PLUGIN_HELP},
        {"--plugin-help", CMDLINE_PLUGIN_HELP},
        {"--dev", CMDLINE_RUN},
    };
    struct fixture *f = *state;
    struct cmdline cmdline;

    for (size_t i = 0; i < sizeof(EXPECTED) / sizeof(EXPECTED[0]); i++) {
        assert_int_equal(parse(f, &cmdline, EXPECTED[i].text, NULL, NULL), EXIT_CODE_OK);
        assert_int_equal(cmdline.action, EXPECTED[i].action);
        assert_string_equal(f->report, "");
        cmdline_fini(&cmdline);
    }
}

static void test_sets_are_kept_in_their_order(void **state)
{
    char dkvd[] = "dkvd", set[] = "--set", one[] = "a.b=1", two[] = "--set=a.b=2", c[] = "-cx";
    char *argv[] = {dkvd, set, one, two, c, NULL};
    struct cmdline cmdline;
    struct conf_input input;

    (void)state;
    assert_int_equal(cmdline_parse(5, argv, &cmdline, stderr), EXIT_CODE_OK);
    cmdline_conf_input(&cmdline, NULL, &input);
    assert_int_equal(input.sets_count, 2);
    assert_string_equal(input.sets[0], "a.b=1");
    assert_string_equal(input.sets[1], "a.b=2");
    assert_string_equal(input.path, "x");
    assert_false(input.path_may_be_absent);
    cmdline_fini(&cmdline);
}

static void test_dev_reads_no_file_unless_one_is_named(void **state)
{
    struct fixture *f = *state;
    struct cmdline cmdline;
    struct conf_input input;

    assert_int_equal(parse(f, &cmdline, NULL, NULL, NULL), EXIT_CODE_OK);
    cmdline_conf_input(&cmdline, NULL, &input);
    assert_string_equal(input.path, DKV_SYSCONF_DIR "/dkv.conf");
    assert_true(input.path_may_be_absent);
    assert_int_equal(parse(f, &cmdline, "--dev", NULL, NULL), EXIT_CODE_OK);
    cmdline_conf_input(&cmdline, NULL, &input);
    assert_null(input.path);
    assert_true(input.dev);
}

static void test_mistyped_options_get_a_suggestion(void **state)
{
    struct fixture *f = *state;

    expect_usage(f, "--chek-config", NULL,
                 "dkvd: unknown option '--chek-config' (did you mean '--check-config'?); 'dkvd "
                 "--help' lists all\n");
    expect_usage(
        f, "--devv=1", NULL,
        "dkvd: unknown option '--devv' (did you mean '--dev'?); 'dkvd --help' lists all\n");
    expect_usage(f, "--dev", "-x", "dkvd: unknown option '-x'; 'dkvd --help' lists all\n");
    expect_usage(f, "--daemonize", NULL,
                 "dkvd: unknown option '--daemonize'; 'dkvd --help' lists all\n");
}

static void test_arguments_are_asked_for(void **state)
{
    struct fixture *f = *state;

    expect_usage(f, "--config", NULL, "dkvd: --config needs FILE\n");
    expect_usage(f, "-c", NULL, "dkvd: --config needs FILE\n");
    expect_usage(f, "--dev", "--set", "dkvd: --set needs SECTION.KEY=VALUE\n");
    expect_usage(f, "--dev=yes", NULL, "dkvd: --dev takes no argument\n");
    expect_usage(f, "--dump-config=xml", NULL,
                 "dkvd: --dump-config=xml: the format is ini or json\n");
    expect_usage(f, "start", NULL,
                 "dkvd: 'start' is not an option; dkvd takes options only, see 'dkvd --help'\n");
}

static void test_two_commands_at_once_are_refused(void **state)
{
    expect_usage(*state, "--help", "--check-config",
                 "dkvd: only one of --check-config, --print-sample-config, --dump-config, "
                 "--check-recovery, --plugin-help, --health, --help and --version at a time\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_each_command_has_its_option),
        TEST(test_sets_are_kept_in_their_order),
        TEST(test_dev_reads_no_file_unless_one_is_named),
        TEST(test_mistyped_options_get_a_suggestion),
        TEST(test_arguments_are_asked_for),
        TEST(test_two_commands_at_once_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
