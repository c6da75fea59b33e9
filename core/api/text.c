#include "api/text.h"

#include <string.h>

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Length of the UTF-8 sequence at `at` (RFC 3629: no surrogates, nothing overlong), 0 if bad. */
static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    uint8_t low = 0x80, high = 0xbf;
    size_t len;

    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    len = at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    if (at[0] == 0xe0)
        low = 0xa0;
    else if (at[0] == 0xed)
        high = 0x9f;
    else if (at[0] == 0xf0)
        low = 0x90;
    else if (at[0] == 0xf4)
        high = 0x8f;
    if (at[1] < low || at[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool text_is_utf8(const void *data, size_t len)
{
    const uint8_t *at = data, *end = at + len;

    while (at < end) {
        size_t step = utf8_sequence(at, (size_t)(end - at));

        if (step == 0)
            return false;
        at += step;
    }
    return true;
}

void text_add_base64(struct buf *to, const void *data, size_t len)
{
    const uint8_t *at = data;
    char *out = (char *)buf_reserve(to, (len + 2) / 3 * 4);
    char *begin = out;

    for (; len >= 3; len -= 3, at += 3) {
        *out++ = base64_digits[at[0] >> 2];
        *out++ = base64_digits[(at[0] & 3) << 4 | at[1] >> 4];
        *out++ = base64_digits[(at[1] & 15) << 2 | at[2] >> 6];
        *out++ = base64_digits[at[2] & 63];
    }
    if (len > 0) {
        uint8_t second = len == 2 ? at[1] : 0;

        *out++ = base64_digits[at[0] >> 2];
        *out++ = base64_digits[(at[0] & 3) << 4 | second >> 4];
        *out++ = len == 2 ? base64_digits[(second & 15) << 2] : '=';
        *out++ = '=';
    }
    to->len += (size_t)(out - begin);
}

static int base64_value(char c)
{
    const char *at = c == '\0' ? NULL : strchr(base64_digits, c);

    if (c == '-') /* the URL alphabet too, for cursors in query strings */
        return 62;
    if (c == '_')
        return 63;
    return at == NULL ? -1 : (int)(at - base64_digits);
}

bool text_decode_base64(struct buf *to, const char *text, size_t len)
{
    uint32_t bits = 0;
    unsigned bits_count = 0;

    while (len > 0 && text[len - 1] == '=')
        len--;
    if (len % 4 == 1)
        return false;
    for (size_t i = 0; i < len; i++) {
        int value = base64_value(text[i]);

        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        bits_count += 6;
        if (bits_count >= 8) {
            bits_count -= 8;
            buf_add_u8(to, (uint8_t)(bits >> bits_count));
        }
    }
    return true;
}

static void add_go_ascii(struct buf *to, uint8_t c)
{
    switch (c) {
    case '"':
        buf_add_text(to, "\\\"");
        break;
    case '\\':
        buf_add_text(to, "\\\\");
        break;
    case '\n':
        buf_add_text(to, "\\n");
        break;
    case '\r':
        buf_add_text(to, "\\r");
        break;
    case '\t':
        buf_add_text(to, "\\t");
        break;
    default:
        if (c < 0x20 || c == '<' || c == '>' || c == '&')
            buf_addf(to, "\\u%04x", c);
        else
            buf_add_u8(to, c);
    }
}

void text_add_go_string(struct buf *to, const void *data, size_t len)
{
    const uint8_t *at = data, *end = at + len;

    buf_add_u8(to, '"');
    while (at < end) {
        size_t step = utf8_sequence(at, (size_t)(end - at));

        if (step == 0) {
            buf_add_text(to, "\\ufffd");
            step = 1;
        } else if (step == 1) {
            add_go_ascii(to, at[0]);
        } else if (step == 3 && at[0] == 0xe2 && at[1] == 0x80 && (at[2] & 0xfe) == 0xa8) {
            buf_addf(to, "\\u202%x", at[2] & 0x0f); /* U+2028 and U+2029 break JavaScript */
        } else {
            buf_add(to, at, step);
        }
        at += step;
    }
    buf_add_u8(to, '"');
}
