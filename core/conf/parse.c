/* The grammar of dkv.conf, a line at a time:
 *
 *   [section]   [section "name"]   key = value, "quoted value"   include = pattern   # or ; comment
 *
 * A comment starts at the beginning of a line or behind a blank.  In quotes \" \\ \n and \t are
 * escapes.  A line that is wrong is reported and skipped, the next one is read as if nothing had
 * happened. */
#include <string.h>

#include "base/buf.h"
#include "conf/internal.h"

struct line {
    struct conf *conf;
    struct conf_origin origin; /* column is kept up to date by at() */
    const char *start, *p, *end;
    bool has_comments; /* a line of a file, not the text of a variable */
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_key_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
}

static const struct conf_origin *at(struct line *line, const char *p)
{
    if (line->has_comments)
        line->origin.column = (unsigned)(p - line->start) + 1;
    return &line->origin;
}

static void skip_blanks(struct line *line)
{
    while (line->p < line->end && is_blank(*line->p))
        line->p++;
}

static bool is_comment_char(const struct line *line, const char *p)
{
    return line->has_comments && (*p == '#' || *p == ';') && (p == line->start || is_blank(p[-1]));
}

static bool at_end(struct line *line)
{
    skip_blanks(line);
    return line->p == line->end || is_comment_char(line, line->p);
}

/* What stands for backslash and c; 0 if nothing does. */
static char unescape(char c)
{
    switch (c) {
    case '"':
    case '\\':
        return c;
    case 'n':
        return '\n';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* False after complaining. */
static bool parse_quoted(struct line *line, const char **text_out)
{
    const char *open = line->p++;
    struct buf text = {0};

    while (line->p < line->end) {
        char c = *line->p++;

        if (c == '"') {
            *text_out = conf__strndup(line->conf, (const char *)text.data, text.len);
            buf_fini(&text);
            return true;
        }
        if (c == '\\') {
            c = line->p < line->end ? unescape(*line->p) : 0;
            if (c == 0) {
                conf_error(line->conf, at(line, line->p - 1),
                           "unknown escape; write \\\\ for a backslash, or \\\" \\n \\t");
                buf_fini(&text);
                return false;
            }
            line->p++;
        }
        buf_add(&text, &c, 1);
    }
    conf_error(line->conf, at(line, open), "this quote is never closed");
    buf_fini(&text);
    return false;
}

static bool parse_bare(struct line *line, const char **text_out)
{
    const char *start = line->p;
    const char *end;

    while (line->p < line->end && *line->p != ',' && !is_comment_char(line, line->p)) {
        if (*line->p == '"') {
            conf_error(line->conf, at(line, line->p),
                       "quote in the middle of a value; quote all of it");
            return false;
        }
        line->p++;
    }
    end = line->p;
    while (end > start && is_blank(end[-1]))
        end--;
    if (end == start) {
        conf_error(line->conf, at(line, start), "a value is missing here; write \"\" for empty");
        return false;
    }
    *text_out = conf__strndup(line->conf, start, (size_t)(end - start));
    return true;
}

static bool parse_item(struct line *line, struct buf *items)
{
    struct conf_item item = {0};
    const char *start;

    skip_blanks(line);
    start = line->p;
    item.origin = *at(line, start);
    if (start < line->end && *start == '"' ? !parse_quoted(line, &item.text)
                                           : !parse_bare(line, &item.text))
        return false;
    item.text = conf__expand(line->conf, &item.origin, item.text);
    buf_add(items, &item, sizeof(item));
    return true;
}

static bool parse_comma(struct line *line)
{
    if (*line->p == ',') {
        line->p++;
        return true;
    }
    conf_error(line->conf, at(line, line->p), "expected a comma or the end of the line");
    return false;
}

/* Items up to the end of the line. */
static bool parse_items(struct line *line, struct conf_entry *entry)
{
    struct buf items = {0};
    bool is_good;

    do {
        is_good = parse_item(line, &items);
    } while (is_good && !at_end(line) && (is_good = parse_comma(line)));
    entry->count = items.len / sizeof(*entry->items);
    if (is_good && entry->count > CONF_ITEMS_MAX) {
        conf_error(line->conf, &entry->origin, "more than %u values", CONF_ITEMS_MAX);
        is_good = false;
    }
    if (is_good) {
        entry->items = conf__alloc(line->conf, items.len);
        memcpy(entry->items, items.data, items.len);
    }
    buf_fini(&items);
    return is_good;
}

bool conf__split(struct conf *conf, const char *text, const struct conf_origin *origin,
                 struct conf_entry *entry)
{
    /* Columns would be those of the variable's text, which nobody sees with a ruler. */
    struct line line = {.conf = conf,
                        .origin = *origin,
                        .start = text,
                        .p = text,
                        .end = text + strlen(text),
                        .has_comments = false};

    return parse_items(&line, entry);
}

/* [kind] or [kind "name"] */
static void parse_section(struct line *line, struct conf_scope *scope_out)
{
    struct conf_origin origin = *at(line, line->p);
    const char *kind, *name = NULL;

    scope_out->is_unknown = true;
    line->p++;
    skip_blanks(line);
    kind = line->p;
    while (line->p < line->end && is_key_char(*line->p))
        line->p++;
    kind = conf__strndup(line->conf, kind, (size_t)(line->p - kind));
    skip_blanks(line);
    if (line->p < line->end && *line->p == '"' && !parse_quoted(line, &name))
        return;
    skip_blanks(line);
    if (line->p == line->end || *line->p != ']' || *kind == '\0') {
        conf_error(line->conf, at(line, line->p),
                   "not a section; write [section] or [section \"name\"]");
        return;
    }
    line->p++;
    if (!at_end(line))
        conf_error(line->conf, at(line, line->p), "only a comment may stand behind a section");
    conf__enter(line->conf, &origin, kind, name, scope_out);
}

static void parse_entry(struct line *line, const struct conf_reading *reading)
{
    struct conf_entry entry = {.origin = *at(line, line->p)};
    const char *key = line->p;

    while (line->p < line->end && is_key_char(*line->p))
        line->p++;
    entry.key = conf__strndup(line->conf, key, (size_t)(line->p - key));
    skip_blanks(line);
    if (*entry.key == '\0' || line->p == line->end || *line->p != '=') {
        conf_error(line->conf, at(line, line->p), "expected 'key = value' or '[section]'");
        return;
    }
    line->p++;
    if (at_end(line)) {
        conf_error(line->conf, at(line, line->p), "%s has no value; write \"\" for an empty one",
                   entry.key);
        return;
    }
    if (!parse_items(line, &entry))
        return;
    if (strcmp(entry.key, "include") != 0) {
        conf__put(line->conf, &reading->scope, &entry);
        return;
    }
    for (size_t i = 0; i < entry.count; i++)
        conf__include(line->conf, &entry.items[i], reading);
}

/* Length of the UTF-8 character at p, 0 if there is none.  A tab is the only control character. */
static size_t utf8_len(const char *p, const char *end)
{
    unsigned char c = (unsigned char)*p;
    size_t len = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;

    if ((c < 0x20 && c != '\t') || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4)
        return 0;
    if ((size_t)(end - p) < len)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if (((unsigned char)p[i] & 0xc0) != 0x80)
            return 0;
    }
    if (len >= 3) {
        unsigned char second = (unsigned char)p[1];

        if ((c == 0xe0 && second < 0xa0) || (c == 0xed && second > 0x9f) ||
            (c == 0xf0 && second < 0x90) || (c == 0xf4 && second > 0x8f))
            return 0;
    }
    return len;
}

bool conf__is_clean(const char *text)
{
    const char *end = text + strlen(text);
    size_t len = 1;

    for (; text < end && len != 0; text += len)
        len = utf8_len(text, end);
    return len != 0;
}

static bool check_characters(struct line *line)
{
    const char *p = line->start;

    if (line->end - line->start > (ptrdiff_t)CONF_LINE_MAX) {
        conf_error(line->conf, at(line, p), "line is longer than %u bytes", CONF_LINE_MAX);
        return false;
    }
    while (p < line->end) {
        size_t len = utf8_len(p, line->end);

        if (len == 0) {
            conf_error(line->conf, at(line, p), "byte 0x%02x is %s", (unsigned char)*p,
                       (unsigned char)*p < 0x80 ? "a control character" : "not UTF-8");
            return false;
        }
        p += len;
    }
    return true;
}

static void parse_line(struct line *line, struct conf_reading *reading)
{
    if (!check_characters(line) || at_end(line))
        return;
    if (*line->p == '[')
        parse_section(line, &reading->scope);
    else
        parse_entry(line, reading);
}

void conf__parse(struct conf *conf, struct conf_reading *reading, const char *text, size_t len)
{
    const char *end = text + len;
    struct line line = {
        .conf = conf, .origin = {.layer = CONF_FILE, .name = reading->file}, .has_comments = true};

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *next = newline == NULL ? end : newline + 1;

        line.origin.line++;
        line.start = line.p = text;
        line.end = newline == NULL ? end : newline;
        if (line.end > line.start && line.end[-1] == '\r')
            line.end--;
        parse_line(&line, reading);
        text = next;
    }
}
