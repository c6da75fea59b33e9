#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "api/text.h"

static void assert_go(const void *data, size_t len, const char *expected)
{
    struct buf b = {0};

    text_add_go_string(&b, data, len);
    assert_int_equal(b.len, strlen(expected));
    assert_memory_equal(b.data, expected, b.len);
    buf_fini(&b);
}

static void test_strings_are_escaped_as_go_does(void **state)
{
    (void)state;
    assert_go("plain", 5, "\"plain\"");
    assert_go("a\"b\\c", 5, "\"a\\\"b\\\\c\"");
    assert_go("\n\r\t\x01\x1f", 5, "\"\\n\\r\\t\\u0001\\u001f\"");
    assert_go("<a>&", 4, "\"\\u003ca\\u003e\\u0026\"");
    assert_go("\xc3\xa4\x7f", 3, "\"\xc3\xa4\x7f\"");
    assert_go("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa", 9, "\"\\u2028\\u2029\xe2\x80\xaa\"");
    assert_go("a\xff\xc3", 3, "\"a\\ufffd\\ufffd\"");
}

static void test_utf8_is_judged_as_rfc_3629_says(void **state)
{
    static const struct {
        const char *bytes;
        bool is_good;
    } cases[] = {
        {"", true},
        {"abc", true},
        {"\xc2\x80", true},
        {"\xc1\xbf", false},
        {"\x80", false},
        {"\xe0\xa0\x80", true},
        {"\xe0\x9f\xbf", false},
        {"\xed\x9f\xbf", true},
        {"\xed\xa0\x80", false},
        {"\xf0\x90\x80\x80", true},
        {"\xf0\x8f\xbf\xbf", false},
        {"\xf4\x8f\xbf\xbf", true},
        {"\xf4\x90\x80\x80", false},
        {"\xf5\x80\x80\x80", false},
        {"\xe2\x82", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(text_is_utf8(cases[i].bytes, strlen(cases[i].bytes)), cases[i].is_good);
}

static void test_base64_goes_there_and_back(void **state)
{
    static const char *const vectors[][2] = {{"", ""},
                                             {"f", "Zg=="},
                                             {"fo", "Zm8="},
                                             {"foo", "Zm9v"},
                                             {"foob", "Zm9vYg=="},
                                             {"fooba", "Zm9vYmE="},
                                             {"foobar", "Zm9vYmFy"}};

    (void)state;
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        struct buf b = {0}, back = {0};

        text_add_base64(&b, vectors[i][0], strlen(vectors[i][0]));
        assert_int_equal(b.len, strlen(vectors[i][1]));
        if (b.len > 0)
            assert_memory_equal(b.data, vectors[i][1], b.len);
        assert_true(text_decode_base64(&back, vectors[i][1], strlen(vectors[i][1])));
        assert_int_equal(back.len, strlen(vectors[i][0]));
        if (back.len > 0)
            assert_memory_equal(back.data, vectors[i][0], back.len);
        buf_fini(&b);
        buf_fini(&back);
    }
}

static void test_what_is_not_base64_is_refused(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_false(text_decode_base64(&b, "a", 1));
    assert_false(text_decode_base64(&b, "ab c", 4));
    assert_false(text_decode_base64(&b, "ab\0c", 4));
    assert_true(text_decode_base64(&b, "-_8", 3)); /* the URL alphabet */
    assert_memory_equal(b.data + b.len - 2, "\xfb\xff", 2);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings_are_escaped_as_go_does),
        cmocka_unit_test(test_utf8_is_judged_as_rfc_3629_says),
        cmocka_unit_test(test_base64_goes_there_and_back),
        cmocka_unit_test(test_what_is_not_base64_is_refused),
    };

    return cmocka_run_group_tests_name("api/text", tests, NULL, NULL);
}
