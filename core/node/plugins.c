#include "node/plugins.h"

#include <string.h>

#include "conf/options.h"
#include "kv/command.h"
#include "kv/record.h"
#include "plugin/loader.h"
#include "plugin/storage.h"
#include "plugin/transport.h"

int plugins_check(struct conf *conf, struct dkv_error *err)
{
    const struct settings *s = conf_settings(conf);
    int status = storage_check(conf, s->storage.plugin, err);

    if (status == DKV_OK)
        status = transport_check(conf, s->http.transport, err);
    if (status == DKV_OK && strcmp(s->http.transport, s->peer.transport) != 0)
        status = transport_check(conf, s->peer.transport, err);
    return status;
}

int plugins_open(struct conf *conf, struct event_base *home, struct plugins *plugins_out,
                 struct dkv_error *err)
{
    const struct settings *s = conf_settings(conf);
    struct storage_config storage = {.conf = conf,
                                     .name = s->storage.plugin,
                                     .home = home,
                                     /* the name-space byte, and the header of every record */
                                     .key_max = (uint32_t)s->cluster.key_max + 1,
                                     .value_max = s->cluster.value_max + KV_RECORD_HEADER_BYTES};
    struct plugins p = {0};
    int status = storage_open(&storage, &p.storage, err);

    if (status == DKV_OK)
        status = transport_open(conf, s->http.transport, &p.http, err);
    if (status == DKV_OK && strcmp(s->http.transport, s->peer.transport) != 0)
        status = transport_open(conf, s->peer.transport, &p.peer, err);
    if (status != DKV_OK) {
        plugins_close(&p);
        return status;
    }
    p.store = storage_store(p.storage);
    p.http_transport = transport_instance(p.http);
    p.peer_transport = p.peer == NULL ? p.http_transport : transport_instance(p.peer);
    *plugins_out = p;
    return DKV_OK;
}

void plugins_close(struct plugins *plugins)
{
    if (plugins->peer != NULL)
        transport_close(&plugins->peer);
    if (plugins->http != NULL)
        transport_close(&plugins->http);
    if (plugins->storage != NULL)
        storage_close(&plugins->storage);
    *plugins = (struct plugins){0};
}

bool plugins_is_secret(void *ctx, const struct conf_section *section, const char *key)
{
    struct conf *conf = ctx;
    const struct conf_item *file = conf_section_get(section, "plugin");
    const struct dkv_option *option;
    struct plugin *plugin;
    bool is_secret = true;

    if (strcmp(key, "plugin") == 0 || strcmp(key, "wraps") == 0)
        return false;
    if (plugin_load(conf_plugin_dir(conf), file == NULL ? section->name : file->text, 0, &plugin,
                    NULL) != DKV_OK)
        return true;
    for (option = plugin->descriptor->options; option != NULL && option->name != NULL; option++) {
        if (strcmp(option->name, key) == 0)
            is_secret = (option->flags & DKV_OPTION_SECRET) != 0;
    }
    plugin_free(&plugin);
    return is_secret;
}

int plugins_print_help(const char *name, FILE *to, struct dkv_error *err)
{
    struct plugin *plugin;
    int status = plugin_load(plugin_folder(), name, 0, &plugin, err);

    if (status != DKV_OK)
        return status;
    options_print_help(plugin->descriptor, to);
    plugin_free(&plugin);
    return DKV_OK;
}

static void print_summary(void *to, const char *name)
{
    struct dkv_error err = {0};
    struct plugin *plugin;

    if (plugin_load(plugin_folder(), name, 0, &plugin, &err) != DKV_OK) {
        fprintf(to, "%s: %s\n", name, err.text);
        return;
    }
    fprintf(to, "%s: %s plugin, %s\n", name,
            plugin->descriptor->kind == DKV_PLUGIN_STORAGE ? "storage" : "transport",
            plugin->descriptor->summary != NULL ? plugin->descriptor->summary : "");
    plugin_free(&plugin);
}

int plugins_print_list(FILE *to, struct dkv_error *err)
{
    int status = plugin_list(plugin_folder(), print_summary, to, err);

    if (status == DKV_OK)
        fputs("\n'dkvd --plugin-help NAME' prints the options of one.\n", to);
    return status;
}
