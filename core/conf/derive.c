/* Defaults that depend on other keys. */
#include <string.h>
#include <unistd.h>

#include "conf/internal.h"

#define LONE_PEER_ADDRESS "127.0.0.1:8300"
#define WRAPS_DEPTH       8u /* a plugin that wraps itself is the loader's to refuse */

static bool is_set(const struct conf *conf, const char *section, const char *name)
{
    return conf__value(conf, section, name)->count != 0;
}

/* `why` stands behind "default" in --dump-config. */
static void set(struct conf *conf, const char *section, const char *name, const char *text,
                const char *why)
{
    const struct conf_key *key = conf_schema_find(section, name);
    struct conf_entry *entry = conf__value(conf, section, name);

    entry->key = name;
    entry->origin = (struct conf_origin){.layer = CONF_DEFAULT, .name = why};
    entry->items = conf__alloc(conf, sizeof(*entry->items));
    entry->items->text = text;
    entry->items->origin = entry->origin;
    entry->count = 1;
    conf__convert(conf, key);
}

static void derive_name(struct conf *conf)
{
    char host[256] = "";
    const char *name = conf->input->host_name;

    if (is_set(conf, "node", "name"))
        return;
    if (name == NULL) {
        if (gethostname(host, sizeof(host) - 1) != 0)
            host[0] = '\0';
        name = host;
    }
    name = conf__strndup(conf, name, strcspn(name, "."));
    set(conf, "node", "name", name, "the host name");
}

/* This node's entry in cluster.peers; NULL if there is none, or only a wrong one. */
static const struct conf_peer *find_self(const struct conf *conf)
{
    const struct conf_peer_list *peers = &conf->settings.cluster.peers;
    const char *name = conf->settings.node.name;

    for (size_t i = 0; i < peers->count && name != NULL; i++) {
        if (peers->items[i].address.host != NULL && strcmp(peers->items[i].name, name) == 0)
            return &peers->items[i];
    }
    return NULL;
}

static void derive_peer_listen(struct conf *conf)
{
    const struct conf_peer *self = find_self(conf);

    if (!is_set(conf, "peer", "listen") && self != NULL)
        set(conf, "peer", "listen", self->address.text, "from cluster.peers");
}

static void derive_peers(struct conf *conf)
{
    bool is_alone = !is_set(conf, "cluster", "peers");

    if (conf->settings.node.name == NULL)
        return;
    if (is_alone)
        set(conf, "cluster", "peers",
            conf__printf(conf, "%s=%s", conf->settings.node.name, LONE_PEER_ADDRESS),
            "this node alone");
    else
        derive_peer_listen(conf);
}

/* Nobody can connect to 0.0.0.0, so the host that other nodes use is told instead. */
static void derive_advertise(struct conf *conf)
{
    const struct conf_address_list *listen = &conf->settings.http.listen;
    const struct conf_peer *self = find_self(conf);

    if (is_set(conf, "http", "advertise") || listen->count == 0 || listen->items[0].host == NULL)
        return;
    if (!conf__is_wildcard(&listen->items[0]))
        set(conf, "http", "advertise", listen->items[0].text, "from http.listen");
    else if (self != NULL)
        set(conf, "http", "advertise",
            conf__printf(conf, strchr(self->address.host, ':') == NULL ? "%s:%u" : "[%s]:%u",
                         self->address.host, (unsigned)listen->items[0].port),
            "from cluster.peers and http.listen");
}

static void derive_transport(struct conf *conf, const char *section)
{
    if (!is_set(conf, section, "transport"))
        set(conf, section, "transport", conf->settings.transport.plugin, "from transport.plugin");
}

/* A folder of its own below data_dir for each storage plugin in use; options_fill drops it if the
 * plugin has no option called path. */
static void derive_path(struct conf *conf, const char *name)
{
    const struct conf_scope scope = {.kind = "storage", .name = name};
    const struct conf_origin origin = {.layer = CONF_DEFAULT, .name = "from node.data_dir"};
    struct conf_item *item = conf__alloc(conf, sizeof(*item));
    const struct conf_entry entry = {.key = "path", .origin = origin, .items = item, .count = 1};

    item->text = conf__printf(conf, "%s/store/%s", conf->settings.node.data_dir, name);
    item->origin = origin;
    conf__put(conf, &scope, &entry);
}

static void derive_paths(struct conf *conf)
{
    const char *name = conf->settings.storage.plugin;

    if (conf->settings.node.data_dir == NULL || conf->settings.node.data_dir[0] == '\0')
        return;
    for (unsigned depth = 0; name != NULL && depth < WRAPS_DEPTH; depth++) {
        const struct conf_section *section;
        const struct conf_item *inner;

        derive_path(conf, name);
        section = conf__section_find(conf, "storage", name);
        inner = conf_section_get(section, "wraps");
        name = inner != NULL && conf__is_name(inner->text) ? inner->text : NULL;
    }
}

void conf__derive(struct conf *conf)
{
    derive_name(conf);
    derive_peers(conf);
    derive_advertise(conf);
    derive_paths(conf);
    if (conf->settings.transport.plugin != NULL) {
        derive_transport(conf, "http");
        derive_transport(conf, "peer");
    }
}
