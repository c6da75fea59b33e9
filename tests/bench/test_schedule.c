#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/load/schedule.h"

static void requests_are_due_at_equal_distances(void **state)
{
    struct schedule s;
    uint64_t intended = 0;

    (void)state;
    schedule_init(&s, 1000, 1e6);
    assert_true(schedule_take(&s, 1000, &intended));
    assert_int_equal(intended, 1000);
    assert_false(schedule_take(&s, 1999, &intended));
    assert_int_equal(schedule_due(&s, 1999), 2000);
    assert_true(schedule_take(&s, 2000, &intended));
    assert_int_equal(intended, 2000);
}

static void a_stall_is_charged_to_every_request_that_was_due_meanwhile(void **state)
{
    struct schedule s;
    uint64_t intended = 0, waited = 0;

    (void)state;
    schedule_init(&s, 0, 1000);
    for (uint64_t i = 0; i <= 100; i++) {
        assert_true(schedule_take(&s, 100000000, &intended));
        assert_int_equal(intended, i * 1000000);
        waited += 100000000 - intended;
    }
    assert_false(schedule_take(&s, 100000000, &intended));
    assert_int_equal(waited, UINT64_C(5050000000));
}

static void a_rate_that_does_not_divide_a_second_does_not_drift(void **state)
{
    struct schedule s;
    uint64_t intended = 0;

    (void)state;
    schedule_init(&s, 0, 30000);
    for (unsigned i = 0; i <= 30000; i++)
        assert_true(schedule_take(&s, 2000000000, &intended));
    assert_in_range(intended, 999999999, 1000000001);
}

static void a_closed_loop_is_always_due(void **state)
{
    struct schedule s;
    uint64_t intended = 0;

    (void)state;
    schedule_init(&s, 1000, 0);
    assert_true(schedule_take(&s, 5000, &intended));
    assert_int_equal(intended, 5000);
    assert_true(schedule_take(&s, 5000, &intended));
}

static void what_was_never_taken_is_known(void **state)
{
    struct schedule s;
    uint64_t intended = 0;

    (void)state;
    schedule_init(&s, 0, 1000);
    assert_true(schedule_take(&s, 1, &intended));
    assert_int_equal(schedule_left(&s, 10000000), 9);
    assert_int_equal(schedule_left(&s, 1000000), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_due_at_equal_distances),
        cmocka_unit_test(a_stall_is_charged_to_every_request_that_was_due_meanwhile),
        cmocka_unit_test(a_rate_that_does_not_divide_a_second_does_not_drift),
        cmocka_unit_test(a_closed_loop_is_always_due),
        cmocka_unit_test(what_was_never_taken_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
