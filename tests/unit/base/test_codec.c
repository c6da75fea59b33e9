#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/codec.h"

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

static void numbers_are_read_little_endian_and_unaligned(void **state)
{
    struct decoder d;

    (void)state;
    decoder_init(&d, bytes, sizeof(bytes));
    assert_int_equal(decoder_u8(&d), 1);
    assert_int_equal(decoder_u16(&d), 0x0302);
    assert_int_equal(decoder_u32(&d), 0x07060504);
    assert_true(decoder_u64(&d) == 0x0f0e0d0c0b0a0908u);
    assert_int_equal(decoder_left(&d), 0);
    assert_false(d.failed);
}

static void a_read_past_the_end_fails_for_good(void **state)
{
    struct decoder d;

    (void)state;
    decoder_init(&d, bytes, 3);
    assert_int_equal(decoder_u16(&d), 0x0201);
    assert_int_equal(decoder_u16(&d), 0);
    assert_true(d.failed);
    assert_int_equal(decoder_u8(&d), 0);
    assert_null(decoder_bytes(&d, 0));
    assert_true(d.failed);
}

static void borrowed_bytes_never_reach_past_the_end(void **state)
{
    struct decoder d;

    (void)state;
    decoder_init(&d, bytes, 4);
    assert_ptr_equal(decoder_bytes(&d, 4), bytes);
    assert_ptr_equal(decoder_bytes(&d, 0), bytes + 4);
    assert_null(decoder_bytes(&d, SIZE_MAX));
    assert_true(d.failed);
}

static void what_was_put_is_got(void **state)
{
    uint8_t to[9];

    (void)state;
    put_u16(to + 1, 0xfffe);
    assert_int_equal(get_u16(to + 1), 0xfffe);
    put_u32(to + 1, 0xfffefdfc);
    assert_int_equal(get_u32(to + 1), 0xfffefdfc);
    put_u64(to + 1, UINT64_MAX - 1);
    assert_true(get_u64(to + 1) == UINT64_MAX - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_little_endian_and_unaligned),
        cmocka_unit_test(a_read_past_the_end_fails_for_good),
        cmocka_unit_test(borrowed_bytes_never_reach_past_the_end),
        cmocka_unit_test(what_was_put_is_got),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
