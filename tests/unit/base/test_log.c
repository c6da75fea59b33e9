#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/thread.h"

#define FLUSH_MS 20000

static uint64_t now_us;

static uint64_t fake_now(void)
{
    return now_us;
}

static int64_t fake_wall(void)
{
    return 1000000;
}

struct captured {
    unsigned count;
    char last[1100];
};

static void capture(void *ctx, enum log_level level, const char *line)
{
    struct captured *c = ctx;

    (void)level;
    c->count++;
    snprintf(c->last, sizeof(c->last), "%s", line);
}

static void start(struct log_config config)
{
    config.now_us = fake_now;
    config.wall_us = fake_wall;
    assert_int_equal(log_start(&config, NULL), DKV_OK);
}

static unsigned count_text(const char *in, const char *what)
{
    unsigned count = 0;

    while ((in = strstr(in, what)) != NULL) {
        count++;
        in += strlen(what);
    }
    return count;
}

/* What the pipe holds, as text to free. */
static char *read_pipe(int fd)
{
    size_t cap = 1 << 22, len = 0;
    char *text = malloc(cap);
    struct pollfd p = {.fd = fd, .events = POLLIN};

    while (len < cap - 1 && poll(&p, 1, 0) == 1) {
        ssize_t n = read(fd, text + len, cap - 1 - len);

        if (n <= 0)
            break;
        len += (size_t)n;
    }
    text[len] = '\0';
    return text;
}

static void levels_are_per_component_and_cost_nothing_when_off(void **state)
{
    struct captured c = {0};
    int evaluated = 0;

    (void)state;
    start((struct log_config){.level = LOG_INFO, .fd = STDERR_FILENO});
    log_capture(capture, &c);
    log_debug("raft", "e", "m", LOG_I64("n", ++evaluated), LOG_END);
    assert_int_equal(evaluated, 0);
    assert_int_equal(c.count, 0);
    assert_true(log_set_level("raft", LOG_DEBUG));
    log_debug("wal", "e", "m", LOG_END);
    assert_int_equal(c.count, 0);
    log_debug("raft", "e", "m", LOG_I64("n", -5), LOG_END);
    assert_int_equal(c.count, 1);
    assert_non_null(strstr(c.last, "\"n\":-5"));
    assert_non_null(strstr(c.last, "test_log.c:"));
    assert_true(log_set_level(NULL, LOG_ERROR));
    log_warn("raft", "e", "m", LOG_END);
    assert_int_equal(c.count, 1);
    assert_false(log_set_level("a-component-with-a-name-too-long", LOG_INFO));
    log_capture(NULL, NULL);
    log_stop(FLUSH_MS);
}

static void repeated_warnings_are_limited_and_counted(void **state)
{
    struct captured c = {0};

    (void)state;
    now_us = 1000000;
    start((struct log_config){.level = LOG_INFO, .burst = 3, .window_ms = 1000});
    log_capture(capture, &c);
    for (int i = 0; i < 12; i++) {
        if (i == 10)
            now_us += 1000000;
        log_warn("raft", "slow", "took too long", LOG_END);
        if (i == 9)
            assert_int_equal(c.count, 3);
        if (i == 10)
            assert_non_null(strstr(c.last, "\"suppressed\":7"));
    }
    assert_int_equal(c.count, 5);
    assert_null(strstr(c.last, "suppressed"));
    log_error("raft", "other", "another call has its own limit", LOG_END);
    assert_int_equal(c.count, 6);
    for (int i = 0; i < 10; i++)
        log_info("raft", "info", "not limited", LOG_END);
    assert_int_equal(c.count, 16);
    log_capture(NULL, NULL);
    log_stop(FLUSH_MS);
}

static void lines_reach_the_descriptor_in_order(void **state)
{
    int fds[2];
    char *text;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    start((struct log_config){.level = LOG_INFO, .fd = fds[1], .node = "n7"});
    for (uint64_t i = 0; i < 100; i++)
        log_info("t", "count", "counting", LOG_U64("i", i), LOG_END);
    assert_true(log_flush(FLUSH_MS));
    text = read_pipe(fds[0]);
    assert_int_equal(count_text(text, "\"node\":\"n7\""), 100);
    for (int i = 0; i < 99; i++) {
        char a[32], b[32];

        snprintf(a, sizeof(a), "\"i\":%d}", i);
        snprintf(b, sizeof(b), "\"i\":%d}", i + 1);
        assert_true(strstr(text, a) < strstr(text, b));
    }
    free(text);
    log_stop(FLUSH_MS);
    close(fds[0]);
    close(fds[1]);
}

/* Nobody reads the pipe: if a call blocked, this test would not end. */
static void a_reader_that_stands_still_stops_nobody_and_losses_are_told(void **state)
{
    const unsigned sent = 5000;
    unsigned written, dropped = 0;
    char *text, *rest;
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    start((struct log_config){.level = LOG_INFO, .fd = fds[1], .ring_bytes = 64 << 10});
    for (unsigned i = 0; i < sent; i++)
        log_info("t", "flood", "a flood", LOG_U64("i", i), LOG_END);
    assert_false(log_flush(1));
    text = read_pipe(fds[0]);
    while (!log_flush(10)) {
        rest = read_pipe(fds[0]);
        text = realloc(text, strlen(text) + strlen(rest) + 1);
        strcat(text, rest);
        free(rest);
    }
    log_info("t", "after", "one more", LOG_END);
    assert_true(log_flush(FLUSH_MS));
    rest = read_pipe(fds[0]);
    text = realloc(text, strlen(text) + strlen(rest) + 1);
    strcat(text, rest);
    free(rest);
    written = count_text(text, "\"event\":\"flood\"");
    for (const char *at = text; (at = strstr(at, "log.dropped")) != NULL; at++)
        dropped += (unsigned)strtoul(strstr(at, "\"count\":") + 8, NULL, 10);
    assert_true(dropped > 0);
    assert_int_equal(written + dropped, sent);
    assert_non_null(strstr(text, "\"event\":\"after\""));
    free(text);
    log_stop(FLUSH_MS);
    close(fds[0]);
    close(fds[1]);
}

static void stopping_with_a_blocked_reader_ends_in_time(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(pipe(fds), 0);
    start((struct log_config){.level = LOG_INFO, .fd = fds[1]});
    for (unsigned i = 0; i < 3000; i++)
        log_info("t", "flood", "a flood", LOG_U64("i", i), LOG_END);
    log_stop(10);
    close(fds[0]);
    close(fds[1]);
}

static void the_number_of_lines_is_limited_too(void **state)
{
    int fds[2];
    char *text;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_true(fcntl(fds[1], F_SETPIPE_SZ, 4096) > 0);
    start((struct log_config){.level = LOG_INFO, .fd = fds[1], .ring_lines = 1});
    for (unsigned i = 0; i < 2000; i++)
        log_info("t", "flood", "a flood", LOG_U64("i", i), LOG_END);
    log_stop(10);
    text = read_pipe(fds[0]);
    assert_true(count_text(text, "flood") < 1000);
    free(text);
    close(fds[0]);
    close(fds[1]);
}

static char *read_file(const char *path)
{
    FILE *f = fopen(path, "r");
    char *text = calloc(1, 1 << 16);

    assert_non_null(f);
    (void)!fread(text, 1, (1 << 16) - 1, f);
    fclose(f);
    return text;
}

static void a_file_is_opened_again_after_rotation(void **state)
{
    char dir[] = "test_log.XXXXXX", path[64], old[64], *text;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/log", dir);
    snprintf(old, sizeof(old), "%s/log.1", dir);
    start((struct log_config){.level = LOG_INFO, .path = path, .format = LOG_FORMAT_TEXT});
    log_info("t", "e", "before", LOG_END);
    assert_true(log_flush(FLUSH_MS));
    assert_int_equal(rename(path, old), 0);
    log_info("t", "e", "between", LOG_END);
    assert_true(log_flush(FLUSH_MS));
    log_reopen();
    log_info("t", "e", "after", LOG_END);
    log_stop(FLUSH_MS);
    text = read_file(old);
    assert_non_null(strstr(text, "t: before event=e"));
    assert_non_null(strstr(text, "between"));
    free(text);
    text = read_file(path);
    assert_non_null(strstr(text, "after"));
    assert_null(strstr(text, "before"));
    free(text);
    unlink(old);
    unlink(path);
    rmdir(dir);
}

static void a_log_file_that_cannot_be_opened_is_an_error(void **state)
{
    struct log_config config = {.path = "no/such/dir/log"};
    struct dkv_error err;

    (void)state;
    assert_int_equal(log_start(&config, &err), DKV_ENOENT);
    assert_non_null(strstr(err.text, "no/such/dir/log"));
}

static void log_many(void *ctx)
{
    for (unsigned i = 0; i < 500; i++) {
        log_warn("t", "many", "many at once", LOG_U64("i", i), LOG_STR("who", ctx), LOG_END);
        log_info("t", "many", "many at once", LOG_U64("i", i), LOG_STR("who", ctx), LOG_END);
    }
}

static void many_threads_may_log_at_once(void **state)
{
    char dir[] = "test_log.XXXXXX", path[64];
    char who[] = "me";
    struct thread threads[4];
    char *text;
    FILE *f;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/log", dir);
    start((struct log_config){.level = LOG_INFO, .path = path, .burst = 7});
    for (int i = 0; i < 4; i++)
        assert_int_equal(thread_start(&threads[i], "t", NULL, log_many, who, NULL), DKV_OK);
    for (int i = 0; i < 20; i++) {
        log_set_level("other", i % 2 == 0 ? LOG_DEBUG : LOG_ERROR);
        log_reopen();
        log_flush(FLUSH_MS);
    }
    for (int i = 0; i < 4; i++)
        thread_join(&threads[i]);
    log_stop(FLUSH_MS);
    text = calloc(1, 1 << 20);
    f = fopen(path, "r");
    assert_non_null(f);
    (void)!fread(text, 1, (1 << 20) - 1, f);
    fclose(f);
    assert_int_equal(count_text(text, "\"level\":\"info\""), 2000);
    assert_int_equal(count_text(text, "\"level\":\"warn\""), 7);
    free(text);
    unlink(path);
    rmdir(dir);
}

static void level_names_are_parsed(void **state)
{
    enum log_level level = LOG_INFO;

    (void)state;
    assert_true(log_level_parse("warn", &level));
    assert_int_equal(level, LOG_WARN);
    assert_false(log_level_parse("Warn", &level));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_are_per_component_and_cost_nothing_when_off),
        cmocka_unit_test(repeated_warnings_are_limited_and_counted),
        cmocka_unit_test(lines_reach_the_descriptor_in_order),
        cmocka_unit_test(a_reader_that_stands_still_stops_nobody_and_losses_are_told),
        cmocka_unit_test(stopping_with_a_blocked_reader_ends_in_time),
        cmocka_unit_test(the_number_of_lines_is_limited_too),
        cmocka_unit_test(a_file_is_opened_again_after_rotation),
        cmocka_unit_test(a_log_file_that_cannot_be_opened_is_an_error),
        cmocka_unit_test(many_threads_may_log_at_once),
        cmocka_unit_test(level_names_are_parsed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
