#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "bench/load/stanzas.h"

static struct stanzas read_text(const char *text)
{
    FILE *from = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
    struct stanzas stanzas;

    assert_non_null(from);
    assert_int_equal(stanzas_read(&stanzas, from), 0);
    fclose(from);
    return stanzas;
}

static void assert_value(const struct stanzas *stanzas, const char *key, const char *value)
{
    const struct stanza *found = stanzas_find(stanzas, key);

    assert_non_null(found);
    assert_int_equal(found->value.len, strlen(value));
    assert_memory_equal(found->value.data, value, strlen(value));
}

static void stanzas_are_split_at_empty_lines_and_named_by_three_fields(void **state)
{
    struct stanzas s = read_text("Package: b\nVersion: 1.0+x\nArchitecture: amd64\n\n\n"
                                 "Package: a\nArchitecture: all\nVersion: 2\nTail: yes");

    (void)state;
    assert_int_equal(s.count, 2);
    assert_value(&s, "deb/b/1.0+x/amd64", "Package: b\nVersion: 1.0+x\nArchitecture: amd64");
    assert_value(&s, "deb/a/2/all", "Package: a\nArchitecture: all\nVersion: 2\nTail: yes");
    assert_null(stanzas_find(&s, "deb/a/1/all"));
    assert_int_equal(s.value_max, 49);
    stanzas_fini(&s);
}

static void equal_names_are_numbered_in_the_order_of_the_file(void **state)
{
    struct stanzas s = read_text("Package: p\nX: 1\n\nPackage: p\nX: 2\n\nPackage: p\nX: 3\n");

    (void)state;
    assert_value(&s, "deb/p//", "Package: p\nX: 1");
    assert_value(&s, "deb/p//#2", "Package: p\nX: 2");
    assert_value(&s, "deb/p//#3", "Package: p\nX: 3\n");
    stanzas_fini(&s);
}

static void an_empty_file_is_an_error(void **state)
{
    struct stanzas s;
    FILE *from = fopen("/dev/null", "r");

    (void)state;
    assert_int_equal(stanzas_read(&s, from), -1);
    fclose(from);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stanzas_are_split_at_empty_lines_and_named_by_three_fields),
        cmocka_unit_test(equal_names_are_numbered_in_the_order_of_the_file),
        cmocka_unit_test(an_empty_file_is_an_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
