#include "base/log_line.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/siphash.h"

/* Kept free for the end: ,"cut":true} and the newline. */
#define END_BYTES 16u
/* The longest that one byte becomes, in JSON: \\xNN */
#define ESCAPED_MAX 5u
#define KEY_SHOWN   8u

static const char *const level_names[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};
static const char *const level_labels[LOG_LEVEL_COUNT] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
static const char level_priorities[LOG_LEVEL_COUNT] = {'7', '6', '4', '3'};

static size_t room(const struct log_line *line)
{
    return LOG_LINE_MAX - END_BYTES - line->len;
}

/* All of it or nothing. */
static bool put(struct log_line *line, const char *text, size_t len)
{
    if (len > room(line)) {
        line->is_cut = true;
        return false;
    }
    memcpy(line->text + line->len, text, len);
    line->len += len;
    return true;
}

static bool put_text(struct log_line *line, const char *text)
{
    return put(line, text, strlen(text));
}

static bool DKV_PRINTF(2, 3) putf(struct log_line *line, const char *fmt, ...)
{
    char text[64];
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (len < 0 || (size_t)len >= sizeof(text)) {
        line->is_cut = true;
        return false;
    }
    return put(line, text, (size_t)len);
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7f && c != '\\' && c != '"';
}

static void put_escaped(struct log_line *line, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        /* One byte stays for the closing quote. */
        if (room(line) < ESCAPED_MAX + 1) {
            line->is_cut = true;
            return;
        }
        if (is_plain(c))
            line->text[line->len++] = (char)c;
        else if (c == '"')
            put(line, "\\\"", 2);
        else
            putf(line, line->is_json ? "\\\\x%02x" : "\\x%02x", c);
    }
}

static void put_quoted(struct log_line *line, const char *bytes, size_t len)
{
    put(line, "\"", 1);
    put_escaped(line, bytes, len);
    line->text[line->len++] = '"';
}

static bool is_bare_word(const char *text)
{
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++)
        if (!is_plain((unsigned char)*text) || *text == ' ' || *text == '=')
            return false;
    return true;
}

static void put_string(struct log_line *line, const char *text)
{
    if (text == NULL)
        put_text(line, line->is_json ? "null" : "-");
    else if (line->is_json || !is_bare_word(text))
        put_quoted(line, text, strlen(text));
    else
        put_escaped(line, text, strlen(text));
}

static bool put_name(struct log_line *line, const char *name)
{
    size_t len = line->len;

    /* The value of a name that is written needs room too, if only for an empty string. */
    if (room(line) < strlen(name) + ESCAPED_MAX + 8) {
        line->is_cut = true;
        return false;
    }
    if (line->is_json)
        putf(line, "%s\"%s\":", line->text[len - 1] == '{' ? "" : ",", name);
    else
        putf(line, " %s=", name);
    return line->len > len; /* false too for a name that is absurdly long */
}

static void put_named(struct log_line *line, const char *name, const char *text)
{
    if (put_name(line, name))
        put_string(line, text);
}

static void put_time(struct log_line *line, int64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    char text[32];
    struct tm tm;

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    putf(line, "%s.%06dZ", text, (int)(wall_us % 1000000));
}

static void begin_json(struct log_line *line, const struct log_head *head)
{
    put_text(line, "{\"ts\":\"");
    put_time(line, head->wall_us);
    put(line, "\"", 1);
    put_named(line, "level", level_names[head->level]);
    put_named(line, "comp", head->comp);
    put_named(line, "msg", head->msg);
}

static void begin_text(struct log_line *line, const struct log_head *head)
{
    put_time(line, head->wall_us);
    putf(line, " %s ", level_labels[head->level]);
    put_escaped(line, head->comp, strlen(head->comp));
    put(line, ": ", 2);
    put_escaped(line, head->msg, strlen(head->msg));
}

void log_line_begin(struct log_line *line, const struct log_head *head)
{
    line->len = 0;
    line->is_json = head->is_json;
    line->is_cut = false;
    line->level = head->level;
    if (head->has_priority)
        putf(line, "<%c>", level_priorities[head->level]);
    if (head->is_json)
        begin_json(line, head);
    else
        begin_text(line, head);
    put_named(line, "event", head->event);
    if (head->node != NULL)
        put_named(line, "node", head->node);
}

/* A hash under a key of this process tells lines about one key apart without telling the key. */
static void put_key(struct log_line *line, struct dkv_slice key, const uint64_t hash_key[2])
{
    char shown[KEY_SHOWN];
    size_t len = key.len < KEY_SHOWN ? key.len : KEY_SHOWN;

    if (line->level != LOG_DEBUG) {
        putf(line, line->is_json ? "\"#%016" PRIx64 "\"" : "#%016" PRIx64,
             siphash13(key.data, key.len, hash_key));
        return;
    }
    if (len > 0)
        memcpy(shown, key.data, len);
    put_quoted(line, shown, len);
}

void log_line_add(struct log_line *line, const struct log_field *field, const uint64_t hash_key[2])
{
    size_t len = line->len;
    bool fits = true;

    if (!put_name(line, field->name))
        return;
    switch (field->kind) {
    case LOG_KIND_U64:
        fits = putf(line, "%" PRIu64, field->u64);
        break;
    case LOG_KIND_I64:
        fits = putf(line, "%" PRId64, field->i64);
        break;
    case LOG_KIND_BOOL:
        fits = put_text(line, field->is_true ? "true" : "false");
        break;
    case LOG_KIND_MS:
        fits = putf(line, "%" PRIu64 ".%03u", field->u64 / 1000, (unsigned)(field->u64 % 1000));
        break;
    case LOG_KIND_STR:
        put_string(line, field->str);
        break;
    case LOG_KIND_KEY:
        fits = room(line) >= 64;
        if (fits)
            put_key(line, field->key, hash_key);
        line->is_cut = line->is_cut || !fits;
        break;
    case LOG_KIND_END:
        break;
    }
    if (!fits)
        line->len = len; /* a name without a value would break the line */
}

void log_line_end(struct log_line *line)
{
    const char *end = line->is_json ? (line->is_cut ? ",\"cut\":true}\n" : "}\n")
                                    : (line->is_cut ? " cut=true\n" : "\n");
    size_t len = strlen(end);

    memcpy(line->text + line->len, end, len + 1); /* END_BYTES were kept free */
    line->len += len;
}
