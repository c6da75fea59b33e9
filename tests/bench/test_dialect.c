#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/dialect.h"

static const struct dkv_slice key = {"a/b", 3}, value = {"hello", 5};
static struct buf out;
static struct response r;

static int setup(void **state)
{
    (void)state;
    buf_reset(&out);
    response_init(&r, DIALECT_BODY_MAX);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    buf_fini(&out);
    response_fini(&r);
    return 0;
}

static void assert_out(const char *text)
{
    assert_int_equal(out.len, strlen(text));
    assert_memory_equal(out.data, text, out.len);
}

static void answer(int status, const char *body)
{
    char text[512];
    int size = snprintf(text, sizeof(text), "HTTP/1.1 %d X\r\nContent-Length: %zu\r\n\r\n%s",
                        status, strlen(body), body);

    response_reset(&r);
    response_feed(&r, text, (size_t)size);
}

static void requests_to_dkv_carry_raw_values_and_escaped_keys(void **state)
{
    (void)state;
    dialect_put(DIALECT_DKV, "h:1", key, value, &out);
    assert_out("PUT /kv/a%2Fb HTTP/1.1\r\nHost: h:1\r\nContent-Length: 5\r\n\r\nhello");
    buf_reset(&out);
    dialect_get(DIALECT_DKV, "h:1", key, "?consistency=stale", &out);
    assert_out("GET /kv/a%2Fb?consistency=stale HTTP/1.1\r\nHost: h:1\r\n\r\n");
}

static void requests_to_etcd_are_json_with_base64(void **state)
{
    (void)state;
    dialect_put(DIALECT_ETCD, "h:1", key, value, &out);
    assert_out("POST /v3/kv/put HTTP/1.1\r\nHost: h:1\r\nContent-Length: 33\r\n\r\n"
               "{\"key\":\"YS9i\",\"value\":\"aGVsbG8=\"}");
    buf_reset(&out);
    dialect_get(DIALECT_ETCD, "h:1", (struct dkv_slice){"a", 1}, "", &out);
    assert_out("POST /v3/kv/range HTTP/1.1\r\nHost: h:1\r\nContent-Length: 14\r\n\r\n"
               "{\"key\":\"YQ==\"}");
}

static void requests_to_hraftd_are_a_json_object_of_texts(void **state)
{
    (void)state;
    dialect_put(DIALECT_HRAFTD, "h:1", (struct dkv_slice){"k", 1}, value, &out);
    assert_out("POST /key HTTP/1.1\r\nHost: h:1\r\nContent-Length: 13\r\n\r\n{\"k\":\"hello\"}");
}

static void answers_are_judged_by_what_they_say_of_the_outcome(void **state)
{
    (void)state;
    answer(201, "");
    assert_int_equal(dialect_judge(DIALECT_DKV, true, &r), VERDICT_OK);
    assert_int_equal(dialect_judge(DIALECT_DKV, false, &r), VERDICT_WRONG);
    answer(404, "{}");
    assert_int_equal(dialect_judge(DIALECT_DKV, false, &r), VERDICT_MISSING);
    assert_int_equal(dialect_judge(DIALECT_DKV, true, &r), VERDICT_WRONG);
    answer(503, "{\"outcome\":\"none\"}");
    assert_int_equal(dialect_judge(DIALECT_DKV, true, &r), VERDICT_REFUSED);
    answer(504, "{\"outcome\":\"unknown\"}");
    assert_int_equal(dialect_judge(DIALECT_DKV, true, &r), VERDICT_UNKNOWN);
    answer(400, "{\"outcome\":\"none\"}");
    assert_int_equal(dialect_judge(DIALECT_DKV, true, &r), VERDICT_WRONG);
    answer(200, "{\"header\":{},\"kvs\":[]}");
    assert_int_equal(dialect_judge(DIALECT_ETCD, false, &r), VERDICT_OK);
    answer(200, "{\"header\":{}}");
    assert_int_equal(dialect_judge(DIALECT_ETCD, false, &r), VERDICT_MISSING);
    answer(200, "{\"k\":\"\"}");
    assert_int_equal(dialect_judge(DIALECT_HRAFTD, false, &r), VERDICT_MISSING);
}

static void the_leader_is_known_by_its_own_answer(void **state)
{
    (void)state;
    answer(200, "{\"role\":\"leader\"}");
    assert_true(dialect_is_leader(DIALECT_DKV, &r));
    answer(200, "{\"role\":\"follower\",\"leader\":\"n1\"}");
    assert_false(dialect_is_leader(DIALECT_DKV, &r));
    answer(200, "{\"header\":{\"member_id\":\"7\"},\"leader\":\"7\"}");
    assert_true(dialect_is_leader(DIALECT_ETCD, &r));
    answer(200, "{\"header\":{\"member_id\":\"7\"},\"leader\":\"8\"}");
    assert_false(dialect_is_leader(DIALECT_ETCD, &r));
    answer(200, "{\"header\":{}}");
    assert_false(dialect_is_leader(DIALECT_ETCD, &r));
    answer(503, "{\"role\":\"leader\"}");
    assert_false(dialect_is_leader(DIALECT_DKV, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_to_dkv_carry_raw_values_and_escaped_keys, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(requests_to_etcd_are_json_with_base64, setup, teardown),
        cmocka_unit_test_setup_teardown(requests_to_hraftd_are_a_json_object_of_texts, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(answers_are_judged_by_what_they_say_of_the_outcome, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_leader_is_known_by_its_own_answer, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
