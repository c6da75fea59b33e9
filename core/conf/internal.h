/* Shared by the files of core/conf only: the conf object and the steps of conf_load.
 *
 * Layers are read from weak to strong (load.c, parse.c, environment.c); each puts raw entries here.
 * Then value.c converts what is left into settings, derive.c fills in what depends on other keys and
 * checks what two keys say together.  All memory lives until conf_free. */
#ifndef CONF_INTERNAL_H
#define CONF_INTERNAL_H

#include <stdarg.h>

#include "conf/conf.h"
#include "conf/schema.h"

#define CONF_FILE_MAX      (1u << 20) /* bytes */
#define CONF_LINE_MAX      (64u << 10)
#define CONF_ITEMS_MAX     256u /* values of one list */
#define CONF_FILES_MAX     256u
#define CONF_MESSAGES_MAX  1000u
#define CONF_INCLUDE_DEPTH 8u

struct conf_message {
    struct conf_origin origin;
    size_t file; /* position of the file in the order of reading */
    size_t number;
    bool is_warning;
    const char *text;
};

struct conf {
    struct settings settings;
    struct conf_entry *values; /* one for each line of the schema; count 0: not set */
    bool *invalid;             /* the same */
    struct conf_section **sections;
    size_t sections_count;

    void **memory; /* everything allocated by conf__alloc */
    size_t memory_count, memory_cap;

    const char *files[CONF_FILES_MAX]; /* paths in the order of reading */
    size_t files_count;
    const char *main_file; /* NULL if none was read */
    struct conf_message *messages;
    size_t messages_count, errors_count, warnings_count;

    const struct conf_input *input; /* during conf_load only */
    const char *plugin_dir;
};

/* A section while a file or another layer is read. */
struct conf_scope {
    const char *kind; /* NULL: none yet */
    const char *name; /* of a plugin section, else NULL */
    bool is_unknown;  /* complained about already; its keys are not looked at */
};

/* A file being read.  What it includes starts in its section, and does not change that. */
struct conf_reading {
    const char *file;
    struct conf_scope scope;
    const struct conf_reading *parent;
    unsigned depth;
};

/* conf_load is new, the layers, finish. */
struct conf *conf__new(const struct conf_input *input);
void conf__finish(struct conf *conf);

void *conf__alloc(struct conf *conf, size_t size); /* zeroed */
const char *conf__strndup(struct conf *conf, const char *text, size_t len);
const char *conf__strdup(struct conf *conf, const char *text);
const char *conf__printf(struct conf *conf, const char *fmt, ...) DKV_PRINTF(2, 3);
void conf__verror(struct conf *conf, const struct conf_origin *origin, bool is_warning,
                  const char *fmt, va_list ap) DKV_PRINTF(4, 0);
/* " (did you mean 'best'?)" or "". */
const char *conf__did_you_mean(struct conf *conf, const char *best);

const char *conf__getenv(const struct conf *conf, const char *name);
const char *conf__expand(struct conf *conf, const struct conf_origin *origin, const char *text);

/* The main file and conf.d beside it. */
void conf__read_files(struct conf *conf, const char *path, bool may_be_absent);
/* Gives the text, NUL-terminated, freed with free(); NULL after complaining at `origin`. */
char *conf__slurp(struct conf *conf, const char *path, const struct conf_origin *origin,
                  size_t *len_out);
void conf__include(struct conf *conf, const struct conf_item *pattern,
                   const struct conf_reading *reading);
void conf__parse(struct conf *conf, struct conf_reading *reading, const char *text, size_t len);

void conf__enter(struct conf *conf, const struct conf_origin *origin, const char *kind,
                 const char *name, struct conf_scope *scope_out);
/* Takes over the entry: replaces a weaker layer's, adds to an earlier line of the same file. */
void conf__put(struct conf *conf, const struct conf_scope *scope, const struct conf_entry *entry);
struct conf_entry *conf__value(const struct conf *conf, const char *section, const char *name);
struct conf_section *conf__section_find(const struct conf *conf, const char *kind,
                                        const char *name);
/* The section, made if it is not there. */
struct conf_section *conf__section(struct conf *conf, const char *kind, const char *name,
                                   const struct conf_origin *origin);
bool conf__is_plugin_kind(const char *section);

void conf__read_environment(struct conf *conf);
void conf__read_sets(struct conf *conf);
/* UTF-8 without control characters. */
bool conf__is_clean(const char *text);
/* Splits a list as a file's line would; the text of anything else is taken as it is. */
void conf__put_text(struct conf *conf, const struct conf_scope *scope, const char *key,
                    const char *text, const struct conf_origin *origin);
/* Comma separated items of `text`, of which all places are `origin`. */
bool conf__split(struct conf *conf, const char *text, const struct conf_origin *origin,
                 struct conf_entry *entry);

/* Converts the entry, or the default if there is none, into the key's field. */
void conf__convert(struct conf *conf, const struct conf_key *key);
/* "" or " (did you mean 'best'?)" for a word that should have been one of these. */
const char *conf__near(struct conf *conf, const char *word, const char *const *words);
/* "error, warn, info" */
const char *conf__join(struct conf *conf, const char *const *words);
/* NULL, or what is wrong with it. */
const char *conf__parse_address(struct conf *conf, const char *text,
                                struct conf_address *address_out);
bool conf__is_name(const char *text);
bool conf__is_wildcard(const struct conf_address *address);
/* "default", "dkv.conf:3:8", "environment variable DKV_X". */
const char *conf__origin_text(struct conf *conf, const struct conf_origin *origin);

void conf__derive(struct conf *conf);
void conf__check(struct conf *conf);

#endif
