#include "plugin/storage.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/options.h"
#include "plugin/host.h"
#include "plugin/loader.h"

/* One link of the chain; inner is NULL for the store that keeps the data. */
struct storage {
    struct storage *inner;
    struct plugin *plugin;
    struct dkv_store *store;
    struct dkv_host host;
    void *options;
    char *name;
};

struct dkv_store *storage_store(const struct storage *storage)
{
    return storage->store;
}

void storage_close(struct storage **storage)
{
    struct storage *s = *storage;

    *storage = NULL;
    if (s == NULL)
        return;
    if (s->store != NULL)
        s->plugin->storage.close(s->store);
    storage_close(&s->inner);
    if (s->plugin != NULL)
        plugin_free(&s->plugin);
    free(s->options);
    free(s->name);
    free(s);
}

static int check_limits(const struct storage_config *config, const struct dkv_store *store,
                        struct dkv_error *err)
{
    if (store->key_max != 0 && store->key_max < config->key_max)
        return dkv_error_set(err, DKV_ETOOBIG,
                             "holds keys of up to %" PRIu32
                             " bytes, but the cluster allows %" PRIu32 "; take another storage",
                             store->key_max, config->key_max);
    if (store->value_max != 0 && store->value_max < config->value_max)
        return dkv_error_set(err, DKV_ETOOBIG,
                             "holds values of up to %" PRIu64 " bytes, but the cluster allows "
                             "%" PRIu64 "; take another storage",
                             store->value_max, config->value_max);
    return DKV_OK;
}

/* The daemon calls what a store claims to have without looking at the table again. */
static int check_caps(const struct dkv_storage_ops *ops, uint32_t caps, struct dkv_error *err)
{
    const char *cap = NULL, *slot = NULL;

    if ((caps & DKV_CAP_SCAN) != 0 && ops->scan == NULL) {
        cap = "DKV_CAP_SCAN";
        slot = "scan";
    } else if ((caps & DKV_CAP_SNAPSHOT) != 0 && ops->snapshot_open == NULL) {
        cap = "DKV_CAP_SNAPSHOT";
        slot = "snapshot_open";
    } else if ((caps & DKV_CAP_DURABLE) != 0 && ops->sync == NULL) {
        cap = "DKV_CAP_DURABLE";
        slot = "sync";
    }
    if (cap == NULL)
        return DKV_OK;
    return dkv_error_set(err, DKV_EINVAL, "claims %s, but lacks %s()", cap, slot);
}

static int load_link(struct conf *conf, const char *name, unsigned depth,
                     struct storage **storage_out, struct dkv_error *err);

/* With the place in the file, if it is in one. */
static int misplaced(struct conf *conf, const struct conf_origin *origin, const struct storage *s,
                     const char *text, struct dkv_error *err)
{
    if (origin != NULL)
        conf_error(conf, origin, "storage \"%s\": %s", s->name, text);
    return dkv_error_set(err, DKV_EINVAL, "%s", text);
}

static int load_inner(struct conf *conf, const struct conf_section *section, unsigned depth,
                      struct storage *s, struct dkv_error *err)
{
    const struct conf_item *wraps = conf_section_get(section, "wraps");
    bool is_decorator = (s->plugin->descriptor->flags & DKV_PLUGIN_WRAPS) != 0;

    if (is_decorator && wraps == NULL)
        return misplaced(conf, section == NULL ? NULL : &section->origin, s,
                         "needs \"wraps = NAME\", the storage it decorates", err);
    if (!is_decorator && wraps != NULL)
        return misplaced(conf, &wraps->origin, s, "\"wraps\": this plugin keeps data itself", err);
    if (!is_decorator)
        return DKV_OK;
    if (depth + 1 >= STORAGE_CHAIN_MAX)
        return dkv_error_set(err, DKV_EINVAL,
                             "wraps: more than %d stores over each other, or a "
                             "circle",
                             STORAGE_CHAIN_MAX);
    return load_link(conf, wraps->text, depth + 1, &s->inner, err);
}

static int load_link(struct conf *conf, const char *name, unsigned depth,
                     struct storage **storage_out, struct dkv_error *err)
{
    const struct conf_section *section = conf_section(conf, "storage", name);
    const struct conf_item *file = conf_section_get(section, "plugin");
    struct storage *s = xcalloc(1, sizeof(*s));
    const struct dkv_plugin *descriptor;
    int status;

    s->name = xstrdup(name);
    host_init(&s->host, s->name);
    status = plugin_load(conf_plugin_dir(conf), file == NULL ? name : file->text,
                         DKV_PLUGIN_STORAGE, &s->plugin, err);
    if (status == DKV_OK) {
        descriptor = s->plugin->descriptor;
        s->options = xcalloc(1, descriptor->options_size + 1);
        status = options_fill(conf, section, descriptor->options, s->options,
                              descriptor->options_size, err);
    }
    if (status == DKV_OK)
        status = load_inner(conf, section, depth, s, err);
    if (status != DKV_OK) {
        (void)dkv_error_wrap(err, "storage \"%s\"", name);
        storage_close(&s);
        return status;
    }
    *storage_out = s;
    return DKV_OK;
}

static int open_store(const struct storage_config *config, struct storage *s, struct dkv_error *err)
{
    struct dkv_store_args args = {.size = sizeof(args),
                                  .host = &s->host,
                                  .options = s->options,
                                  .inner = s->inner == NULL ? NULL : s->inner->store,
                                  .home = config->home};
    struct dkv_store *store = NULL;
    int status = s->plugin->storage.open(&args, &store, err);

    if (status != DKV_OK)
        return err != NULL && err->text[0] != '\0'
                   ? status
                   : dkv_error_set(err, status, "open: %s", status_text(status));
    if (store == NULL)
        return dkv_error_set(err, DKV_EINVAL, "open() succeeded but gave no store");
    store->ops = &s->plugin->storage;
    store->host = &s->host;
    s->store = store;
    status = check_caps(store->ops, store->caps, err);
    return status == DKV_OK ? check_limits(config, store, err) : status;
}

/* From the store that keeps the data outwards. */
static int open_chain(const struct storage_config *config, struct storage *s, struct dkv_error *err)
{
    int status = s->inner == NULL ? DKV_OK : open_chain(config, s->inner, err);

    if (status == DKV_OK)
        status = open_store(config, s, err);
    if (status != DKV_OK)
        (void)dkv_error_wrap(err, "storage \"%s\"", s->name);
    return status;
}

int storage_check(struct conf *conf, const char *name, struct dkv_error *err)
{
    struct storage *s;
    int status = load_link(conf, name, 0, &s, err);

    if (status == DKV_OK)
        storage_close(&s);
    return status;
}

int storage_open(const struct storage_config *config, struct storage **storage_out,
                 struct dkv_error *err)
{
    struct storage *s;
    int status = load_link(config->conf, config->name, 0, &s, err);

    if (status != DKV_OK)
        return status;
    status = open_chain(config, s, err);
    if (status != DKV_OK) {
        storage_close(&s);
        return status;
    }
    *storage_out = s;
    return DKV_OK;
}
