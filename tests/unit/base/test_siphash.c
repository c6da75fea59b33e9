#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "base/siphash.h"

/* The algorithm as its paper states it, byte by byte, with the numbers of rounds as parameters, so
 * that the published vectors of SipHash-2-4 vouch for the reference. */
static uint64_t rotate(uint64_t x, int n)
{
    return (x << n) | (x >> (64 - n));
}

static void rounds(uint64_t v[4], int count)
{
    while (count-- > 0) {
        v[0] += v[1], v[1] = rotate(v[1], 13), v[1] ^= v[0], v[0] = rotate(v[0], 32);
        v[2] += v[3], v[3] = rotate(v[3], 16), v[3] ^= v[2];
        v[0] += v[3], v[3] = rotate(v[3], 21), v[3] ^= v[0];
        v[2] += v[1], v[1] = rotate(v[1], 17), v[1] ^= v[2], v[2] = rotate(v[2], 32);
    }
}

static uint64_t reference(const uint8_t *data, size_t len, const uint64_t key[2], int c, int d)
{
    uint64_t v[4] = {0x736f6d6570736575u ^ key[0], 0x646f72616e646f6du ^ key[1],
                     0x6c7967656e657261u ^ key[0], 0x7465646279746573u ^ key[1]};

    for (size_t word = 0; word <= len / 8; word++) {
        uint64_t m = 0;

        for (size_t i = 0; i < 8; i++) {
            size_t at = word * 8 + i;
            uint64_t byte = at < len ? data[at] : 0;

            if (word == len / 8 && i == 7)
                byte = len & 0xff;
            m |= byte << (8 * i);
        }
        v[3] ^= m;
        rounds(v, c);
        v[0] ^= m;
    }
    v[2] ^= 0xff;
    rounds(v, d);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static const uint64_t paper_key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

static void the_reference_agrees_with_the_papers_vector_of_siphash_2_4(void **state)
{
    uint8_t data[15];

    (void)state;
    for (uint8_t i = 0; i < sizeof(data); i++)
        data[i] = i;
    assert_true(reference(data, sizeof(data), paper_key, 2, 4) == 0xa129ca6149be45e5u);
    assert_true(reference(data, 0, paper_key, 2, 4) == 0x726fdb47dd0e0e31u);
}

static void every_length_agrees_with_the_reference(void **state)
{
    uint8_t data[300];

    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + 1);
    for (size_t len = 0; len <= sizeof(data); len++)
        assert_true(siphash13(data, len, paper_key) == reference(data, len, paper_key, 1, 3));
}

static void alignment_does_not_matter(void **state)
{
    uint8_t data[64];

    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        memset(data, 0, sizeof(data));
        memcpy(data + shift, "the same bytes", 14);
        assert_true(siphash13(data + shift, 14, paper_key) ==
                    siphash13("the same bytes", 14, paper_key));
    }
}

static void the_key_and_every_bit_of_the_input_matter(void **state)
{
    const uint64_t other_key[2] = {paper_key[0], paper_key[1] ^ 1};
    uint8_t data[9] = "12345678";

    (void)state;
    assert_true(siphash13(data, 9, paper_key) != siphash13(data, 9, other_key));
    for (int bit = 0; bit < 72; bit++) {
        uint64_t before = siphash13(data, 9, paper_key);

        data[bit / 8] ^= (uint8_t)(1 << (bit % 8));
        assert_true(siphash13(data, 9, paper_key) != before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_agrees_with_the_papers_vector_of_siphash_2_4),
        cmocka_unit_test(every_length_agrees_with_the_reference),
        cmocka_unit_test(alignment_does_not_matter),
        cmocka_unit_test(the_key_and_every_bit_of_the_input_matter),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
