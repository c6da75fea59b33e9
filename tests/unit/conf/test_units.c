#include "conf/units.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect_size(const char *text, uint64_t bytes)
{
    uint64_t value = 1;

    assert_null(units_parse_size(text, &value));
    assert_true(value == bytes);
}

static void expect_duration(const char *text, uint64_t us)
{
    uint64_t value = 1;

    assert_null(units_parse_duration(text, &value));
    assert_true(value == us);
}

static void test_sizes_have_binary_units(void **state)
{
    (void)state;
    expect_size("0", 0);
    expect_size("500B", 500);
    expect_size("64K", 65536);
    expect_size("64KiB", 65536);
    expect_size("3 MiB", 3 << 20);
    expect_size("512M", 512ull << 20);
    expect_size("2G", 2ull << 30);
    expect_size("1TiB", 1ull << 40);
}

static void test_durations_are_microseconds(void **state)
{
    (void)state;
    expect_duration("0", 0);
    expect_duration("7us", 7);
    expect_duration("150ms", 150000);
    expect_duration("2s", 2000000);
    expect_duration("5m", 300000000);
    expect_duration("1h", 3600000000ull);
    expect_duration("2d", 172800000000ull);
}

static void test_a_number_without_its_unit_is_refused(void **state)
{
    uint64_t value;

    (void)state;
    assert_non_null(strstr(units_parse_size("64", &value), "has no unit"));
    assert_non_null(strstr(units_parse_duration("100", &value), "has no unit"));
    assert_non_null(strstr(units_parse_percent("80", &value), "has no unit"));
}

static void test_wrong_and_ambiguous_units_are_refused(void **state)
{
    static const char *const SIZES[] = {"10X", "64KB", "64kb", "1.5G", "",
                                        "K",   "1G2",  "+1K",  " 1K"};
    static const char *const DURATIONS[] = {"1min", "1S", "1.5s", "", "s", "1s2", "0x1s", "1m30s"};
    uint64_t value;

    (void)state;
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++)
        assert_string_equal(units_parse_size(SIZES[i], &value), "is not a size; write 64M or 2G");
    for (size_t i = 0; i < sizeof(DURATIONS) / sizeof(DURATIONS[0]); i++)
        assert_string_equal(units_parse_duration(DURATIONS[i], &value),
                            "is not a duration; write 150ms, 2s, 5m or 1h");
}

static void test_negative_values_are_refused(void **state)
{
    uint64_t value;

    (void)state;
    assert_string_equal(units_parse_size("-1K", &value), "is negative");
    assert_string_equal(units_parse_duration("-1s", &value), "is negative");
    assert_string_equal(units_parse_percent("-1%", &value), "is negative");
}

static void test_values_that_overflow_are_refused(void **state)
{
    uint64_t value;
    int64_t number;

    (void)state;
    assert_string_equal(units_parse_size("18446744073709551616B", &value), "is too big");
    assert_string_equal(units_parse_size("18446744073709551615B", &value), "is too big");
    assert_string_equal(units_parse_size("17179869184G", &value), "is too big");
    assert_string_equal(units_parse_duration("9999999999999d", &value), "is too big");
    assert_string_equal(units_parse_int("9223372036854775808", &number), "is too big");
    assert_string_equal(units_parse_percent("101%", &value), "is more than 100%");
    expect_size("9223372036854775807B", INT64_MAX);
}

static void test_whole_numbers_may_be_negative(void **state)
{
    int64_t value = 0;

    (void)state;
    assert_null(units_parse_int("-42", &value));
    assert_true(value == -42);
    assert_null(units_parse_int("9223372036854775807", &value));
    assert_true(value == INT64_MAX);
    assert_non_null(units_parse_int("4x", &value));
    assert_non_null(units_parse_int("--4", &value));
    assert_non_null(units_parse_int("-", &value));
    assert_non_null(units_parse_int("", &value));
}

static void test_switches_have_three_pairs_of_words(void **state)
{
    static const char *const YES[] = {"on", "true", "yes", "ON"};
    static const char *const NO[] = {"off", "false", "no", "No"};
    bool value;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        value = false;
        assert_null(units_parse_bool(YES[i], &value));
        assert_true(value);
        assert_null(units_parse_bool(NO[i], &value));
        assert_false(value);
    }
    assert_non_null(units_parse_bool("1", &value));
    assert_non_null(units_parse_bool("", &value));
}

static void test_percentages_are_0_to_100(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_null(units_parse_percent("80%", &value));
    assert_true(value == 80);
    assert_null(units_parse_percent("0%", &value));
    assert_true(value == 0);
    assert_non_null(units_parse_percent("80 %", &value));
}

static void test_what_is_formatted_reads_back_the_same(void **state)
{
    static const uint64_t VALUES[] = {1,    1000,    1023,        1024,        60000000,
                                      1500, 1 << 20, 86400000000, 3600000000u, INT64_MAX};
    char text[UNITS_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(VALUES) / sizeof(VALUES[0]); i++) {
        expect_size(units_format_size(VALUES[i], text), VALUES[i]);
        expect_duration(units_format_duration(VALUES[i], text), VALUES[i]);
    }
    assert_string_equal(units_format_size(64 << 20, text), "64MiB");
    assert_string_equal(units_format_duration(1500, text), "1500us");
    assert_string_equal(units_format_duration(0, text), "0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_have_binary_units),
        cmocka_unit_test(test_durations_are_microseconds),
        cmocka_unit_test(test_a_number_without_its_unit_is_refused),
        cmocka_unit_test(test_wrong_and_ambiguous_units_are_refused),
        cmocka_unit_test(test_negative_values_are_refused),
        cmocka_unit_test(test_values_that_overflow_are_refused),
        cmocka_unit_test(test_whole_numbers_may_be_negative),
        cmocka_unit_test(test_switches_have_three_pairs_of_words),
        cmocka_unit_test(test_percentages_are_0_to_100),
        cmocka_unit_test(test_what_is_formatted_reads_back_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
