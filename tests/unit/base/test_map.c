#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/rng.h"
#include "base/siphash.h"

static const uint64_t secret[2] = {1, 2};

static struct dkv_slice text(const char *s)
{
    return (struct dkv_slice){s, strlen(s)};
}

static void *number(uintptr_t n)
{
    return (void *)n;
}

static void keys_are_bytes_and_copied(void **state)
{
    struct map *m = map_new(secret);
    char key[] = "a\0b";
    void *value = NULL;

    (void)state;
    *map_put(m, (struct dkv_slice){key, 3}) = number(1);
    *map_put(m, (struct dkv_slice){key, 1}) = number(2);
    *map_put(m, (struct dkv_slice){NULL, 0}) = number(3);
    memset(key, 'z', 3);
    assert_int_equal(map_count(m), 3);
    assert_ptr_equal(*map_get(m, (struct dkv_slice){"a\0b", 3}), number(1));
    assert_ptr_equal(*map_get(m, text("a")), number(2));
    assert_ptr_equal(*map_get(m, text("")), number(3));
    assert_null(map_get(m, text("b")));
    assert_true(map_remove(m, text("a"), &value));
    assert_ptr_equal(value, number(2));
    assert_false(map_remove(m, text("a"), &value));
    assert_int_equal(map_count(m), 2);
    map_free(m);
}

static void a_second_put_finds_the_first_value(void **state)
{
    struct map *m = map_new(secret);

    (void)state;
    assert_null(*map_put(m, text("k")));
    *map_put(m, text("k")) = number(7);
    assert_ptr_equal(*map_put(m, text("k")), number(7));
    assert_int_equal(map_count(m), 1);
    map_free(m);
}

static void iteration_gives_every_key_once(void **state)
{
    struct map *m = map_new(secret);
    bool seen[100] = {false};
    struct dkv_slice key;
    void **value;
    size_t at = 0, count = 0;

    (void)state;
    for (uintptr_t i = 0; i < 100; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%d", (int)i);
        *map_put(m, text(name)) = number(i);
    }
    while (map_next(m, &at, &key, &value)) {
        uintptr_t i = (uintptr_t)*value;
        char name[16];

        snprintf(name, sizeof(name), "%d", (int)i);
        assert_int_equal(key.len, strlen(name));
        assert_memory_equal(key.data, name, key.len);
        assert_false(seen[i]);
        seen[i] = true;
        count++;
    }
    assert_int_equal(count, 100);
    map_clear(m);
    at = 0;
    assert_false(map_next(m, &at, NULL, NULL));
    assert_null(map_get(m, text("1")));
    map_free(m);
}

#define NAMES 2000

/* Against an array as the model; short and long keys, so that the arena is compacted too. */
static void random_changes_agree_with_a_model(void **state)
{
    struct map *m = map_new(secret);
    static uintptr_t model[NAMES];
    size_t count = 0;
    struct rng rng;

    (void)state;
    rng_init(&rng, 42);
    for (uintptr_t step = 1; step < 100000; step++) {
        size_t i = (size_t)rng_below(&rng, NAMES);
        char name[64];
        void *value = NULL;

        snprintf(name, sizeof(name), "%0*d", (int)(i % 40 + 4), (int)i);
        switch (rng_below(&rng, 3)) {
        case 0:
            count += model[i] == 0;
            *map_put(m, text(name)) = number(step);
            model[i] = step;
            break;
        case 1:
            assert_int_equal(map_remove(m, text(name), &value), model[i] != 0);
            assert_ptr_equal(value, number(model[i]));
            count -= model[i] != 0;
            model[i] = 0;
            break;
        default:
            assert_int_equal(map_get(m, text(name)) != NULL, model[i] != 0);
            if (model[i] != 0)
                assert_ptr_equal(*map_get(m, text(name)), number(model[i]));
        }
        assert_int_equal(map_count(m), count);
    }
    map_free(m);
}

/* Whoever knows the key can choose names that all want one slot: slow, but never wrong. */
static void keys_that_collide_are_kept_apart(void **state)
{
    struct map *m = map_new(secret);
    static char names[200][24];
    size_t count = 0;

    (void)state;
    for (int i = 0; count < 200; i++) {
        snprintf(names[count], sizeof(names[count]), "name-%d", i);
        if ((siphash13(names[count], strlen(names[count]), secret) & 0x1ff) == 0x1fe)
            count++;
    }
    for (size_t i = 0; i < count; i++)
        *map_put(m, text(names[i])) = number(i + 1);
    for (size_t i = 0; i < count; i += 2)
        assert_true(map_remove(m, text(names[i]), NULL));
    for (size_t i = 0; i < count; i++) {
        void **value = map_get(m, text(names[i]));

        if (i % 2 == 0)
            assert_null(value);
        else
            assert_ptr_equal(*value, number(i + 1));
    }
    map_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_bytes_and_copied),
        cmocka_unit_test(a_second_put_finds_the_first_value),
        cmocka_unit_test(iteration_gives_every_key_once),
        cmocka_unit_test(random_changes_agree_with_a_model),
        cmocka_unit_test(keys_that_collide_are_kept_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
