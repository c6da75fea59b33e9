#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "bench/load/histogram.h"

static struct histogram h;

static int setup(void **state)
{
    (void)state;
    histogram_reset(&h);
    return 0;
}

static void small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t v = 1; v <= 100; v++)
        histogram_add(&h, v);
    assert_int_equal(histogram_percentile(&h, 50), 50);
    assert_int_equal(histogram_percentile(&h, 99), 99);
    assert_int_equal(histogram_percentile(&h, 99.9), 100);
    assert_int_equal(histogram_percentile(&h, 0), 1);
    assert_int_equal(h.min, 1);
    assert_int_equal(h.max, 100);
    assert_true(histogram_mean(&h) == 50.5);
}

static void an_empty_histogram_has_zero_percentiles(void **state)
{
    (void)state;
    assert_int_equal(histogram_percentile(&h, 99.99), 0);
    assert_true(histogram_mean(&h) == 0.0);
}

static int by_value(const void *one, const void *two)
{
    uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)two;

    return a < b ? -1 : a > b;
}

static void percentiles_are_never_below_and_less_than_one_in_128_above(void **state)
{
    static const double percents[] = {1, 10, 50, 90, 99, 99.9, 99.99, 100};
    static const size_t ranks[] = {100, 1000, 5000, 9000, 9900, 9990, 9999, 10000};
    static uint64_t values[10000];
    struct rng rng;

    (void)state;
    rng_init(&rng, 7);
    for (unsigned i = 0; i < 10000; i++) {
        values[i] = rng_next(&rng) >> rng_below(&rng, 64);
        histogram_add(&h, values[i]);
    }
    qsort(values, 10000, sizeof(values[0]), by_value);
    for (unsigned i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        uint64_t truth = values[ranks[i] - 1];
        uint64_t told = histogram_percentile(&h, percents[i]);

        assert_true(told >= truth);
        assert_true(told - truth <= truth / 128);
    }
}

static void the_greatest_possible_value_has_a_bucket(void **state)
{
    (void)state;
    histogram_add(&h, UINT64_MAX);
    histogram_add(&h, 0);
    assert_true(histogram_percentile(&h, 100) == UINT64_MAX);
    assert_int_equal(histogram_percentile(&h, 50), 0);
}

static void merging_is_the_same_as_adding_everything_to_one(void **state)
{
    static struct histogram other;

    (void)state;
    histogram_reset(&other);
    histogram_add(&h, 10);
    histogram_add(&other, 5);
    histogram_add(&other, 1000);
    histogram_merge(&h, &other);
    assert_int_equal(h.count, 3);
    assert_int_equal(h.min, 5);
    assert_int_equal(h.max, 1000);
    assert_int_equal(histogram_percentile(&h, 50), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(small_values_are_exact, setup),
        cmocka_unit_test_setup(an_empty_histogram_has_zero_percentiles, setup),
        cmocka_unit_test_setup(percentiles_are_never_below_and_less_than_one_in_128_above, setup),
        cmocka_unit_test_setup(the_greatest_possible_value_has_a_bucket, setup),
        cmocka_unit_test_setup(merging_is_the_same_as_adding_everything_to_one, setup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
