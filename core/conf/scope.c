/* Sections and keys as they come in, layer by layer. */
#include <string.h>

#include "base/mem.h"
#include "conf/internal.h"
#include "conf/suggest.h"

bool conf__is_plugin_kind(const char *section)
{
    return strcmp(section, "storage") == 0 || strcmp(section, "transport") == 0;
}

struct conf_section *conf__section_find(const struct conf *conf, const char *kind, const char *name)
{
    for (size_t i = 0; i < conf->sections_count; i++) {
        struct conf_section *section = conf->sections[i];

        if (strcmp(section->kind, kind) == 0 && strcmp(section->name, name) == 0)
            return section;
    }
    return NULL;
}

struct conf_section *conf__section(struct conf *conf, const char *kind, const char *name,
                                   const struct conf_origin *origin)
{
    struct conf_section *section = conf__section_find(conf, kind, name);

    if (section != NULL)
        return section;
    section = conf__alloc(conf, sizeof(*section));
    section->kind = conf__strdup(conf, kind);
    section->name = conf__strdup(conf, name);
    section->origin = *origin;
    conf->sections =
        xreallocarray(conf->sections, conf->sections_count + 1, sizeof(*conf->sections));
    conf->sections[conf->sections_count++] = section;
    return section;
}

static void complain_about_section(struct conf *conf, const struct conf_origin *origin,
                                   const char *kind)
{
    struct suggest suggest = {.word = kind};

    for (const struct conf_section_help *s = conf_schema_sections; s->section != NULL; s++)
        suggest_offer(&suggest, s->section);
    conf_error(conf, origin, "unknown section [%s]%s", kind,
               conf__did_you_mean(conf, suggest.best));
}

void conf__enter(struct conf *conf, const struct conf_origin *origin, const char *kind,
                 const char *name, struct conf_scope *scope_out)
{
    struct conf_scope scope = {.kind = kind, .name = name};

    if (!conf_schema_has_section(kind)) {
        complain_about_section(conf, origin, kind);
        scope.is_unknown = true;
    } else if (name != NULL && !conf__is_plugin_kind(kind)) {
        conf_error(conf, origin,
                   "[%s] takes no name; only [storage \"...\"] and "
                   "[transport \"...\"] do",
                   kind);
        scope.is_unknown = true;
    } else if (name != NULL && !conf__is_name(name)) {
        conf_error(conf, origin, "\"%s\" is not a name: letters, digits, . _ - only", name);
        scope.is_unknown = true;
    } else if (name != NULL) {
        conf__section(conf, kind, name, origin);
    }
    *scope_out = scope;
}

struct conf_entry *conf__value(const struct conf *conf, const char *section, const char *name)
{
    const struct conf_key *key = conf_schema_find(section, name);

    return key == NULL ? NULL : &conf->values[key - conf_schema];
}

static bool is_same_file(const struct conf_origin *a, const struct conf_origin *b)
{
    return a->layer == CONF_FILE && b->layer == CONF_FILE && a->name == b->name;
}

static void merge(struct conf *conf, struct conf_entry *old, const struct conf_entry *entry)
{
    struct conf_item *items;

    if (old->count != 0 && entry->origin.layer < old->origin.layer)
        return;
    if (old->count == 0 || !is_same_file(&old->origin, &entry->origin)) {
        *old = *entry;
        return;
    }
    if (old->count + entry->count > CONF_ITEMS_MAX) {
        conf_error(conf, &entry->origin, "%s: more than %u values", entry->key, CONF_ITEMS_MAX);
        return;
    }
    items = conf__alloc(conf, (old->count + entry->count) * sizeof(*items));
    memcpy(items, old->items, old->count * sizeof(*items));
    memcpy(items + old->count, entry->items, entry->count * sizeof(*items));
    old->items = items;
    old->count += entry->count;
}

static void put_option(struct conf *conf, const struct conf_scope *scope,
                       const struct conf_entry *entry)
{
    struct conf_section *section = conf__section(conf, scope->kind, scope->name, &entry->origin);
    struct conf_entry *entries;

    for (size_t i = 0; i < section->count; i++) {
        if (strcmp(section->entries[i].key, entry->key) == 0) {
            merge(conf, &section->entries[i], entry);
            return;
        }
    }
    if (section->count == CONF_ITEMS_MAX) {
        conf_error(conf, &entry->origin, "more than %u options in one section", CONF_ITEMS_MAX);
        return;
    }
    if (section->entries == NULL)
        section->entries = conf__alloc(conf, CONF_ITEMS_MAX * sizeof(*entries));
    section->entries[section->count++] = *entry;
}

static void complain_about_key(struct conf *conf, const struct conf_scope *scope,
                               const struct conf_entry *entry)
{
    struct suggest suggest = {.word = entry->key}, elsewhere = {.word = entry->key};
    const char *section = NULL;

    for (const struct conf_key *key = conf_schema; key->section != NULL; key++) {
        const char *best = elsewhere.best;

        if (scope->kind != NULL && strcmp(key->section, scope->kind) == 0)
            suggest_offer(&suggest, key->name);
        suggest_offer(&elsewhere, key->name);
        if (elsewhere.best != best)
            section = key->section;
    }
    if (scope->kind == NULL) {
        conf_error(conf, &entry->origin, "'%s' stands outside of a section; put it under [%s]",
                   entry->key, section != NULL ? section : "section");
    } else if (suggest.best != NULL || elsewhere.best == NULL) {
        conf_error(conf, &entry->origin, "unknown key '%s' in [%s]%s", entry->key, scope->kind,
                   conf__did_you_mean(conf, suggest.best));
    } else {
        conf_error(conf, &entry->origin, "unknown key '%s' in [%s] (did you mean '%s' in [%s]?)",
                   entry->key, scope->kind, elsewhere.best, section);
    }
}

void conf__put(struct conf *conf, const struct conf_scope *scope, const struct conf_entry *entry)
{
    struct conf_entry *value;

    if (scope->is_unknown)
        return;
    if (scope->name != NULL) {
        put_option(conf, scope, entry);
        return;
    }
    value = scope->kind == NULL ? NULL : conf__value(conf, scope->kind, entry->key);
    if (value == NULL)
        complain_about_key(conf, scope, entry);
    else
        merge(conf, value, entry);
}
