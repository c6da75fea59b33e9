#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <string.h>

#include "base/log_line.h"

static const uint64_t hash_key[2] = {3, 4};
/* 2026-11-23T02:44:02.000123Z */
static const int64_t when = 1795401842000123;

static struct log_head head(bool is_json, enum log_level level)
{
    return (struct log_head){.wall_us = when,
                             .level = level,
                             .is_json = is_json,
                             .comp = "raft",
                             .event = "raft.leader_lost",
                             .msg = "the leader is gone",
                             .node = "n1"};
}

static void make(struct log_line *line, struct log_head h, const struct log_field *field)
{
    log_line_begin(line, &h);
    if (field != NULL)
        log_line_add(line, field, hash_key);
    log_line_end(line);
    assert_int_equal(line->len, strlen(line->text));
    assert_true(line->len <= LOG_LINE_MAX);
    assert_true(line->text[line->len - 1] == '\n');
}

static void a_text_line_reads_from_left_to_right(void **state)
{
    struct log_line line;

    (void)state;
    make(&line, head(false, LOG_WARN), &(struct log_field)LOG_U64("term", 5));
    assert_string_equal(line.text, "2026-11-23T02:44:02.000123Z WARN  raft: the leader is gone "
                                   "event=raft.leader_lost node=n1 term=5\n");
}

static void a_json_line_has_the_documented_keys(void **state)
{
    struct log_line line;

    (void)state;
    make(&line, head(true, LOG_INFO), &(struct log_field)LOG_MS("dur_ms", 1002));
    assert_string_equal(line.text,
                        "{\"ts\":\"2026-11-23T02:44:02.000123Z\",\"level\":\"info\","
                        "\"comp\":\"raft\",\"msg\":\"the leader is gone\","
                        "\"event\":\"raft.leader_lost\",\"node\":\"n1\",\"dur_ms\":1.002}\n");
}

static void the_journal_gets_a_priority(void **state)
{
    struct log_head h = head(false, LOG_ERROR);
    struct log_line line;

    (void)state;
    h.has_priority = true;
    make(&line, h, NULL);
    assert_memory_equal(line.text, "<3>2026", 7);
}

static void strange_bytes_are_escaped(void **state)
{
    struct log_line line;
    json_t *json;

    (void)state;
    make(&line, head(false, LOG_INFO),
         &(struct log_field)LOG_STR("s", "a\n\x1b[31m\x9b\x7f\xff\\\"= b"));
    assert_non_null(strstr(line.text, " s=\"a\\x0a\\x1b[31m\\x9b\\x7f\\xff\\x5c\\\"= b\"\n"));
    make(&line, head(true, LOG_INFO), &(struct log_field)LOG_STR("s", "a\n\xff\\\""));
    json = json_loads(line.text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    assert_string_equal(json_string_value(json_object_get(json, "s")), "a\\x0a\\xff\\x5c\"");
    json_decref(json);
    make(&line, head(false, LOG_INFO), &(struct log_field)LOG_STR("s", NULL));
    assert_non_null(strstr(line.text, " s=-\n"));
    make(&line, head(false, LOG_INFO), &(struct log_field)LOG_STR("s", ""));
    assert_non_null(strstr(line.text, " s=\"\"\n"));
}

/* Every length, so that every way of running out of room is met. */
static void a_long_line_is_cut_and_still_whole(void **state)
{
    static char text[1200];
    struct log_line line;

    (void)state;
    for (size_t len = 0; len < sizeof(text) - 1; len++) {
        struct log_head h = head(true, LOG_INFO);
        json_t *json;

        memset(text, len % 3 == 0 ? 'x' : len % 3 == 1 ? '\n' : '"', len);
        text[len] = '\0';
        log_line_begin(&line, &h);
        log_line_add(&line, &(struct log_field)LOG_STR("s", text), hash_key);
        log_line_add(&line, &(struct log_field)LOG_U64("n", INT64_MAX), hash_key);
        log_line_add(&line, &(struct log_field)LOG_BOOL("b", true), hash_key);
        log_line_add(&line, &(struct log_field)LOG_KEY("k", ((struct dkv_slice){"ab", 2})),
                     hash_key);
        log_line_add(&line, &(struct log_field)LOG_STR("t", "y"), hash_key);
        log_line_end(&line);
        assert_true(line.len <= LOG_LINE_MAX);
        json = json_loads(line.text, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        /* ts, level, comp, msg, event, node and the five fields */
        if (json_object_get(json, "cut") == NULL)
            assert_int_equal(json_object_size(json), 11);
        else
            assert_true(line.len > LOG_LINE_MAX - 64);
        json_decref(json);
    }
}

static void a_key_shows_a_hash_and_its_start_only_at_debug(void **state)
{
    const struct log_field key = LOG_KEY("key", ((struct dkv_slice){"secret-customer-42", 18}));
    struct log_line line;

    (void)state;
    make(&line, head(false, LOG_ERROR), &key);
    assert_null(strstr(line.text, "secret"));
    assert_non_null(strstr(line.text, " key=#"));
    make(&line, head(false, LOG_DEBUG), &key);
    assert_non_null(strstr(line.text, " key=\"secret-c\"\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_line_reads_from_left_to_right),
        cmocka_unit_test(a_json_line_has_the_documented_keys),
        cmocka_unit_test(the_journal_gets_a_priority),
        cmocka_unit_test(strange_bytes_are_escaped),
        cmocka_unit_test(a_long_line_is_cut_and_still_whole),
        cmocka_unit_test(a_key_shows_a_hash_and_its_start_only_at_debug),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
