#include "conf/options.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "conf/internal.h"
#include "conf/suggest.h"
#include "conf/units.h"

/* One call of options_fill. */
struct filling {
    struct conf *conf;
    const struct conf_section *section;
    char *into;
    size_t into_size;
    struct dkv_error *err;
    int status;
};

static void fail(struct filling *f, const struct conf_origin *origin, const char *fmt, ...)
    DKV_PRINTF(3, 4);

/* storage "lmdb": ... */
static void fail(struct filling *f, const struct conf_origin *origin, const char *fmt, ...)
{
    const struct conf_section *section = f->section;
    const char *format = conf__printf(f->conf, "%s \"%s\"", section->kind, section->name);
    char text[sizeof(f->err->text)];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    conf_error(f->conf, origin, "%s: %s", format, text);
    if (f->status == DKV_OK)
        f->status = dkv_error_set(f->err, DKV_EINVAL, "%s: %s", format, text);
}

static bool is_known_type(uint32_t type)
{
    return type >= DKV_OPTION_STRING && type <= DKV_OPTION_CHOICE;
}

static size_t size_of(uint32_t type)
{
    switch (type) {
    case DKV_OPTION_STRING:
        return sizeof(const char *);
    case DKV_OPTION_BOOL:
        return sizeof(bool);
    default:
        return sizeof(uint64_t);
    }
}

/* What the user wrote, or three stars for a secret. */
static const char *shown(const struct dkv_option *option, const char *text)
{
    return (option->flags & DKV_OPTION_SECRET) != 0 ? "***" : text;
}

static const char *format_bound(uint32_t type, int64_t bound, char text[UNITS_TEXT_SIZE])
{
    if (type == DKV_OPTION_SIZE)
        return units_format_size((uint64_t)bound, text);
    if (type == DKV_OPTION_DURATION)
        return units_format_duration((uint64_t)bound * 1000, text);
    snprintf(text, UNITS_TEXT_SIZE, "%" PRId64, bound);
    return text;
}

/* Durations are milliseconds in the ABI. */
static const char *parse_ms(const char *text, int64_t *value_out)
{
    uint64_t us = 0;
    const char *wrong = units_parse_duration(text, &us);

    if (wrong != NULL)
        return wrong;
    if (us % 1000 != 0)
        return "is finer than 1ms";
    *value_out = (int64_t)(us / 1000);
    return NULL;
}

static const char *parse_choice(struct conf *conf, const struct dkv_option *option,
                                const char *text, int64_t *value_out)
{
    if (option->choices == NULL)
        return "has no choices in the plugin's table";
    for (int64_t i = 0; option->choices[i] != NULL; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *value_out = i;
            return NULL;
        }
    }
    return conf__printf(conf, "is none of %s%s", conf__join(conf, option->choices),
                        conf__near(conf, text, option->choices));
}

/* NULL, or what is wrong with the text. */
static const char *parse(struct conf *conf, const struct dkv_option *option, const char *text,
                         int64_t *value_out, bool *flag_out)
{
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
    const char *wrong = NULL;
    uint64_t bytes = 0;

    switch (option->type) {
    case DKV_OPTION_STRING:
        return NULL;
    case DKV_OPTION_BOOL:
        return units_parse_bool(text, flag_out);
    case DKV_OPTION_CHOICE:
        return parse_choice(conf, option, text, value_out);
    case DKV_OPTION_INT:
        wrong = units_parse_int(text, value_out);
        break;
    case DKV_OPTION_SIZE:
        wrong = units_parse_size(text, &bytes);
        *value_out = (int64_t)bytes;
        break;
    case DKV_OPTION_DURATION:
        wrong = parse_ms(text, value_out);
        break;
    }
    if (wrong == NULL && (option->min != 0 || option->max != 0) &&
        (*value_out < option->min || *value_out > option->max))
        wrong = conf__printf(conf, "must be between %s and %s",
                             format_bound(option->type, option->min, least),
                             format_bound(option->type, option->max, most));
    return wrong;
}

static const char *store(struct filling *f, const struct dkv_option *option, const char *text)
{
    int64_t value = 0;
    bool flag = false;
    const char *wrong = parse(f->conf, option, text, &value, &flag);

    if (wrong != NULL)
        return wrong;
    /* memcpy: nobody promised that the plugin's struct is aligned as its table says. */
    if (option->type == DKV_OPTION_STRING)
        memcpy(f->into + option->offset, &text, sizeof(text));
    else if (option->type == DKV_OPTION_BOOL)
        memcpy(f->into + option->offset, &flag, sizeof(flag));
    else
        memcpy(f->into + option->offset, &value, sizeof(value));
    return NULL;
}

static const struct conf_entry *find_entry(const struct conf_section *section, const char *key)
{
    for (size_t i = 0; i < section->count; i++) {
        if (strcmp(section->entries[i].key, key) == 0)
            return &section->entries[i];
    }
    return NULL;
}

static void fill_entry(struct filling *f, const struct dkv_option *option,
                       const struct conf_entry *entry)
{
    const struct conf_item *item = &entry->items[0];
    const char *wrong;

    if (entry->count > 1 && entry->items[1].origin.line != item->origin.line) {
        fail(f, &entry->items[1].origin, "%s is set twice in this file, first in line %u",
             option->name, item->origin.line);
        return;
    }
    if (entry->count > 1) {
        fail(f, &entry->items[1].origin, "%s takes one value; quote it if the comma is part of it",
             option->name);
        return;
    }
    wrong = store(f, option, item->text);
    if (wrong != NULL)
        fail(f, &item->origin, "%s: \"%s\" %s", option->name, shown(option, item->text), wrong);
}

static void fill_option(struct filling *f, const struct dkv_option *option)
{
    const struct conf_entry *entry = find_entry(f->section, option->name);
    const char *wrong;

    if (!is_known_type(option->type)) {
        fail(f, &f->section->origin, "%s has type %u, which this dkvd does not know", option->name,
             option->type);
        return;
    }
    if (option->offset > f->into_size || f->into_size - option->offset < size_of(option->type)) {
        fail(f, &f->section->origin, "%s lies outside of the plugin's options_size of %zu",
             option->name, f->into_size);
        return;
    }
    if (entry != NULL) {
        fill_entry(f, option, entry);
        return;
    }
    if ((option->flags & DKV_OPTION_REQUIRED) != 0) {
        fail(f, &f->section->origin, "%s is required%s%s", option->name,
             option->help == NULL ? "" : ": ", option->help == NULL ? "" : option->help);
        return;
    }
    if (option->fallback == NULL)
        return;
    wrong = store(f, option, option->fallback);
    if (wrong != NULL)
        fail(f, &f->section->origin, "%s: the plugin's own default \"%s\" %s", option->name,
             shown(option, option->fallback), wrong);
}

static bool is_loaders(const char *key)
{
    return strcmp(key, "plugin") == 0 || strcmp(key, "wraps") == 0;
}

static bool is_in_table(const struct dkv_option *table, const char *key)
{
    for (; table != NULL && table->name != NULL; table++) {
        if (strcmp(table->name, key) == 0)
            return true;
    }
    return false;
}

static void check_unknown(struct filling *f, const struct dkv_option *table)
{
    for (size_t i = 0; i < f->section->count; i++) {
        const struct conf_entry *entry = &f->section->entries[i];
        struct suggest suggest = {.word = entry->key};

        /* What nobody wrote was only offered. */
        if (entry->origin.layer == CONF_DEFAULT || is_loaders(entry->key) ||
            is_in_table(table, entry->key))
            continue;
        for (const struct dkv_option *option = table; option != NULL && option->name != NULL;
             option++)
            suggest_offer(&suggest, option->name);
        fail(f, &entry->origin, "unknown option '%s'%s", entry->key,
             conf__did_you_mean(f->conf, suggest.best));
    }
}

int options_fill(struct conf *conf, const struct conf_section *section,
                 const struct dkv_option *table, void *into, size_t into_size,
                 struct dkv_error *err)
{
    struct filling f = {
        .conf = conf, .section = section, .into = into, .into_size = into_size, .err = err};

    if (into_size != 0)
        memset(into, 0, into_size);
    for (const struct dkv_option *option = table; option != NULL && option->name != NULL; option++)
        fill_option(&f, option);
    check_unknown(&f, table);
    return f.status;
}

static const char *type_text(uint32_t type)
{
    static const char *const TEXTS[] = {
        [DKV_OPTION_STRING] = "text",
        [DKV_OPTION_BOOL] = "on|off",
        [DKV_OPTION_INT] = "number",
        [DKV_OPTION_SIZE] = "size: 64M, 2G",
        [DKV_OPTION_DURATION] = "duration: 250ms, 5s",
        [DKV_OPTION_CHOICE] = "",
    };

    return is_known_type(type) ? TEXTS[type] : "?";
}

/* options_fill gives it one, unless there is no data_dir. */
static bool is_storage_path(const struct dkv_plugin *plugin, const struct dkv_option *option)
{
    return plugin->kind == DKV_PLUGIN_STORAGE && strcmp(option->name, "path") == 0;
}

static void print_default(const struct dkv_plugin *plugin, const struct dkv_option *option,
                          FILE *to)
{
    bool is_required = (option->flags & DKV_OPTION_REQUIRED) != 0;

    if (is_storage_path(plugin, option))
        fprintf(to, " (default: store/%s below node.data_dir%s)", plugin->name,
                is_required ? "; required with --dev" : "");
    else if (is_required)
        fputs(" (required)", to);
    else if (option->fallback != NULL)
        fprintf(to, " (default: %s)", shown(option, option->fallback));
}

static void print_option(const struct dkv_plugin *plugin, const struct dkv_option *option, FILE *to)
{
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];

    fprintf(to, "\n  %s = %s", option->name, type_text(option->type));
    for (size_t i = 0;
         option->type == DKV_OPTION_CHOICE && option->choices != NULL && option->choices[i] != NULL;
         i++)
        fprintf(to, "%s%s", i == 0 ? "" : "|", option->choices[i]);
    if (option->max == INT64_MAX)
        fprintf(to, ", at least %s", format_bound(option->type, option->min, least));
    else if (option->min != 0 || option->max != 0)
        fprintf(to, ", %s to %s", format_bound(option->type, option->min, least),
                format_bound(option->type, option->max, most));
    print_default(plugin, option, to);
    fprintf(to, "\n      %s\n", option->help != NULL ? option->help : "");
}

void options_print_help(const struct dkv_plugin *plugin, FILE *to)
{
    const char *kind = plugin->kind == DKV_PLUGIN_STORAGE ? "storage" : "transport";
    const struct dkv_option *option = plugin->options;

    fprintf(to, "%s plugin %s %s: %s\n", kind, plugin->name, plugin->version,
            plugin->summary != NULL ? plugin->summary : "");
    if ((option == NULL || option->name == NULL) && (plugin->flags & DKV_PLUGIN_WRAPS) == 0) {
        fputs("\nIt has no options.\n", to);
        return;
    }
    fprintf(to, "\nOptions, in section [%s \"%s\"] of dkv.conf:\n", kind, plugin->name);
    if ((plugin->flags & DKV_PLUGIN_WRAPS) != 0)
        fputs("\n  wraps = name (required)\n      The plugin underneath.\n", to);
    for (; option != NULL && option->name != NULL; option++)
        print_option(plugin, option, to);
}
