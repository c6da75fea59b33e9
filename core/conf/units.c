#include "conf/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

struct unit {
    const char *name;
    uint64_t factor;
};

/* The first name of each factor is the one that is written out. */
static const struct unit SIZE_UNITS[] = {
    {"TiB", 1ull << 40}, {"GiB", 1ull << 30}, {"MiB", 1ull << 20}, {"KiB", 1ull << 10}, {"B", 1},
    {"T", 1ull << 40},   {"G", 1ull << 30},   {"M", 1ull << 20},   {"K", 1ull << 10},   {NULL, 0},
};

static const struct unit DURATION_UNITS[] = {
    {"d", 86400000000ull},
    {"h", 3600000000ull},
    {"m", 60000000ull},
    {"s", 1000000ull},
    {"ms", 1000ull},
    {"us", 1},
    {NULL, 0},
};

/* What to say, for each way to be wrong. */
struct complaints {
    const char *syntax, *no_unit;
};

static const struct complaints SIZE_COMPLAINTS = {
    "is not a size; write 64M or 2G", "has no unit; write it as 64K, 64M or 2G, or B for bytes"};
static const struct complaints DURATION_COMPLAINTS = {
    "is not a duration; write 150ms, 2s, 5m or 1h", "has no unit; write 150ms, 2s, 5m or 1h"};
static const char NEGATIVE[] = "is negative";
static const char TOO_BIG[] = "is too big";

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Leaves *rest_out behind the digits. */
static const char *parse_digits(const char *text, const char *syntax, uint64_t *value_out,
                                const char **rest_out)
{
    uint64_t value = 0;

    if (text[0] == '-' && is_digit(text[1]))
        return NEGATIVE;
    if (!is_digit(*text))
        return syntax;
    for (; is_digit(*text); text++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
            return TOO_BIG;
    }
    *value_out = value;
    *rest_out = text;
    return NULL;
}

static const char *parse_with_unit(const char *text, const struct unit *units,
                                   const struct complaints *complaints, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *wrong = parse_digits(text, complaints->syntax, &value, &text);

    if (wrong != NULL)
        return wrong;
    while (*text == ' ')
        text++;
    if (*text == '\0') {
        if (value != 0)
            return complaints->no_unit;
        *value_out = 0;
        return NULL;
    }
    for (; units->name != NULL; units++) {
        if (strcmp(units->name, text) != 0)
            continue;
        if (__builtin_mul_overflow(value, units->factor, &value) || value > INT64_MAX)
            return TOO_BIG;
        *value_out = value;
        return NULL;
    }
    return complaints->syntax;
}

const char *units_parse_size(const char *text, uint64_t *bytes_out)
{
    return parse_with_unit(text, SIZE_UNITS, &SIZE_COMPLAINTS, bytes_out);
}

const char *units_parse_duration(const char *text, uint64_t *us_out)
{
    return parse_with_unit(text, DURATION_UNITS, &DURATION_COMPLAINTS, us_out);
}

const char *units_parse_percent(const char *text, uint64_t *percent_out)
{
    static const char SYNTAX[] = "is not a percentage; write 80%";
    uint64_t value = 0;
    const char *wrong = parse_digits(text, SYNTAX, &value, &text);

    if (wrong != NULL)
        return wrong;
    if (strcmp(text, "%") != 0)
        return *text == '\0' ? "has no unit; write 80%" : SYNTAX;
    if (value > 100)
        return "is more than 100%";
    *percent_out = value;
    return NULL;
}

const char *units_parse_int(const char *text, int64_t *value_out)
{
    static const char SYNTAX[] = "is not a whole number";
    bool is_negative = text[0] == '-';
    uint64_t value = 0;
    const char *wrong = parse_digits(text + is_negative, SYNTAX, &value, &text);

    if (wrong == NEGATIVE)
        return SYNTAX;
    if (wrong != NULL)
        return wrong;
    if (*text != '\0')
        return SYNTAX;
    if (value > INT64_MAX)
        return TOO_BIG;
    *value_out = is_negative ? -(int64_t)value : (int64_t)value;
    return NULL;
}

const char *units_parse_bool(const char *text, bool *value_out)
{
    static const char *const YES[] = {"on", "true", "yes"};
    static const char *const NO[] = {"off", "false", "no"};

    for (size_t i = 0; i < sizeof(YES) / sizeof(YES[0]); i++) {
        if (strcasecmp(text, YES[i]) == 0 || strcasecmp(text, NO[i]) == 0) {
            *value_out = strcasecmp(text, YES[i]) == 0;
            return NULL;
        }
    }
    return "is neither on nor off";
}

static const char *format_with_unit(uint64_t value, const struct unit *unit,
                                    char text[UNITS_TEXT_SIZE])
{
    if (value == 0) {
        strcpy(text, "0");
        return text;
    }
    while (value % unit->factor != 0)
        unit++;
    snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "%s", value / unit->factor, unit->name);
    return text;
}

const char *units_format_size(uint64_t bytes, char text[UNITS_TEXT_SIZE])
{
    return format_with_unit(bytes, SIZE_UNITS, text);
}

const char *units_format_duration(uint64_t us, char text[UNITS_TEXT_SIZE])
{
    return format_with_unit(us, DURATION_UNITS, text);
}
