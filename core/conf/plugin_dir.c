#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/internal.h"

static int is_plugin_file(const struct dirent *entry)
{
    size_t len = strlen(entry->d_name);

    return len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0;
}

/* Names in alphabetical order, ending with NULL; NULL if the folder cannot be read. */
static const char **list_plugins(struct conf *conf)
{
    struct dirent **found = NULL;
    int count = scandir(conf->plugin_dir, &found, is_plugin_file, alphasort);
    const char **names;

    if (count < 0)
        return NULL;
    names = conf__alloc(conf, ((size_t)count + 1) * sizeof(*names));
    for (int i = 0; i < count; i++) {
        names[i] = conf__strndup(conf, found[i]->d_name, strlen(found[i]->d_name) - 3);
        free(found[i]);
    }
    free(found);
    return names;
}

static void check_plugin(struct conf *conf, const char *what, const struct conf_item *item,
                         const char **names)
{
    for (size_t i = 0; names[i] != NULL; i++) {
        if (strcmp(names[i], item->text) == 0)
            return;
    }
    conf_error(conf, &item->origin, "%s '%s': no such plugin in %s (have: %s)%s", what, item->text,
               conf->plugin_dir, conf__join(conf, names), conf__near(conf, item->text, names));
}

/* [storage "a"] may say plugin = b; then no file is called a. */
static void check_instance(struct conf *conf, const char *what, const char *kind,
                           const struct conf_item *item, const char **names)
{
    const struct conf_section *instance = conf__section_find(conf, kind, item->text);
    const struct conf_item *file = instance == NULL ? NULL : conf_section_get(instance, "plugin");

    check_plugin(conf, what, file != NULL ? file : item, names);
}

static void check_key(struct conf *conf, const char *section, const char *name, const char **names)
{
    const struct conf_key *key = conf_schema_find(section, name);
    size_t i = (size_t)(key - conf_schema);
    const char *kind = strcmp(section, "storage") == 0 ? section : "transport";

    if (conf->values[i].count == 0 || conf->invalid[i])
        return;
    /* Taken from transport.plugin, where it has been complained about. */
    if (key->fallback == NULL && conf->values[i].origin.layer == CONF_DEFAULT)
        return;
    check_instance(conf, conf__printf(conf, "%s.%s", section, name), kind,
                   &conf->values[i].items[0], names);
}

void conf_check_plugins(struct conf *conf)
{
    const struct conf_origin nowhere = {.layer = CONF_DEFAULT};
    const char **names = list_plugins(conf);
    int error = errno;

    if (names == NULL) {
        conf_error(conf, &nowhere, "cannot read the plugin folder %s: %s%s", conf->plugin_dir,
                   strerror(error), error == ENOENT ? CONF_PLUGIN_DIR_HINT : "");
        return;
    }
    check_key(conf, "storage", "plugin", names);
    check_key(conf, "transport", "plugin", names);
    check_key(conf, "http", "transport", names);
    check_key(conf, "peer", "transport", names);
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct conf_section *section = conf->sections[i];
        const struct conf_item *inner = conf_section_get(section, "wraps");

        if (inner != NULL)
            check_instance(conf,
                           conf__printf(conf, "%s \"%s\": wraps", section->kind, section->name),
                           section->kind, inner, names);
    }
}
