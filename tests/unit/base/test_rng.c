#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/rng.h"

static void a_seed_gives_the_same_numbers_for_ever(void **state)
{
    static const uint64_t known[5] = {0x99ec5f36cb75f2b4u, 0xbf6e1f784956452au, 0x1a5f849d4933e6e0u,
                                      0x6aa594f1262d2d2cu, 0xbba5ad4a1f842e59u};
    struct rng a, b;

    (void)state;
    rng_init(&a, 0);
    rng_init(&b, 0);
    /* xoshiro256** after splitmix64(0), as other implementations give it */
    for (int i = 0; i < 5; i++) {
        assert_true(rng_next(&a) == known[i]);
        rng_next(&b);
    }
    for (int i = 0; i < 1000; i++)
        assert_true(rng_next(&a) == rng_next(&b));
    rng_init(&b, 1);
    assert_true(rng_next(&a) != rng_next(&b));
}

static void numbers_below_a_bound_reach_all_of_it_and_no_more(void **state)
{
    unsigned seen[7] = {0};
    struct rng r;

    (void)state;
    rng_init(&r, 5);
    for (int i = 0; i < 70000; i++) {
        uint64_t n = rng_below(&r, 7);

        assert_true(n < 7);
        seen[n]++;
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(seen[i], 9500, 10500);
    assert_true(rng_below(&r, 1) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_gives_the_same_numbers_for_ever),
        cmocka_unit_test(numbers_below_a_bound_reach_all_of_it_and_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
