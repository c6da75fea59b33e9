/* What is wrong only when two keys are seen together. */
#include <string.h>

#include "conf/internal.h"
#include "conf/suggest.h"

static const struct conf_item *item_of(const struct conf *conf, const char *section,
                                       const char *name)
{
    const struct conf_entry *entry = conf__value(conf, section, name);

    return entry->count == 0 ? NULL : &entry->items[0];
}

/* Set, and in itself right: else there is nothing to compare. */
static bool is_good(const struct conf *conf, const char *section, const char *name)
{
    const struct conf_key *key = conf_schema_find(section, name);
    size_t i = (size_t)(key - conf_schema);

    return conf->values[i].count != 0 && !conf->invalid[i];
}

static uint64_t number(const struct conf *conf, const char *section, const char *name)
{
    const struct conf_key *key = conf_schema_find(section, name);

    return *(const uint64_t *)(const void *)((const char *)&conf->settings + key->offset);
}

/* section.name must be at least factor x section2.name2 */
struct proportion {
    const char *section, *name;
    unsigned factor;
    const char *section2, *name2;
};

static const struct proportion PROPORTIONS[] = {
    {"raft", "election_timeout", 5, "raft", "heartbeat_interval"},
    {"raft", "max_uncommitted", 2, "cluster", "value_max"},
    {"raft", "max_uncommitted", 1, "raft", "max_message"},
    {"peer", "queue_max", 2, "cluster", "value_max"},
    {"peer", "queue_max", 2, "raft", "max_message"},
    {"peer", "queue_max", 2, "snapshot", "chunk_size"},
    {"http", "max_bytes_in_flight", 1, "cluster", "value_max"},
    {"wal", "segment_size", 2, "cluster", "value_max"},
};

static void check_proportion(struct conf *conf, const struct proportion *p)
{
    const struct conf_item *item = item_of(conf, p->section, p->name);
    const struct conf_item *item2 = item_of(conf, p->section2, p->name2);
    const struct conf_origin *origin;
    uint64_t needed;

    if (!is_good(conf, p->section, p->name) || !is_good(conf, p->section2, p->name2))
        return;
    if (!__builtin_mul_overflow(number(conf, p->section2, p->name2), p->factor, &needed) &&
        number(conf, p->section, p->name) >= needed)
        return;
    /* The line to be sent to is one that somebody wrote. */
    origin = item->origin.layer == CONF_DEFAULT ? &item2->origin : &item->origin;
    if (p->factor == 1)
        conf_error(conf, origin, "%s.%s = %s must be at least %s.%s (%s, %s)", p->section, p->name,
                   item->text, p->section2, p->name2, item2->text,
                   conf__origin_text(conf, &item2->origin));
    else
        conf_error(conf, origin, "%s.%s = %s must be at least %u x %s.%s (%s, %s)", p->section,
                   p->name, item->text, p->factor, p->section2, p->name2, item2->text,
                   conf__origin_text(conf, &item2->origin));
}

static void check_self(struct conf *conf)
{
    const struct conf_peer_list *peers = &conf->settings.cluster.peers;
    const struct conf_item *name = item_of(conf, "node", "name");
    const char **names = conf__alloc(conf, (peers->count + 1) * sizeof(*names));

    if (!is_good(conf, "node", "name") || !is_good(conf, "cluster", "peers"))
        return;
    for (size_t i = 0; i < peers->count; i++) {
        names[i] = peers->items[i].name;
        if (strcmp(names[i], name->text) == 0) {
            conf->settings.cluster.self = i;
            return;
        }
    }
    conf_error(conf, &conf__value(conf, "cluster", "peers")->origin,
               "cluster.peers has no node '%s' (node.name, %s), only %s%s", name->text,
               conf__origin_text(conf, &name->origin), conf__join(conf, names),
               conf__near(conf, name->text, names));
}

static void check_listen(struct conf *conf)
{
    const struct conf_address_list *http = &conf->settings.http.listen;
    const struct conf_address *peer = &conf->settings.peer.listen;

    if (!is_good(conf, "http", "listen") || !is_good(conf, "peer", "listen"))
        return;
    for (size_t i = 0; i < http->count; i++) {
        if (http->items[i].port == peer->port && peer->port != 0 &&
            strcmp(http->items[i].host, peer->host) == 0)
            conf_error(conf, &conf__value(conf, "http", "listen")->items[i].origin,
                       "http.listen = %s is the address of peer.listen too (%s)",
                       http->items[i].text,
                       conf__origin_text(conf, &item_of(conf, "peer", "listen")->origin));
    }
}

static void check_advertise(struct conf *conf)
{
    const struct conf_address *advertise = &conf->settings.http.advertise;

    if (is_good(conf, "http", "advertise") && conf__is_wildcard(advertise))
        conf_error(conf, &item_of(conf, "http", "advertise")->origin,
                   "http.advertise: nobody can connect to %s", advertise->text);
}

/* One that can never match is a mistake that would show as a refusal much later. */
static void check_allowed_hosts(struct conf *conf)
{
    const struct conf_text_list *hosts = &conf->settings.http.allowed_hosts;

    for (size_t i = 0; i < hosts->count; i++) {
        if (strpbrk(hosts->items[i], "/:") != NULL)
            conf_error(conf, &conf__value(conf, "http", "allowed_hosts")->items[i].origin,
                       "http.allowed_hosts: %s is no host name; leave out scheme, port and path",
                       hosts->items[i]);
    }
}

static void check_allowed_origins(struct conf *conf)
{
    const struct conf_text_list *origins = &conf->settings.http.allowed_origins;

    for (size_t i = 0; i < origins->count; i++) {
        const char *text = origins->items[i], *host = strstr(text, "://");

        if (strcmp(text, "*") == 0 || (host != NULL && strchr(host + 3, '/') == NULL))
            continue;
        conf_error(conf, &conf__value(conf, "http", "allowed_origins")->items[i].origin,
                   "http.allowed_origins: %s is no origin; write scheme://host or "
                   "scheme://host:port, with nothing behind it",
                   text);
    }
}

/* A relative path would be another one after a start from another directory. */
static void check_path(struct conf *conf, const char *what, const struct conf_item *item)
{
    const char *home = conf__getenv(conf, "HOME");

    if (item->text[0] == '/')
        return;
    if (item->text[0] != '~')
        conf_error(conf, &item->origin,
                   "%s: \"%s\" does not begin with /; write the whole path, such as /var/lib/dkv",
                   what, item->text);
    else if (item->text[1] == '/' && home != NULL && home[0] == '/')
        conf_error(conf, &item->origin,
                   "%s: \"%s\" does not begin with /, and ~ is not expanded (did you mean '%s%s'?)",
                   what, item->text, home, item->text + 1);
    else
        conf_error(conf, &item->origin,
                   "%s: \"%s\" does not begin with /, and ~ is not expanded; write the whole path",
                   what, item->text);
}

static void check_data_dir(struct conf *conf)
{
    if (!is_good(conf, "node", "data_dir"))
        return;
    if (conf->settings.node.data_dir[0] != '\0')
        check_path(conf, "node.data_dir", item_of(conf, "node", "data_dir"));
    else if (!conf->settings.dev)
        conf_error(conf, &item_of(conf, "node", "data_dir")->origin,
                   "node.data_dir is empty; only --dev keeps no data");
}

/* The folder of a storage: the default is below node.data_dir, which has been looked at. */
static void check_storage_paths(struct conf *conf)
{
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct conf_section *section = conf->sections[i];
        const struct conf_item *path = conf_section_get(section, "path");

        if (strcmp(section->kind, "storage") == 0 && path != NULL &&
            path->origin.layer != CONF_DEFAULT)
            check_path(conf, conf__printf(conf, "storage \"%s\": path", section->name), path);
    }
}

/* In use: named by a key, or wrapped by one that is in use. */
static bool is_used(const struct conf *conf, const struct conf_section *section)
{
    static const char *const KEYS[][2] = {{"storage", "plugin"},
                                          {"transport", "plugin"},
                                          {"http", "transport"},
                                          {"peer", "transport"}};

    for (size_t i = 0; i < sizeof(KEYS) / sizeof(KEYS[0]); i++) {
        const struct conf_item *item = item_of(conf, KEYS[i][0], KEYS[i][1]);
        bool is_storage = strcmp(section->kind, "storage") == 0;

        if (item != NULL && is_storage == (i == 0) && strcmp(item->text, section->name) == 0)
            return true;
    }
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct conf_item *inner = conf_section_get(conf->sections[i], "wraps");

        if (inner != NULL && conf->sections[i] != section &&
            strcmp(conf->sections[i]->kind, section->kind) == 0 &&
            strcmp(inner->text, section->name) == 0)
            return true;
    }
    return false;
}

/* Not an error: a file may keep the options of the plugin it was tried with yesterday. */
static void check_sections(struct conf *conf)
{
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct conf_section *section = conf->sections[i];
        const struct conf_item *plugin = item_of(conf, section->kind, "plugin");

        if (section->origin.layer != CONF_DEFAULT && !is_used(conf, section))
            conf_warning(conf, &section->origin, "[%s \"%s\"] is not used: %s.plugin = %s",
                         section->kind, section->name, section->kind,
                         plugin == NULL ? "" : plugin->text);
    }
}

void conf__check(struct conf *conf)
{
    for (size_t i = 0; i < sizeof(PROPORTIONS) / sizeof(PROPORTIONS[0]); i++)
        check_proportion(conf, &PROPORTIONS[i]);
    check_self(conf);
    check_listen(conf);
    check_advertise(conf);
    check_allowed_hosts(conf);
    check_allowed_origins(conf);
    check_data_dir(conf);
    check_storage_paths(conf);
    check_sections(conf);
}
