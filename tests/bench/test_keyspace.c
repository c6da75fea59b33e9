#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/keyspace.h"

enum { DRAWS = 200000 };

/* Draws, and compares the share of each of the first `ranks` with what the law says, within five
 * standard deviations. */
static void check_law(uint64_t count, double exponent, unsigned ranks)
{
    struct keyspace keys;
    unsigned *seen = calloc(count, sizeof(*seen));
    double sum = 0;

    assert_int_equal(keyspace_init(&keys, count, 16, exponent, 42), 0);
    for (unsigned i = 0; i < DRAWS; i++) {
        uint64_t index = keyspace_next(&keys);

        assert_true(index < count);
        seen[index]++;
    }
    for (uint64_t k = 1; k <= count; k++)
        sum += pow((double)k, -exponent);
    for (unsigned k = 1; k <= ranks; k++) {
        double share = pow((double)k, -exponent) / sum;
        double deviation = sqrt(DRAWS * share * (1 - share));

        assert_true(fabs(seen[k - 1] - DRAWS * share) <= 5 * deviation);
    }
    free(seen);
}

static void zipf_ranks_follow_the_law_for_exponents_below_at_and_above_one(void **state)
{
    (void)state;
    check_law(1000, 0.5, 20);
    check_law(1000, 0.99, 20);
    check_law(1000, 1.0, 20);
    check_law(1000, 1.5, 20);
    check_law(1, 0.99, 1);
    check_law(2, 0.99, 2);
}

static void without_an_exponent_all_keys_are_as_likely(void **state)
{
    (void)state;
    check_law(10, 0.0, 10);
}

static void the_same_seed_gives_the_same_keys(void **state)
{
    struct keyspace a, b, c;
    unsigned differences = 0;

    (void)state;
    keyspace_init(&a, 1000000, 16, 0, 1);
    keyspace_init(&b, 1000000, 16, 0, 1);
    keyspace_init(&c, 1000000, 16, 0, 2);
    for (int i = 0; i < 100; i++) {
        uint64_t next = keyspace_next(&a);

        assert_int_equal(next, keyspace_next(&b));
        differences += next != keyspace_next(&c);
    }
    assert_true(differences > 90);
}

static int by_text(const void *one, const void *two)
{
    return memcmp(one, two, 4);
}

static void keys_differ_and_have_the_size_asked_for(void **state)
{
    static char texts[20000][4];
    struct keyspace keys;
    char key[20];

    (void)state;
    assert_int_equal(keyspace_init(&keys, 20000, 4, 0, 1), 0);
    for (uint64_t i = 0; i < 20000; i++)
        keyspace_key(&keys, i, texts[i]);
    qsort(texts, 20000, 4, by_text);
    for (unsigned i = 1; i < 20000; i++)
        assert_int_not_equal(memcmp(texts[i - 1], texts[i], 4), 0);
    assert_int_equal(keyspace_init(&keys, 10, 19, 0, 1), 0);
    key[19] = '!';
    keyspace_key(&keys, 9, key);
    assert_memory_equal(key, "kkkkkkk", 7);
    assert_int_equal(key[19], '!');
}

static void more_keys_than_fit_are_refused(void **state)
{
    struct keyspace keys;

    (void)state;
    assert_int_equal(keyspace_init(&keys, 32, 1, 0, 1), 0);
    assert_int_equal(keyspace_init(&keys, 33, 1, 0, 1), -1);
    assert_int_equal(keyspace_init(&keys, 0, 16, 0, 1), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zipf_ranks_follow_the_law_for_exponents_below_at_and_above_one),
        cmocka_unit_test(without_an_exponent_all_keys_are_as_likely),
        cmocka_unit_test(the_same_seed_gives_the_same_keys),
        cmocka_unit_test(keys_differ_and_have_the_size_asked_for),
        cmocka_unit_test(more_keys_than_fit_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
