/* Errors and warnings with the place they are about, and the memory they live in. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/internal.h"

void *conf__alloc(struct conf *conf, size_t size)
{
    void *p = xcalloc(1, size);

    if (conf->memory_count == conf->memory_cap) {
        conf->memory_cap = conf->memory_cap == 0 ? 64 : conf->memory_cap * 2;
        conf->memory = xreallocarray(conf->memory, conf->memory_cap, sizeof(*conf->memory));
    }
    conf->memory[conf->memory_count++] = p;
    return p;
}

const char *conf__strndup(struct conf *conf, const char *text, size_t len)
{
    char *copy = conf__alloc(conf, len + 1);

    if (len != 0)
        memcpy(copy, text, len);
    return copy;
}

const char *conf__strdup(struct conf *conf, const char *text)
{
    return conf__strndup(conf, text, strlen(text));
}

static const char *print_new(struct conf *conf, const char *fmt, va_list ap) DKV_PRINTF(2, 0);

static const char *print_new(struct conf *conf, const char *fmt, va_list ap)
{
    va_list again;
    char *text;
    int len;

    va_copy(again, ap);
    len = vsnprintf(NULL, 0, fmt, ap);
    text = conf__alloc(conf, (size_t)(len < 0 ? 0 : len) + 1);
    vsnprintf(text, (size_t)(len < 0 ? 0 : len) + 1, fmt, again);
    va_end(again);
    return text;
}

const char *conf__printf(struct conf *conf, const char *fmt, ...)
{
    const char *text;
    va_list ap;

    va_start(ap, fmt);
    text = print_new(conf, fmt, ap);
    va_end(ap);
    return text;
}

static size_t file_position(const struct conf *conf, const struct conf_origin *origin)
{
    if (origin->layer != CONF_FILE)
        return conf->files_count + (size_t)origin->layer;
    for (size_t i = 0; i < conf->files_count; i++) {
        if (conf->files[i] == origin->name)
            return i;
    }
    return conf->files_count;
}

void conf__verror(struct conf *conf, const struct conf_origin *origin, bool is_warning,
                  const char *fmt, va_list ap)
{
    struct conf_message *message;

    if (is_warning)
        conf->warnings_count++;
    else
        conf->errors_count++;
    if (conf->messages_count == CONF_MESSAGES_MAX)
        return;
    if (conf->messages == NULL)
        conf->messages = conf__alloc(conf, CONF_MESSAGES_MAX * sizeof(*conf->messages));
    message = &conf->messages[conf->messages_count];
    message->origin = *origin;
    message->number = conf->messages_count++;
    message->is_warning = is_warning;
    message->text = print_new(conf, fmt, ap);
}

void conf_error(struct conf *conf, const struct conf_origin *origin, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    conf__verror(conf, origin, false, fmt, ap);
    va_end(ap);
}

void conf_warning(struct conf *conf, const struct conf_origin *origin, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    conf__verror(conf, origin, true, fmt, ap);
    va_end(ap);
}

bool conf_failed(const struct conf *conf)
{
    return conf->errors_count != 0;
}

const char *conf__did_you_mean(struct conf *conf, const char *best)
{
    return best == NULL ? "" : conf__printf(conf, " (did you mean '%s'?)", best);
}

static int compare_size(size_t a, size_t b)
{
    return (a > b) - (a < b);
}

static int compare_messages(const void *left, const void *right)
{
    const struct conf_message *a = left, *b = right;
    int order = compare_size(a->file, b->file);

    if (order == 0)
        order = compare_size(a->origin.line, b->origin.line);
    if (order == 0)
        order = compare_size(a->origin.column, b->origin.column);
    return order != 0 ? order : compare_size(a->number, b->number);
}

const char *conf__origin_text(struct conf *conf, const struct conf_origin *origin)
{
    switch (origin->layer) {
    case CONF_DEFAULT:
        return origin->name == NULL ? "default" : conf__printf(conf, "default: %s", origin->name);
    case CONF_ENVIRONMENT:
        return conf__printf(conf, "environment variable %s", origin->name);
    case CONF_PRESET:
    case CONF_FILE:
    case CONF_COMMAND_LINE:
        break;
    }
    return origin->line == 0
               ? origin->name
               : conf__printf(conf, "%s:%u:%u", origin->name, origin->line, origin->column);
}

/* What is wrong with a default is said of the file that should have said otherwise. */
static const char *place_text(struct conf *conf, const struct conf_origin *origin)
{
    if (origin->layer == CONF_DEFAULT)
        return conf->main_file != NULL ? conf->main_file : "dkvd";
    return conf__origin_text(conf, origin);
}

static const char *plural(size_t n)
{
    return n == 1 ? "" : "s";
}

void conf_report(struct conf *conf, FILE *to)
{
    size_t total = conf->errors_count + conf->warnings_count;

    if (total == 0)
        return;
    for (size_t i = 0; i < conf->messages_count; i++)
        conf->messages[i].file = file_position(conf, &conf->messages[i].origin);
    qsort(conf->messages, conf->messages_count, sizeof(*conf->messages), compare_messages);
    for (size_t i = 0; i < conf->messages_count; i++) {
        const struct conf_message *message = &conf->messages[i];

        fprintf(to, "%s: %s: %s\n", place_text(conf, &message->origin),
                message->is_warning ? "warning" : "error", message->text);
    }
    if (total > conf->messages_count)
        fprintf(to, "dkvd: %zu more not shown\n", total - conf->messages_count);
    fprintf(to, "dkvd: %zu error%s, %zu warning%s", conf->errors_count, plural(conf->errors_count),
            conf->warnings_count, plural(conf->warnings_count));
    if (conf->files_count != 0)
        fprintf(to, " in %zu file%s", conf->files_count, plural(conf->files_count));
    fputc('\n', to);
}
