/* From the text of a value to the field of the settings. */
#include <inttypes.h>
#include <string.h>

#include "conf/internal.h"
#include "conf/suggest.h"
#include "conf/units.h"

#define NAME_MAX_LEN 63u
#define PEERS_MAX    64u /* raft counts votes in 64 bits */

bool conf__is_name(const char *text)
{
    size_t len = strlen(text);

    return len > 0 && len <= NAME_MAX_LEN && text[0] != '.' && text[0] != '-' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

const char *conf__near(struct conf *conf, const char *word, const char *const *words)
{
    struct suggest suggest = {.word = word};

    for (; *words != NULL; words++)
        suggest_offer(&suggest, *words);
    return conf__did_you_mean(conf, suggest.best);
}

const char *conf__join(struct conf *conf, const char *const *words)
{
    const char *text = words[0] == NULL ? "none" : words[0];

    for (size_t i = 1; words[0] != NULL && words[i] != NULL; i++)
        text = conf__printf(conf, "%s, %s", text, words[i]);
    return text;
}

static void complain(struct conf *conf, const struct conf_key *key, const struct conf_item *item,
                     const char *wrong)
{
    conf_error(conf, &item->origin, "%s.%s: \"%s\" %s", key->section, key->name, item->text, wrong);
}

static const char *format_number(enum conf_type type, uint64_t value, char text[UNITS_TEXT_SIZE])
{
    if (type == CONF_TYPE_SIZE)
        return units_format_size(value, text);
    if (type == CONF_TYPE_DURATION)
        return units_format_duration(value, text);
    snprintf(text, UNITS_TEXT_SIZE, "%" PRIu64 "%s", value, type == CONF_TYPE_PERCENT ? "%" : "");
    return text;
}

static const char *parse_number(const struct conf_key *key, const char *text, uint64_t *value_out)
{
    const char *wrong;
    int64_t value = 0;

    switch (key->type) {
    case CONF_TYPE_SIZE:
        return units_parse_size(text, value_out);
    case CONF_TYPE_DURATION:
        return units_parse_duration(text, value_out);
    case CONF_TYPE_PERCENT:
        return units_parse_percent(text, value_out);
    default:
        wrong = units_parse_int(text, &value);
        if (wrong == NULL && value < 0)
            return "is negative";
        *value_out = (uint64_t)value;
        return wrong;
    }
}

static bool convert_number(struct conf *conf, const struct conf_key *key,
                           const struct conf_item *item, uint64_t *field)
{
    char least[UNITS_TEXT_SIZE], most[UNITS_TEXT_SIZE];
    uint64_t value = 0;
    const char *wrong = parse_number(key, item->text, &value);

    if (wrong != NULL) {
        complain(conf, key, item, wrong);
        return false;
    }
    if (key->max != 0 && (value < key->min || value > key->max)) {
        conf_error(conf, &item->origin, "%s.%s = %s must be between %s and %s", key->section,
                   key->name, item->text, format_number(key->type, key->min, least),
                   format_number(key->type, key->max, most));
        return false;
    }
    *field = value;
    return true;
}

static bool convert_choice(struct conf *conf, const struct conf_key *key,
                           const struct conf_item *item, unsigned *field)
{
    for (unsigned i = 0; key->choices[i] != NULL; i++) {
        if (strcmp(key->choices[i], item->text) == 0) {
            *field = i;
            return true;
        }
    }
    conf_error(conf, &item->origin, "%s.%s: \"%s\" is none of %s%s", key->section, key->name,
               item->text, conf__join(conf, key->choices),
               conf__near(conf, item->text, key->choices));
    return false;
}

static bool convert_address(struct conf *conf, const struct conf_key *key,
                            const struct conf_item *item, struct conf_address *field)
{
    const char *wrong = conf__parse_address(conf, item->text, field);

    if (wrong != NULL)
        complain(conf, key, item, wrong);
    return wrong == NULL;
}

static bool convert_addresses(struct conf *conf, const struct conf_key *key,
                              const struct conf_entry *entry, struct conf_address_list *field)
{
    struct conf_address *items = conf__alloc(conf, entry->count * sizeof(*items));
    bool is_good = true;

    for (size_t i = 0; i < entry->count; i++) {
        if (!convert_address(conf, key, &entry->items[i], &items[i])) {
            is_good = false;
            continue;
        }
        for (size_t j = 0; j < i; j++) {
            /* Port 0 is a new port each time. */
            if (items[j].host == NULL || items[j].port != items[i].port || items[i].port == 0 ||
                strcmp(items[j].host, items[i].host) != 0)
                continue;
            complain(conf, key, &entry->items[i], "stands here twice");
            is_good = false;
        }
    }
    field->items = items;
    field->count = entry->count;
    return is_good;
}

static bool convert_peer(struct conf *conf, const struct conf_key *key,
                         const struct conf_item *item, struct conf_peer *peer)
{
    const char *equals = strchr(item->text, '=');
    const char *wrong;

    if (equals == NULL) {
        complain(conf, key, item, "is not a node; write NAME=HOST:PORT");
        return false;
    }
    peer->name = conf__strndup(conf, item->text, (size_t)(equals - item->text));
    if (!conf__is_name(peer->name)) {
        complain(conf, key, item, "has a bad name: 1 to 63 letters, digits, . _ - only");
        return false;
    }
    wrong = conf__parse_address(conf, equals + 1, &peer->address);
    if (wrong == NULL && peer->address.port == 0)
        wrong = "has port 0, where nobody can be reached";
    if (wrong == NULL && conf__is_wildcard(&peer->address))
        wrong = "has an address that other nodes cannot connect to";
    if (wrong != NULL)
        complain(conf, key, item, wrong);
    return wrong == NULL;
}

/* Both of a pair that clashes are named: either may be the wrong one. */
static bool is_peer_new(struct conf *conf, const struct conf_entry *entry,
                        const struct conf_peer *peers, size_t i)
{
    bool is_new = true;

    for (size_t j = 0; j < i; j++) {
        if (peers[j].address.host == NULL)
            continue;
        if (strcmp(peers[j].name, peers[i].name) == 0) {
            conf_error(conf, &entry->items[i].origin,
                       "cluster.peers: '%s' and '%s' have the same name", entry->items[j].text,
                       entry->items[i].text);
            is_new = false;
        } else if (strcmp(peers[j].address.host, peers[i].address.host) == 0 &&
                   peers[j].address.port == peers[i].address.port) {
            conf_error(conf, &entry->items[i].origin,
                       "cluster.peers: '%s' and '%s' have the same address", entry->items[j].text,
                       entry->items[i].text);
            is_new = false;
        }
    }
    return is_new;
}

static bool convert_peers(struct conf *conf, const struct conf_key *key,
                          const struct conf_entry *entry, struct conf_peer_list *field)
{
    struct conf_peer *items = conf__alloc(conf, entry->count * sizeof(*items));
    bool is_good = entry->count <= PEERS_MAX;

    if (!is_good)
        conf_error(conf, &entry->items[PEERS_MAX].origin,
                   "cluster.peers has %zu nodes; a cluster has at most %u", entry->count,
                   PEERS_MAX);
    for (size_t i = 0; i < entry->count; i++) {
        if (!convert_peer(conf, key, &entry->items[i], &items[i]) ||
            !is_peer_new(conf, entry, items, i))
            is_good = false;
    }
    field->items = items;
    field->count = entry->count;
    return is_good;
}

static bool convert_texts(struct conf *conf, const struct conf_entry *entry,
                          struct conf_text_list *field)
{
    const char **items = conf__alloc(conf, entry->count * sizeof(*items));

    for (size_t i = 0; i < entry->count; i++)
        items[i] = entry->items[i].text;
    field->items = items;
    field->count = entry->count;
    return true;
}

static bool convert_name(struct conf *conf, const struct conf_key *key,
                         const struct conf_item *item, const char **field)
{
    if (!conf__is_name(item->text)) {
        complain(conf, key, item, "is not a name: 1 to 63 letters, digits, . _ - only");
        return false;
    }
    *field = item->text;
    return true;
}

static bool convert_bool(struct conf *conf, const struct conf_key *key,
                         const struct conf_item *item, bool *field)
{
    const char *wrong = units_parse_bool(item->text, field);

    if (wrong != NULL)
        complain(conf, key, item, wrong);
    return wrong == NULL;
}

static bool convert(struct conf *conf, const struct conf_key *key, const struct conf_entry *entry)
{
    void *field = (char *)&conf->settings + key->offset;

    switch (key->type) {
    case CONF_TYPE_TEXT:
        *(const char **)field = entry->items[0].text;
        return true;
    case CONF_TYPE_NAME:
        return convert_name(conf, key, entry->items, field);
    case CONF_TYPE_BOOL:
        return convert_bool(conf, key, entry->items, field);
    case CONF_TYPE_INT:
    case CONF_TYPE_SIZE:
    case CONF_TYPE_DURATION:
    case CONF_TYPE_PERCENT:
        return convert_number(conf, key, entry->items, field);
    case CONF_TYPE_CHOICE:
        return convert_choice(conf, key, entry->items, field);
    case CONF_TYPE_ADDRESS:
        return convert_address(conf, key, entry->items, field);
    case CONF_TYPE_ADDRESS_LIST:
        return convert_addresses(conf, key, entry, field);
    case CONF_TYPE_PEER_LIST:
        return convert_peers(conf, key, entry, field);
    case CONF_TYPE_TEXT_LIST:
        return convert_texts(conf, entry, field);
    }
    return false;
}

static bool has_one_value(struct conf *conf, const struct conf_key *key,
                          const struct conf_entry *entry)
{
    const struct conf_origin *first = &entry->items[0].origin, *second;

    if (conf_type_is_list(key->type) || entry->count == 1)
        return true;
    second = &entry->items[1].origin;
    if (first->line == second->line)
        conf_error(conf, second, "%s.%s takes one value; quote it if the comma is part of it",
                   key->section, key->name);
    else
        conf_error(conf, second, "%s.%s is set twice in this file, first in line %u", key->section,
                   key->name, first->line);
    return false;
}

static void set_default(struct conf *conf, const struct conf_key *key, struct conf_entry *entry)
{
    const struct conf_origin origin = {.layer = CONF_DEFAULT};

    entry->key = key->name;
    entry->origin = origin;
    conf__split(conf, key->fallback, &origin, entry);
}

void conf__convert(struct conf *conf, const struct conf_key *key)
{
    struct conf_entry *entry = &conf->values[key - conf_schema];

    if (entry->count == 0 && key->fallback != NULL)
        set_default(conf, key, entry);
    if (entry->count == 0)
        return;
    if (!has_one_value(conf, key, entry) || !convert(conf, key, entry))
        conf->invalid[key - conf_schema] = true;
}
