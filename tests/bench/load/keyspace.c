#include "bench/load/keyspace.h"

#include <math.h>
#include <string.h>

enum { DIGIT_BITS = 5, DIGITS_MAX = 13 };

static double random_unit(struct keyspace *keys)
{
    return (double)(rng_next(&keys->rng) >> 11) * 0x1p-53;
}

/* (exp(x) - 1) / x and log(1 + x) / x, which are 1 at 0 and lose their digits near it. */
static double expm1_over(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1.0 + x / 2.0;
}

static double log1p_over(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1.0 - x / 2.0;
}

static double weight(const struct keyspace *keys, double x)
{
    return exp(-keys->exponent * log(x));
}

/* The integral of weight from 1 to x, and its inverse. */
static double area(const struct keyspace *keys, double x)
{
    double log_x = log(x);

    return expm1_over((1.0 - keys->exponent) * log_x) * log_x;
}

static double area_inverse(const struct keyspace *keys, double y)
{
    double t = y * (1.0 - keys->exponent);

    return exp(log1p_over(t < -1.0 ? -1.0 : t) * y);
}

static uint64_t next_zipf(struct keyspace *keys)
{
    for (;;) {
        double u = keys->h_last + random_unit(keys) * (keys->h_first - keys->h_last);
        double x = area_inverse(keys, u);
        double rank = floor(x + 0.5);

        if (rank < 1.0)
            rank = 1.0;
        if (rank > (double)keys->count)
            rank = (double)keys->count;
        if (rank - x <= keys->shortcut || u >= area(keys, rank + 0.5) - weight(keys, rank))
            return (uint64_t)rank - 1;
    }
}

/* Room for 32^key_size keys, written with 13 digits at most. */
int keyspace_init(struct keyspace *keys, uint64_t count, size_t key_size, double exponent,
                  uint64_t seed)
{
    if (count == 0 || key_size == 0)
        return -1;
    if (key_size < DIGITS_MAX - 1 && count > (uint64_t)1 << (DIGIT_BITS * key_size))
        return -1;
    memset(keys, 0, sizeof(*keys));
    keys->count = count;
    keys->key_size = key_size;
    keys->exponent = exponent;
    rng_init(&keys->rng, seed);
    if (exponent > 0.0) {
        keys->h_first = area(keys, 1.5) - 1.0;
        keys->h_last = area(keys, (double)count + 0.5);
        keys->shortcut = 2.0 - area_inverse(keys, area(keys, 2.5) - weight(keys, 2.0));
    }
    return 0;
}

uint64_t keyspace_next(struct keyspace *keys)
{
    if (keys->exponent > 0.0)
        return next_zipf(keys);
    return rng_below(&keys->rng, keys->count);
}

/* Multiplication by an odd number permutes the numbers below a power of two. */
void keyspace_key(const struct keyspace *keys, uint64_t index, char *key_out)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    size_t used = keys->key_size < DIGITS_MAX - 1 ? keys->key_size : DIGITS_MAX - 1;
    uint64_t mask = ((uint64_t)1 << (DIGIT_BITS * used)) - 1;
    uint64_t place = (index * UINT64_C(0x9e3779b97f4a7c15)) & mask;

    memset(key_out, 'k', keys->key_size - used);
    for (size_t i = keys->key_size; i > keys->key_size - used; i--) {
        key_out[i - 1] = digits[place & 31];
        place >>= DIGIT_BITS;
    }
}
