#include "plugin/transport.h"

#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "plugin/host.h"
#include "plugin/loader.h"

struct transport {
    struct plugin *plugin;
    struct dkv_transport *instance;
    struct dkv_host host;
    void *options;
    char *name;
};

struct dkv_transport *transport_instance(const struct transport *transport)
{
    return transport->instance;
}

void transport_close(struct transport **transport)
{
    struct transport *t = *transport;

    *transport = NULL;
    if (t == NULL)
        return;
    if (t->instance != NULL)
        t->plugin->transport.close(t->instance);
    if (t->plugin != NULL)
        plugin_free(&t->plugin);
    free(t->options);
    free(t->name);
    free(t);
}

static int open_instance(struct transport *t, struct dkv_error *err)
{
    struct dkv_transport_args args = {
        .size = sizeof(args), .host = &t->host, .options = t->options};
    struct dkv_transport *instance = NULL;
    int status = t->plugin->transport.open(&args, &instance, err);

    if (status != DKV_OK)
        return err != NULL && err->text[0] != '\0'
                   ? status
                   : dkv_error_set(err, status, "open: %s", status_text(status));
    if (instance == NULL)
        return dkv_error_set(err, DKV_EINVAL, "open() succeeded but gave no transport");
    instance->ops = &t->plugin->transport;
    instance->host = &t->host;
    t->instance = instance;
    return DKV_OK;
}

static int load(struct conf *conf, struct transport *t, struct dkv_error *err)
{
    const struct conf_section *section = conf_section(conf, "transport", t->name);
    const struct conf_item *file = conf_section_get(section, "plugin");
    const struct dkv_plugin *descriptor;
    int status;

    host_init(&t->host, t->name);
    status = plugin_load(conf_plugin_dir(conf), file == NULL ? t->name : file->text,
                         DKV_PLUGIN_TRANSPORT, &t->plugin, err);
    if (status != DKV_OK)
        return status;
    descriptor = t->plugin->descriptor;
    t->options = xcalloc(1, descriptor->options_size + 1);
    return options_fill(conf, section, descriptor->options, t->options, descriptor->options_size,
                        err);
}

static int load_and_open(struct conf *conf, const char *name, bool opens,
                         struct transport **transport_out, struct dkv_error *err)
{
    struct transport *t = xcalloc(1, sizeof(*t));
    int status;

    t->name = xstrdup(name);
    status = load(conf, t, err);
    if (status == DKV_OK && opens)
        status = open_instance(t, err);
    if (status != DKV_OK) {
        (void)dkv_error_wrap(err, "transport \"%s\"", name);
        transport_close(&t);
        return status;
    }
    *transport_out = t;
    return DKV_OK;
}

int transport_check(struct conf *conf, const char *name, struct dkv_error *err)
{
    struct transport *t;
    int status = load_and_open(conf, name, false, &t, err);

    if (status == DKV_OK)
        transport_close(&t);
    return status;
}

int transport_open(struct conf *conf, const char *name, struct transport **transport_out,
                   struct dkv_error *err)
{
    return load_and_open(conf, name, true, transport_out, err);
}
