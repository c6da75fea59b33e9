/* What a configuration that was read later says otherwise. */
#include <string.h>

#include "conf/internal.h"

struct diff {
    conf_diff_fn *changed;
    void *ctx;
};

static const void *field(const struct conf *conf, const struct conf_key *key)
{
    return (const char *)&conf->settings + key->offset;
}

static bool same_items(const struct conf_entry *a, const struct conf_entry *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        if (strcmp(a->items[i].text, b->items[i].text) != 0)
            return false;
    }
    return true;
}

/* 1s and 1000ms are the same. */
static bool same_value(const struct conf *now, const struct conf *then, size_t i)
{
    const struct conf_key *key = &conf_schema[i];

    switch (key->type) {
    case CONF_TYPE_BOOL:
        return *(const bool *)field(now, key) == *(const bool *)field(then, key);
    case CONF_TYPE_INT:
    case CONF_TYPE_SIZE:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_PERCENT:
        return *(const uint64_t *)field(now, key) == *(const uint64_t *)field(then, key);
    case CONF_TYPE_CHOICE:
    case CONF_TYPE_TEXT:
    case CONF_TYPE_NAME:
    case CONF_TYPE_ADDRESS:
    case CONF_TYPE_ADDRESS_LIST:
    case CONF_TYPE_PEER_LIST:
    case CONF_TYPE_TEXT_LIST:
        break;
    }
    return same_items(&now->values[i], &then->values[i]);
}

static const struct conf_entry *find(const struct conf *conf, const struct conf_section *section,
                                     const char *key)
{
    const struct conf_section *other = conf__section_find(conf, section->kind, section->name);

    for (size_t i = 0; other != NULL && i < other->count; i++) {
        if (strcmp(other->entries[i].key, key) == 0)
            return &other->entries[i];
    }
    return NULL;
}

/* Options of plugins that `other` has otherwise, or, if it may not have them, does not have. */
static void compare_sections(const struct diff *d, const struct conf *conf,
                             const struct conf *other, bool only_missing)
{
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct conf_section *section = conf->sections[i];

        for (size_t j = 0; j < section->count; j++) {
            const struct conf_entry *entry = &section->entries[j];
            const struct conf_entry *match = find(other, section, entry->key);
            char key[256];

            if (match != NULL && (only_missing || same_items(entry, match)))
                continue;
            snprintf(key, sizeof(key), "%s.%s.%s", section->kind, section->name, entry->key);
            d->changed(d->ctx, key, false);
        }
    }
}

void conf_diff(const struct conf *now, const struct conf *then, conf_diff_fn *changed, void *ctx)
{
    const struct diff d = {changed, ctx};

    for (size_t i = 0; i < conf_schema_count; i++) {
        const struct conf_key *key = &conf_schema[i];
        char name[128];

        if (same_value(now, then, i))
            continue;
        snprintf(name, sizeof(name), "%s.%s", key->section, key->name);
        changed(ctx, name, (key->flags & CONF_KEY_RELOADABLE) != 0);
    }
    compare_sections(&d, then, now, false);
    compare_sections(&d, now, then, true);
}
