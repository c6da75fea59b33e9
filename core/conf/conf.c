#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/internal.h"

/* --dev: one node on the loopback interface that keeps nothing. */
static const char *const DEV_PRESET[][3] = {
    {"node", "name", "dev"},
    {"node", "data_dir", ""},
    {"storage", "plugin", "memory"},
    {"http", "listen", "127.0.0.1:8500"},
};

static void put_preset(struct conf *conf)
{
    const struct conf_origin origin = {.layer = CONF_PRESET, .name = "--dev"};

    for (size_t i = 0; i < sizeof(DEV_PRESET) / sizeof(DEV_PRESET[0]); i++) {
        const struct conf_scope scope = {.kind = DEV_PRESET[i][0]};

        conf__put_text(conf, &scope, DEV_PRESET[i][1], DEV_PRESET[i][2], &origin);
    }
}

static bool is_anything_set(const struct conf *conf)
{
    for (size_t i = 0; i < conf_schema_count; i++) {
        if (conf->values[i].count != 0)
            return true;
    }
    return conf->files_count != 0 || conf->errors_count != 0;
}

static void read_layers(struct conf *conf, const struct conf_input *input)
{
    const struct conf_origin nowhere = {.layer = CONF_DEFAULT};

    if (input->dev)
        put_preset(conf);
    if (input->path != NULL)
        conf__read_files(conf, input->path, input->path_may_be_absent);
    conf__read_sets(conf);
    conf__read_environment(conf);
    if (input->path != NULL && !is_anything_set(conf))
        conf_error(conf, &nowhere,
                   "nothing is configured: there is no %s; name a file with --config, or try dkv "
                   "with --dev",
                   input->path);
}

struct conf *conf__new(const struct conf_input *input)
{
    struct conf *conf = xcalloc(1, sizeof(*conf));
    const char *plugin_dir;

    conf->values = conf__alloc(conf, conf_schema_count * sizeof(*conf->values));
    conf->invalid = conf__alloc(conf, conf_schema_count * sizeof(*conf->invalid));
    conf->input = input;
    conf->settings.dev = input->dev;
    plugin_dir = conf__getenv(conf, "DKV_PLUGIN_PATH");
    conf->plugin_dir = plugin_dir != NULL && plugin_dir[0] != '\0' ? conf__strdup(conf, plugin_dir)
                                                                   : DKV_PLUGINS_DIR;
    return conf;
}

void conf__finish(struct conf *conf)
{
    for (size_t i = 0; i < conf_schema_count; i++)
        conf__convert(conf, &conf_schema[i]);
    conf__derive(conf);
    conf__check(conf);
    conf->input = NULL;
}

struct conf *conf_load(const struct conf_input *input)
{
    struct conf *conf = conf__new(input);

    read_layers(conf, input);
    conf__finish(conf);
    return conf;
}

void conf_free(struct conf **conf_pointer)
{
    struct conf *conf = *conf_pointer;

    *conf_pointer = NULL;
    if (conf == NULL)
        return;
    for (size_t i = 0; i < conf->memory_count; i++)
        free(conf->memory[i]);
    free(conf->memory);
    free(conf->sections);
    free(conf);
}

const struct settings *conf_settings(const struct conf *conf)
{
    return &conf->settings;
}

bool conf_has_file(const struct conf *conf)
{
    return conf->main_file != NULL;
}

const char *conf_plugin_dir(const struct conf *conf)
{
    return conf->plugin_dir;
}

const struct conf_section *conf_section(struct conf *conf, const char *kind, const char *name)
{
    const struct conf_origin nowhere = {.layer = CONF_DEFAULT};

    return conf__section(conf, kind, name, &nowhere);
}

const struct conf_item *conf_section_get(const struct conf_section *section, const char *key)
{
    for (size_t i = 0; i < section->count; i++) {
        const struct conf_entry *entry = &section->entries[i];

        if (strcmp(entry->key, key) == 0)
            return &entry->items[entry->count - 1];
    }
    return NULL;
}

const struct conf_origin *conf_origin(const struct conf *conf, const char *key)
{
    static const struct conf_origin NOWHERE = {.layer = CONF_DEFAULT};

    for (size_t i = 0; i < conf_schema_count; i++) {
        size_t len = strlen(conf_schema[i].section);

        if (strncmp(conf_schema[i].section, key, len) == 0 && key[len] == '.' &&
            strcmp(conf_schema[i].name, key + len + 1) == 0 && conf->values[i].count != 0)
            return &conf->values[i].items[0].origin;
    }
    return &NOWHERE;
}
