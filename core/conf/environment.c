/* The layers above the files: DKV_SECTION_KEY, DKV_SECTION_KEY_FILE and --set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/internal.h"
#include "conf/suggest.h"

static const char PREFIX[] = "DKV_";
static const char FILE_SUFFIX[] = "_FILE";

/* Not settings: the plugin folder, and what our tests use. */
static const char *const OTHER_VARIABLES[] = {"DKV_PLUGIN_PATH", "DKV_SRCDIR", "DKV_BUILDDIR",
                                              "DKV_SHARED_DATA", NULL};

/* Kubernetes tells every container of a service called dkv where it is: DKV_SERVICE_HOST, DKV_PORT,
 * DKV_PORT_8500_TCP_ADDR; for dkv-peer DKV_PEER_PORT and so on. */
static bool is_kubernetes(const char *variable)
{
    size_t len = strlen(variable);

    return strstr(variable, "_SERVICE_HOST") != NULL || strstr(variable, "_SERVICE_PORT") != NULL ||
           strstr(variable, "_PORT_") != NULL ||
           (len > 5 && strcmp(variable + len - 5, "_PORT") == 0);
}

static bool is_setting(const char *variable)
{
    for (size_t i = 0; OTHER_VARIABLES[i] != NULL; i++) {
        if (strcmp(variable, OTHER_VARIABLES[i]) == 0)
            return false;
    }
    return strncmp(variable, PREFIX, sizeof(PREFIX) - 1) == 0;
}

const char *conf__getenv(const struct conf *conf, const char *name)
{
    size_t len = strlen(name);
    const char *const *variable = conf->input->environment;

    for (; variable != NULL && *variable != NULL; variable++) {
        if (strncmp(*variable, name, len) == 0 && (*variable)[len] == '=')
            return *variable + len + 1;
    }
    return NULL;
}

const char *conf__expand(struct conf *conf, const struct conf_origin *origin, const char *text)
{
    static const char REFERENCE[] = "${CREDENTIALS_DIRECTORY}";
    const char *found = strstr(text, REFERENCE);
    const char *dir;

    if (found == NULL)
        return text;
    dir = conf__getenv(conf, "CREDENTIALS_DIRECTORY");
    if (dir == NULL) {
        conf_error(conf, origin,
                   "%s is not set; systemd sets it for a unit with LoadCredential=", REFERENCE);
        return text;
    }
    return conf__printf(conf, "%.*s%s%s", (int)(found - text), text, dir,
                        found + sizeof(REFERENCE) - 1);
}

static bool is_list(const struct conf_scope *scope, const char *key)
{
    const struct conf_key *found = scope->name == NULL ? conf_schema_find(scope->kind, key) : NULL;

    return found != NULL && conf_type_is_list(found->type);
}

void conf__put_text(struct conf *conf, const struct conf_scope *scope, const char *key,
                    const char *text, const struct conf_origin *origin)
{
    struct conf_entry entry = {.key = conf__strdup(conf, key), .origin = *origin};

    if (!conf__is_clean(text)) {
        conf_error(conf, origin, "value has a control character or is not UTF-8");
        return;
    }
    if (is_list(scope, key)) {
        if (!conf__split(conf, text, origin, &entry))
            return;
    } else {
        entry.items = conf__alloc(conf, sizeof(*entry.items));
        entry.items->text = conf__expand(conf, origin, conf__strdup(conf, text));
        entry.items->origin = *origin;
        entry.count = 1;
    }
    conf__put(conf, scope, &entry);
}

static char capital(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c == '-' || c == '.' ? '_' : c;
}

/* DKV_RAFT_HEARTBEAT_INTERVAL out of raft and heartbeat_interval. */
static const char *variable_name(struct conf *conf, const char *section, const char *key)
{
    size_t size = sizeof(PREFIX) + strlen(section) + 1 + strlen(key);
    char *name = conf__alloc(conf, size);

    snprintf(name, size, "%s%s_%s", PREFIX, section, key);
    for (char *p = name; *p != '\0'; p++)
        *p = capital(*p);
    return name;
}

/* DKV_STORAGE_LMDB_MAP_SIZE is map_size in [storage "lmdb"], if there is such a section or plugin. */
static bool is_option_of(struct conf *conf, const char *variable, const char *kind,
                         const char *plugin, const char **key_out)
{
    const char *prefix = conf__printf(conf, "%s_", variable_name(conf, kind, plugin));
    size_t len = strlen(prefix);
    char *key;

    if (strncmp(variable, prefix, len) != 0 || variable[len] == '\0')
        return false;
    key = conf__alloc(conf, strlen(variable + len) + 1);
    for (size_t i = 0; variable[len + i] != '\0'; i++) {
        char c = variable[len + i];

        key[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    *key_out = key;
    return true;
}

static const char *chosen_plugin(const struct conf *conf, const char *kind)
{
    const struct conf_entry *value = conf__value(conf, kind, "plugin");

    return value->count != 0 ? value->items[0].text : conf_schema_find(kind, "plugin")->fallback;
}

static bool find_option(struct conf *conf, const char *variable, struct conf_scope *scope_out,
                        const char **key_out)
{
    static const char *const KINDS[] = {"storage", "transport"};

    for (size_t i = 0; i < sizeof(KINDS) / sizeof(KINDS[0]); i++) {
        const char *plugin = chosen_plugin(conf, KINDS[i]);

        if (is_option_of(conf, variable, KINDS[i], plugin, key_out)) {
            *scope_out = (struct conf_scope){.kind = KINDS[i], .name = plugin};
            return true;
        }
    }
    for (size_t i = 0; i < conf->sections_count; i++) {
        const struct conf_section *section = conf->sections[i];

        if (is_option_of(conf, variable, section->kind, section->name, key_out)) {
            *scope_out = (struct conf_scope){.kind = section->kind, .name = section->name};
            return true;
        }
    }
    return false;
}

static bool find_variable(struct conf *conf, const char *variable, struct conf_scope *scope_out,
                          const char **key_out)
{
    for (const struct conf_key *key = conf_schema; key->section != NULL; key++) {
        if (strcmp(variable, variable_name(conf, key->section, key->name)) == 0) {
            *scope_out = (struct conf_scope){.kind = key->section};
            *key_out = key->name;
            return true;
        }
    }
    return find_option(conf, variable, scope_out, key_out);
}

static void complain_about_variable(struct conf *conf, const struct conf_origin *origin)
{
    struct suggest suggest = {.word = origin->name};

    for (const struct conf_key *key = conf_schema; key->section != NULL; key++)
        suggest_offer(&suggest, variable_name(conf, key->section, key->name));
    for (size_t i = 0; OTHER_VARIABLES[i] != NULL; i++)
        suggest_offer(&suggest, OTHER_VARIABLES[i]);
    conf_error(conf, origin, "dkvd knows no such setting%s",
               conf__did_you_mean(conf, suggest.best));
}

/* DKV_X_FILE: the value is what the file says, less the newline at its end. */
static void put_from_file(struct conf *conf, const struct conf_scope *scope, const char *key,
                          const char *path, const struct conf_origin *origin)
{
    size_t len = 0;
    char *text = conf__slurp(conf, conf__expand(conf, origin, path), origin, &len);

    if (text == NULL)
        return;
    if (strlen(text) != len) {
        conf_error(conf, origin, "%s has a NUL byte in it", path);
    } else {
        if (len > 0 && text[len - 1] == '\n')
            text[len - 1] = '\0';
        conf__put_text(conf, scope, key, text, origin);
    }
    free(text);
}

static void read_variable(struct conf *conf, const char *variable, const char *value)
{
    struct conf_origin origin = {.layer = CONF_ENVIRONMENT, .name = variable};
    size_t len = strlen(variable), suffix_len = sizeof(FILE_SUFFIX) - 1;
    bool is_file = len > suffix_len && strcmp(variable + len - suffix_len, FILE_SUFFIX) == 0;
    const char *key = NULL, *plain;
    struct conf_scope scope;

    if (!is_setting(variable))
        return;
    /* log.file is a setting of its own; behind any other name, _FILE means "read it there". */
    if (find_variable(conf, variable, &scope, &key) && !(is_file && scope.name != NULL)) {
        conf__put_text(conf, &scope, key, value, &origin);
        return;
    }
    plain = conf__strndup(conf, variable, is_file ? len - suffix_len : 0);
    if (!is_file || !find_variable(conf, plain, &scope, &key)) {
        if (!is_kubernetes(variable))
            complain_about_variable(conf, &origin);
    } else if (conf__getenv(conf, plain) != NULL) {
        conf_error(conf, &origin, "%s is set too; which of them is meant?", plain);
    } else {
        put_from_file(conf, &scope, key, value, &origin);
    }
}

void conf__read_environment(struct conf *conf)
{
    const char *const *variable = conf->input->environment;

    /* DKV_STORAGE_PLUGIN tells whose the options are, so it has to be known before them. */
    for (int is_second = 0; is_second <= 1; is_second++) {
        for (size_t i = 0; variable != NULL && variable[i] != NULL; i++) {
            const char *equals = strchr(variable[i], '=');
            const char *name;
            bool is_plugin;

            if (equals == NULL)
                continue;
            name = conf__strndup(conf, variable[i], (size_t)(equals - variable[i]));
            is_plugin = strcmp(name, "DKV_STORAGE_PLUGIN") == 0 ||
                        strcmp(name, "DKV_TRANSPORT_PLUGIN") == 0;
            if (is_plugin != (bool)is_second)
                read_variable(conf, name, equals + 1);
        }
    }
}

/* section.key=value, or storage.NAME.key=value for a plugin's option. */
static void read_set(struct conf *conf, const char *set)
{
    struct conf_origin origin = {.layer = CONF_COMMAND_LINE};
    const char *equals = strchr(set, '=');
    const char *end = equals != NULL ? equals : set + strlen(set);
    const char *name = conf__strndup(conf, set, (size_t)(end - set));
    const char *first = strchr(name, '.'), *last = strrchr(name, '.');
    struct conf_scope scope;
    const char *section, *plugin = NULL;

    origin.name = conf__printf(conf, "--set %s", name);
    if (equals == NULL || first == NULL || first == name || last[1] == '\0') {
        conf_error(conf, &origin, "expected --set section.key=value");
        return;
    }
    section = conf__strndup(conf, name, (size_t)(first - name));
    if (first != last)
        plugin = conf__strndup(conf, first + 1, (size_t)(last - first - 1));
    conf__enter(conf, &origin, section, plugin, &scope);
    if (!scope.is_unknown)
        conf__put_text(conf, &scope, last + 1, equals + 1, &origin);
}

void conf__read_sets(struct conf *conf)
{
    for (size_t i = 0; i < conf->input->sets_count; i++)
        read_set(conf, conf->input->sets[i]);
}
