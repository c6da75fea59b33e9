/* What a slow write waited for: asked of the marks alone, and of real replicas by their log. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "node/phases.h"
#include "replicas.h"

enum { MS = 1000 };

static struct phases *new_phases(void)
{
    return xcalloc(1, sizeof(struct phases));
}

static void test_an_index_has_passed_with_the_first_mark_at_or_above_it(void **state)
{
    struct phases *p = new_phases();

    (void)state;
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 1), 0);
    phases_note(p, PHASE_COMMITTED, 10, 100 * MS);
    phases_note(p, PHASE_COMMITTED, 10, 150 * MS); /* nothing new */
    phases_note(p, PHASE_COMMITTED, 20, 200 * MS);
    phases_note(p, PHASE_COMMITTED, 25, 200 * MS + 999); /* of the same millisecond */
    phases_note(p, PHASE_COMMITTED, 30, 201 * MS);
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 10), 100 * MS);
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 11), 200 * MS);
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 25), 200 * MS);
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 26), 201 * MS);
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 31), 0);
    assert_int_equal(phases_when(p, PHASE_DURABLE, 10), 0);
    phases_forget(p);
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 10), 0);
    phases_note(p, PHASE_COMMITTED, 5, 300 * MS); /* a shorter log */
    assert_int_equal(phases_when(p, PHASE_COMMITTED, 5), 300 * MS);
    free(p);
}

static void test_the_oldest_marks_are_forgotten(void **state)
{
    struct phases *p = new_phases();

    (void)state;
    for (uint64_t i = 1; i <= 3 * PHASE_MARKS; i++)
        phases_note(p, PHASE_DURABLE, i, i * MS);
    assert_int_equal(phases_when(p, PHASE_DURABLE, 3 * PHASE_MARKS), 3 * PHASE_MARKS * MS);
    assert_int_equal(phases_when(p, PHASE_DURABLE, 2 * PHASE_MARKS + 1),
                     (2 * PHASE_MARKS + 1) * MS);
    /* Older ones passed by then at the latest. */
    assert_int_equal(phases_when(p, PHASE_DURABLE, 1), (2 * PHASE_MARKS + 1) * MS);
    free(p);
}

/* Entry 7, accepted at 100 ms; 0: did not happen. */
static struct phase_times explain(uint64_t proposed_ms, uint64_t durable_ms, uint64_t committed_ms,
                                  uint64_t answered_ms)
{
    struct phases *p = new_phases();
    struct phase_times t;

    if (proposed_ms > 0)
        phases_note(p, PHASE_PROPOSED, 7, proposed_ms * MS);
    if (durable_ms > 0)
        phases_note(p, PHASE_DURABLE, 7, durable_ms * MS);
    if (committed_ms > 0)
        phases_note(p, PHASE_COMMITTED, 7, committed_ms * MS);
    phases_explain(p, 7, 100 * MS, answered_ms * MS, &t);
    free(p);
    return t;
}

static void test_the_longest_phase_is_named(void **state)
{
    struct phase_times t = explain(101, 301, 310, 312);

    (void)state;
    assert_string_equal(t.waited_for, "disk");
    assert_int_equal(t.queue_us, 1 * MS);
    assert_int_equal(t.disk_us, 200 * MS);
    assert_int_equal(t.commit_us, 209 * MS);
    assert_int_equal(t.storage_us, 2 * MS);
    assert_string_equal(explain(101, 301, 105, 312).waited_for, "disk"); /* others were faster */
    assert_string_equal(explain(101, 105, 301, 312).waited_for, "peers");
    assert_string_equal(explain(101, 105, 110, 300).waited_for, "storage");
    assert_string_equal(explain(250, 260, 270, 300).waited_for, "queue");
    assert_string_equal(explain(101, 105, 0, 300).waited_for, "peers");
    assert_string_equal(explain(101, 0, 0, 300).waited_for, "disk");
    assert_int_equal(explain(101, 105, 0, 300).storage_us, 0);
}

/* --- replicas --- */

struct captured {
    struct replicas *all;
    char path[32], text[8192];
};

static int setup(void **state)
{
    struct captured *c = xcalloc(1, sizeof(*c));
    int fd;

    strcpy(c->path, "/tmp/dkv-test-slow.XXXXXX");
    fd = mkstemp(c->path);
    assert_true(fd >= 0);
    close(fd);
    c->all = replicas_new(3);
    (void)replicas_leader(c->all);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct captured *c = *state;

    replicas_free(c->all);
    unlink(c->path);
    free(c);
    return 0;
}

/* A write while `*flag` holds for that long, and what the log says of it. */
static const char *slow_write(struct captured *c, uint32_t n, bool *flags[2], uint64_t us)
{
    struct log_config config = {.path = c->path, .format = LOG_FORMAT_TEXT};
    struct dkv_error err = {0};
    struct client_write w;
    size_t len;
    FILE *file;

    assert_int_equal(log_start(&config, &err), DKV_OK);
    for (int i = 0; i < 2; i++)
        *flags[i] = true;
    replicas_write(c->all, n, &w, "secret", "hidden");
    replicas_run(c->all, us);
    for (int i = 0; i < 2; i++)
        *flags[i] = false;
    replicas_run(c->all, T_US / 4);
    assert_int_equal(w.done, 1);
    assert_int_equal(w.write.status, DKV_OK);
    log_stop(1000);
    file = fopen(c->path, "r");
    assert_non_null(file);
    len = fread(c->text, 1, sizeof(c->text) - 1, file);
    fclose(file);
    c->text[len] = '\0';
    assert_null(strstr(c->text, "secret"));
    assert_null(strstr(c->text, "hidden"));
    return c->text;
}

static void test_a_slow_write_says_what_it_waited_for(void **state)
{
    struct captured *c = *state;
    struct replicas_node *nodes = c->all->nodes;
    uint32_t leader = replicas_leader(c->all), a = (leader + 1) % 3, b = (leader + 2) % 3;
    bool *storage[] = {&nodes[leader].is_storage_slow, &nodes[leader].is_storage_slow};
    bool *disk[] = {&nodes[leader].is_disk_slow, &nodes[leader].is_disk_slow};
    bool *peers[] = {&nodes[a].is_disk_slow, &nodes[b].is_disk_slow};
    const char *line;

    line = strstr(slow_write(c, leader, storage, T_US / 2), "event=raft.slow_write");
    assert_non_null(line);
    assert_non_null(strstr(line, "waited_for=storage"));
    line = strstr(slow_write(c, leader, disk, T_US / 2), "waited_for=disk");
    assert_non_null(line);
    line = strstr(slow_write(c, a, peers, T_US / 2), "waited_for=peers");
    assert_non_null(line);
    assert_non_null(strstr(line, "last_peer=n"));
}

static void test_what_is_fast_is_not_in_the_log(void **state)
{
    struct captured *c = *state;
    bool none = false, *nothing[] = {&none, &none};

    assert_null(strstr(slow_write(c, replicas_leader(c->all), nothing, T_US / 10), "slow_write"));
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_index_has_passed_with_the_first_mark_at_or_above_it),
        cmocka_unit_test(test_the_oldest_marks_are_forgotten),
        cmocka_unit_test(test_the_longest_phase_is_named),
        WITH(test_a_slow_write_says_what_it_waited_for),
        WITH(test_what_is_fast_is_not_in_the_log),
    };

    return cmocka_run_group_tests_name("slow", tests, NULL, NULL);
}
