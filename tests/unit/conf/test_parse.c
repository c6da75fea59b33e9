#include "conf_fixture.h"

static void test_values_may_be_bare_or_quoted(void **state)
{
    struct fixture *f = *state;
    const struct settings *s = load_good(f, "\xef\xbb\xbf# comment\r\n"
                                            "[node]   ; comment\r\n"
                                            "  name = n1 # comment\r\n"
                                            "data_dir = \"/a, b # \\\"c\\\"\\\\\"   ; comment\r\n"
                                            "[log]\n"
                                            "\tfile\t=\t/x;y#z\n"
                                            "[ storage ]\nplugin=lmdb");

    assert_string_equal(s->node.name, "n1");
    assert_string_equal(s->node.data_dir, "/a, b # \"c\"\\");
    assert_string_equal(s->log.file, "/x;y#z");
    assert_string_equal(s->storage.plugin, "lmdb");
}

static void test_lists_go_by_comma_and_by_repeated_key(void **state)
{
    struct fixture *f = *state;
    const struct settings *s = load_good(f, "[http]\nlisten = 127.0.0.1:1, \"127.0.0.1:2\"\n"
                                            "listen = [::1]:3\n[raft]\n[http]\nlisten = a:4\n");

    assert_int_equal(s->http.listen.count, 4);
    assert_int_equal(s->http.listen.items[1].port, 2);
    assert_string_equal(s->http.listen.items[2].host, "::1");
    assert_string_equal(s->http.listen.items[3].text, "a:4");
}

static void test_all_errors_are_reported_at_once(void **state)
{
    load_bad(*state,
             "[raft]\n"
             "hartbeat_interval = 100ms\n"
             "  election_timeout = 200ms\n"
             "[htpp]\n"
             "anything = 1\n"
             "[log\n"
             "level = info\n"
             "[log]\n"
             "level = inof\n"
             "just words\n",
             "dkv.conf:2:1: error: unknown key 'hartbeat_interval' in [raft] (did you mean "
             "'heartbeat_interval'?)\n"
             "dkv.conf:3:22: error: raft.election_timeout = 200ms must be at least 5 x "
             "raft.heartbeat_interval (100ms, default)\n"
             "dkv.conf:4:1: error: unknown section [htpp] (did you mean 'http'?)\n"
             "dkv.conf:6:5: error: not a section; write [section] or [section \"name\"]\n"
             "dkv.conf:9:9: error: log.level: \"inof\" is none of debug, info, warn, error (did "
             "you mean 'info'?)\n"
             "dkv.conf:10:6: error: expected 'key = value' or '[section]'\n"
             "dkvd: 6 errors, 0 warnings in 1 file\n");
}

static void test_unclosed_quotes_and_bad_escapes_are_pointed_at(void **state)
{
    load_bad(*state,
             "[log]\nfile = \"abc\nfile = \"a\\qb\"\nfile = a\"b\nfile = \"a\" b\nfile = a,,b\n"
             "file =\nfile = # nothing\n[log] x\n",
             "dkv.conf:2:8: error: this quote is never closed\n"
             "dkv.conf:3:10: error: unknown escape; write \\\\ for a backslash, or \\\" \\n \\t\n"
             "dkv.conf:4:9: error: quote in the middle of a value; quote all of it\n"
             "dkv.conf:5:12: error: expected a comma or the end of the line\n"
             "dkv.conf:6:10: error: a value is missing here; write \"\" for empty\n"
             "dkv.conf:7:7: error: file has no value; write \"\" for an empty one\n"
             "dkv.conf:8:8: error: file has no value; write \"\" for an empty one\n"
             "dkv.conf:9:7: error: only a comment may stand behind a section\n"
             "dkvd: 8 errors, 0 warnings in 1 file\n");
}

static void test_keys_outside_of_sections_are_told_where_they_belong(void **state)
{
    load_bad(*state, "heartbeat_interval = 1s\n[log]\nheartbeat_interval = 1s\nzebra = 1\n",
             "dkv.conf:1:1: error: 'heartbeat_interval' stands outside of a section; put it under "
             "[raft]\n"
             "dkv.conf:3:1: error: unknown key 'heartbeat_interval' in [log] (did you mean "
             "'heartbeat_interval' in [raft]?)\n"
             "dkv.conf:4:1: error: unknown key 'zebra' in [log]\n"
             "dkvd: 3 errors, 0 warnings in 1 file\n");
}

static void test_only_plugin_sections_have_names(void **state)
{
    load_bad(*state, "[raft \"x\"]\nfoo = 1\n[storage \"a b\"]\n[storage \"lmdb\"]\nany = 1\n[]\n",
             "dkv.conf:1:1: error: [raft] takes no name; only [storage \"...\"] and [transport "
             "\"...\"] do\n"
             "dkv.conf:3:1: error: \"a b\" is not a name: letters, digits, . _ - only\n"
             "dkv.conf:6:2: error: not a section; write [section] or [section \"name\"]\n"
             "dkvd: 3 errors, 0 warnings in 1 file\n");
}

static void test_a_single_value_set_twice_is_refused(void **state)
{
    load_bad(*state, "[log]\nlevel = info\nlevel = warn\nfile = a, b\n",
             "dkv.conf:3:9: error: log.level is set twice in this file, first in line 2\n"
             "dkv.conf:4:11: error: log.file takes one value; quote it if the comma is part of it\n"
             "dkvd: 2 errors, 0 warnings in 1 file\n");
}

static void test_bytes_that_are_no_text_are_refused(void **state)
{
    static const char TEXT[] = "[log]\nfile = a\0b\nfile = \x1b[0m\nfile = \xff\nfile = \xc0\x80\n"
                               "file = \xed\xa0\x80\nfile = \xc3\xa9\n";
    struct fixture *f = *state;

    write_bytes("dkv.conf", TEXT, sizeof(TEXT) - 1);
    load(f);
    assert_string_equal(f->report, "dkv.conf:2:9: error: byte 0x00 is a control character\n"
                                   "dkv.conf:3:8: error: byte 0x1b is a control character\n"
                                   "dkv.conf:4:8: error: byte 0xff is not UTF-8\n"
                                   "dkv.conf:5:8: error: byte 0xc0 is not UTF-8\n"
                                   "dkv.conf:6:8: error: byte 0xed is not UTF-8\n"
                                   "dkvd: 5 errors, 0 warnings in 1 file\n");
}

static void test_huge_lines_and_files_are_refused(void **state)
{
    struct fixture *f = *state;
    size_t len = 70000;
    char *text = xmalloc(2 << 20);

    memset(text, 'x', 2 << 20);
    write_bytes("dkv.conf", text, len);
    load(f);
    assert_string_equal(f->report, "dkv.conf:1:1: error: line is longer than 65536 bytes\n"
                                   "dkvd: 1 error, 0 warnings in 1 file\n");
    write_bytes("dkv.conf", text, 2 << 20);
    load(f);
    assert_string_equal(f->report, "dkv.conf: error: the file is longer than 1048576 bytes\n"
                                   "dkvd: 1 error, 0 warnings in 1 file\n");
    free(text);
}

static void test_a_flood_of_errors_is_counted_and_cut(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen("dkv.conf", "w");

    for (int i = 0; i < 5000; i++)
        fputs("x\n", file);
    fclose(file);
    load(f);
    assert_non_null(strstr(f->report, "\ndkvd: 4000 more not shown\n"
                                      "dkvd: 5000 errors, 0 warnings in 1 file\n"));
}

static void test_lists_have_an_end(void **state)
{
    struct fixture *f = *state;
    FILE *file = fopen("dkv.conf", "w");

    fputs("[http]\n", file);
    for (int i = 1; i <= 257; i++)
        fprintf(file, "listen = 127.0.0.1:%d\n", i);
    fclose(file);
    load(f);
    assert_string_equal(f->report, "dkv.conf:258:1: error: listen: more than 256 values\n"
                                   "dkvd: 1 error, 0 warnings in 1 file\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_values_may_be_bare_or_quoted),
        TEST(test_lists_go_by_comma_and_by_repeated_key),
        TEST(test_all_errors_are_reported_at_once),
        TEST(test_unclosed_quotes_and_bad_escapes_are_pointed_at),
        TEST(test_keys_outside_of_sections_are_told_where_they_belong),
        TEST(test_only_plugin_sections_have_names),
        TEST(test_a_single_value_set_twice_is_refused),
        TEST(test_bytes_that_are_no_text_are_refused),
        TEST(test_huge_lines_and_files_are_refused),
        TEST(test_a_flood_of_errors_is_counted_and_cut),
        TEST(test_lists_have_an_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
