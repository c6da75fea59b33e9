/* --print-sample-config and --dump-config. */
#include <inttypes.h>
#include <string.h>

#include "conf/internal.h"
#include "conf/units.h"

#define VALUE_COLUMN 48 /* where the origin stands in a dump */

static const char *number_text(enum conf_type type, uint64_t value, char text[UNITS_TEXT_SIZE])
{
    if (type == CONF_TYPE_SIZE)
        return units_format_size(value, text);
    if (type == CONF_TYPE_DURATION)
        return units_format_duration(value, text);
    snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64, value);
    return text;
}

static void print_key_sample(const struct conf_key *key, FILE *to)
{
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];

    fprintf(to, "\n# %s", key->help);
    if ((key->flags & CONF_KEY_RELOADABLE) != 0)
        fputs(" Reloadable.", to);
    if (key->max != 0)
        fprintf(to, "\n# %s to %s.", number_text(key->type, key->min, least),
                number_text(key->type, key->max, most));
    fprintf(to, "\n%s%s = %s\n", (key->flags & CONF_KEY_LIVE) != 0 ? "" : "#", key->name,
            key->sample != NULL ? key->sample : key->fallback);
}

static void print_section_sample(const struct conf_section_help *section, FILE *to)
{
    fputs("\n\n# ", to);
    for (const char *p = section->help; *p != '\0'; p++) {
        fputc(*p, to);
        if (*p == '\n')
            fputs("# ", to);
    }
    fprintf(to, "\n[%s]\n", section->section);
    for (const struct conf_key *key = conf_schema; key->section != NULL; key++) {
        if (strcmp(key->section, section->section) == 0)
            print_key_sample(key, to);
    }
}

void conf_print_sample(FILE *to)
{
    fputs(
        "# Configuration of dkvd; see dkv.conf(5).  Check it with: dkvd --check-config\n"
        "#\n"
        "# Keys that are commented out show their default, or an example where the default\n"
        "# depends on other keys.  conf.d/*.conf beside this file is read after it, then\n"
        "# DKV_SECTION_KEY from the environment, then --set section.key=value.  SIGHUP reads all\n"
        "# of it again; what is reloadable changes then, the rest at the next start.\n",
        to);
    for (const struct conf_section_help *s = conf_schema_sections; s->section != NULL; s++)
        print_section_sample(s, to);
}

/* Quoted only where the plain text would read differently. */
static int print_ini_text(const char *text, FILE *to)
{
    size_t len = strlen(text);
    int printed = 2;

    if (len != 0 && strpbrk(text, ",#;\"\\\n\t") == NULL && text[0] != ' ' && text[len - 1] != ' ')
        return fprintf(to, "%s", text);
    fputc('"', to);
    for (; *text != '\0'; text++, printed++) {
        if (strchr("\"\\\n\t", *text) != NULL) {
            fputc('\\', to);
            printed++;
        }
        fputc(*text == '\n' ? 'n' : *text == '\t' ? 't' : *text, to);
    }
    fputc('"', to);
    return printed;
}

static void print_ini_entry(struct conf *conf, const struct conf_entry *entry, bool is_hidden,
                            FILE *to)
{
    int width = fprintf(to, "%s = ", entry->key);

    for (size_t i = 0; i < entry->count && !is_hidden; i++) {
        if (i != 0)
            width += fprintf(to, ", ");
        width += print_ini_text(entry->items[i].text, to);
    }
    if (is_hidden)
        width += fprintf(to, "(hidden)");
    fprintf(to, "%*s # %s\n", width < VALUE_COLUMN ? VALUE_COLUMN - width : 1, "",
            conf__origin_text(conf, &entry->items[0].origin));
}

static void print_json_text(const char *text, FILE *to)
{
    fputc('"', to);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(to, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(to, "\\u%04x", (unsigned)*text);
        else
            fputc(*text, to);
    }
    fputc('"', to);
}

static void print_json_values(const struct conf_entry *entry, bool is_list, FILE *to)
{
    if (is_list)
        fputc('[', to);
    for (size_t i = 0; i < entry->count; i++) {
        if (i != 0)
            fputs(", ", to);
        print_json_text(entry->items[i].text, to);
    }
    if (is_list)
        fputc(']', to);
}

static void print_json_entry(struct conf *conf, const char *name, const struct conf_entry *entry,
                             const struct conf_key *key, bool is_hidden, bool is_first, FILE *to)
{
    bool is_list = key != NULL && conf_type_is_list(key->type);

    fputs(is_first ? "\n  " : ",\n  ", to);
    print_json_text(name, to);
    fputs(": {\"value\": ", to);
    if (is_hidden)
        fputs("null, \"hidden\": true", to);
    else
        print_json_values(entry, is_list, to);
    fputs(", \"origin\": ", to);
    print_json_text(conf__origin_text(conf, &entry->items[0].origin), to);
    fprintf(to, ", \"reloadable\": %s}",
            key != NULL && (key->flags & CONF_KEY_RELOADABLE) != 0 ? "true" : "false");
}

static void dump_ini_section(struct conf *conf, const char *section, bool is_first, FILE *to)
{
    fprintf(to, "%s[%s]\n", is_first ? "" : "\n", section);
    for (size_t i = 0; i < conf_schema_count; i++) {
        if (strcmp(conf_schema[i].section, section) == 0 && conf->values[i].count != 0)
            print_ini_entry(conf, &conf->values[i], false, to);
    }
}

static void dump_json_keys(struct conf *conf, FILE *to)
{
    bool is_first = true;

    for (size_t i = 0; i < conf_schema_count; i++) {
        const struct conf_key *key = &conf_schema[i];

        if (conf->values[i].count == 0)
            continue;
        print_json_entry(conf, conf__printf(conf, "%s.%s", key->section, key->name),
                         &conf->values[i], key, false, is_first, to);
        is_first = false;
    }
}

/* Somebody wrote an option of it; offered ones are for the plugin to take or leave. */
static bool is_written(const struct conf_section *section)
{
    for (size_t i = 0; i < section->count; i++) {
        if (section->entries[i].origin.layer != CONF_DEFAULT)
            return true;
    }
    return false;
}

void conf_dump(struct conf *conf, enum conf_format format,
               bool (*is_secret)(void *ctx, const struct conf_section *section, const char *key),
               void *ctx, FILE *to)
{
    const struct conf_section_help *first = conf_schema_sections;

    if (format == CONF_JSON)
        fputc('{', to);
    for (const struct conf_section_help *s = first; s->section != NULL && format == CONF_INI; s++)
        dump_ini_section(conf, s->section, s == first, to);
    if (format == CONF_JSON)
        dump_json_keys(conf, to);
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct conf_section *section = conf->sections[i];

        if (format == CONF_INI && is_written(section))
            fprintf(to, "\n[%s \"%s\"]\n", section->kind, section->name);
        for (size_t j = 0; j < section->count; j++) {
            const struct conf_entry *entry = &section->entries[j];
            bool is_hidden = is_secret == NULL || is_secret(ctx, section, entry->key);

            if (entry->origin.layer == CONF_DEFAULT)
                continue;
            if (format == CONF_INI)
                print_ini_entry(conf, entry, is_hidden, to);
            else
                print_json_entry(
                    conf, conf__printf(conf, "%s.%s.%s", section->kind, section->name, entry->key),
                    entry, NULL, is_hidden, false, to);
        }
    }
    if (format == CONF_JSON)
        fputs("\n}\n", to);
}
