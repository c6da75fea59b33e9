/* Configuration: reads dkv.conf, conf.d, the environment and the command line, checks all of it and
 * gives plain settings.
 *
 * Used at start, on the main thread, and by SIGHUP beside it: a conf belongs to one thread at a time,
 * and nothing is shared between two.  Never opens the data directory, never resolves a name, never
 * stops at the first mistake: everything wrong is collected, each with the place where it stands,
 * and conf_report prints it.  Whoever checks more (the plugin loader, the node) adds to the same
 * list with conf_error, then all errors come out together. */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "conf/settings.h"
#include "dkv/types.h"

struct conf;

/* From weak to strong. */
enum conf_layer { CONF_DEFAULT, CONF_PRESET, CONF_FILE, CONF_ENVIRONMENT, CONF_COMMAND_LINE };

/* Where a value came from.  The texts belong to the conf. */
struct conf_origin {
    enum conf_layer layer;
    const char *name;      /* path, variable, "--set"; NULL for a default */
    unsigned line, column; /* from 1; 0 outside files and where a whole file is meant */
};

struct conf_item {
    const char *text;
    struct conf_origin origin;
};

struct conf_entry {
    const char *key;
    struct conf_origin origin; /* of the key */
    struct conf_item *items;   /* one, or more if it was written as a list */
    size_t count;
};

/* [storage "lmdb"]: the options of one plugin, not yet checked; see conf/options.h. */
struct conf_section {
    const char *kind; /* "storage" or "transport" */
    const char *name;
    struct conf_origin origin;
    struct conf_entry *entries;
    size_t count;
};

/* All borrowed during conf_load. */
struct conf_input {
    const char *path;        /* main file, NULL for none; conf.d beside it is read too */
    bool path_may_be_absent; /* the default path, and the user did not name it */
    bool dev;
    const char *const *environment; /* as environ; NULL for none */
    const char *const *sets;        /* section.key=value each */
    size_t sets_count;
    const char *host_name; /* what node.name is if nobody says; NULL asks the system */
};

/* Gives a conf, freed by conf_free, also when there are errors; conf_failed tells. */
struct conf *conf_load(const struct conf_input *input);
void conf_free(struct conf **conf);

bool conf_failed(const struct conf *conf);
/* Prints all errors and warnings as file:line:column, in the order of the files, and a closing
 * count; nothing if there are none. */
void conf_report(struct conf *conf, FILE *to);

/* Complete only if !conf_failed. */
const struct settings *conf_settings(const struct conf *conf);

/* The plugin's section; an empty one if the user wrote none.  Borrowed from conf. */
const struct conf_section *conf_section(struct conf *conf, const char *kind, const char *name);
/* The last value of a key, NULL if absent. */
const struct conf_item *conf_section_get(const struct conf_section *section, const char *key);
/* Origin of a key of the table such as "storage.plugin". */
const struct conf_origin *conf_origin(const struct conf *conf, const char *key);

void conf_error(struct conf *conf, const struct conf_origin *origin, const char *fmt, ...)
    DKV_PRINTF(3, 4);
void conf_warning(struct conf *conf, const struct conf_origin *origin, const char *fmt, ...)
    DKV_PRINTF(3, 4);

/* Is there a file to read again? */
bool conf_has_file(const struct conf *conf);

/* Called for each key that `then` has otherwise than `now`, options of plugins ("storage.lmdb.sync")
 * last.  The key is borrowed during the call; is_reloadable: it can change without a restart. */
typedef void conf_diff_fn(void *ctx, const char *key, bool is_reloadable);
/* Neither may have failed. */
void conf_diff(const struct conf *now, const struct conf *then, conf_diff_fn *changed, void *ctx);

/* What to do about a plugin folder that is not there. */
#define CONF_PLUGIN_DIR_HINT "; set DKV_PLUGIN_PATH to another folder (a build has tests/plugindir)"
/* The folder plugins are loaded from: DKV_PLUGIN_PATH if set, else the installed one. */
const char *conf_plugin_dir(const struct conf *conf);

/* Adds an error for every plugin named in the configuration of which the folder has no file; for
 * --check-config, where nothing is loaded. */
void conf_check_plugins(struct conf *conf);

enum conf_format { CONF_INI, CONF_JSON };
/* Effective values, each with its origin.  Values of plugin options are shown only if is_secret
 * says no; without is_secret they are all hidden. */
void conf_dump(struct conf *conf, enum conf_format format,
               bool (*is_secret)(void *ctx, const struct conf_section *section, const char *key),
               void *ctx, FILE *to);
void conf_print_sample(FILE *to);

#endif
