#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/buf.h"

static void appended_pieces_follow_each_other(void **state)
{
    struct buf b = {0};

    (void)state;
    buf_add(&b, NULL, 0);
    assert_int_equal(b.len, 0);
    buf_add(&b, "ab", 2);
    buf_add_text(&b, "cd");
    buf_addf(&b, "%d-%s", 12, "x");
    buf_add_u8(&b, 0xff);
    assert_int_equal(b.len, 9);
    assert_memory_equal(b.data, "abcd12-x\xff", 9);
    buf_fini(&b);
    assert_null(b.data);
}

static void numbers_are_little_endian(void **state)
{
    static const uint8_t want[] = {0x02, 0x01, 4, 3, 2, 1, 8, 7, 6, 5, 4, 3, 2, 1};
    struct buf b = {0};

    (void)state;
    buf_add_u16(&b, 0x0102);
    buf_add_u32(&b, 0x01020304);
    buf_add_u64(&b, 0x0102030405060708u);
    assert_int_equal(b.len, sizeof(want));
    assert_memory_equal(b.data, want, sizeof(want));
    buf_fini(&b);
}

static void growing_keeps_what_was_there_and_reset_keeps_the_memory(void **state)
{
    struct buf b = {0};
    uint8_t *data;

    (void)state;
    for (uint32_t i = 0; i < 10000; i++)
        buf_add_u32(&b, i);
    for (uint32_t i = 0; i < 10000; i++)
        assert_memory_equal(b.data + i * 4, &i, 4);
    data = b.data;
    buf_reset(&b);
    assert_int_equal(b.len, 0);
    buf_add_text(&b, "again");
    assert_ptr_equal(b.data, data);
    buf_fini(&b);
}

static void reserved_bytes_count_only_once_the_length_is_raised(void **state)
{
    struct buf b = {0};

    (void)state;
    memset(buf_reserve(&b, 1000), 'x', 1000);
    assert_int_equal(b.len, 0);
    b.len += 10;
    buf_add_text(&b, "y");
    assert_memory_equal(b.data, "xxxxxxxxxxy", 11);
    buf_fini(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appended_pieces_follow_each_other),
        cmocka_unit_test(numbers_are_little_endian),
        cmocka_unit_test(growing_keeps_what_was_there_and_reset_keeps_the_memory),
        cmocka_unit_test(reserved_bytes_count_only_once_the_length_is_raised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
