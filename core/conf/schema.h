/* The table of all keys: the one source for parsing, defaults, ranges, the sample file, the dump and
 * the check that the manual page is complete.
 *
 * Constant data, any thread.  Sections stand together and in the order of the sample. */
#ifndef CONF_SCHEMA_H
#define CONF_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum conf_type {                         /* field in struct settings */
                 CONF_TYPE_TEXT,         /* const char * */
                 CONF_TYPE_NAME,         /* const char *: letters, digits, . _ -, 1 to 63 of them */
                 CONF_TYPE_BOOL,         /* bool */
                 CONF_TYPE_INT,          /* uint64_t */
                 CONF_TYPE_SIZE,         /* uint64_t, bytes */
                 CONF_TYPE_DURATION,     /* uint64_t, microseconds */
                 CONF_TYPE_PERCENT,      /* uint64_t */
                 CONF_TYPE_CHOICE,       /* an enum, index into choices */
                 CONF_TYPE_ADDRESS,      /* struct conf_address */
                 CONF_TYPE_ADDRESS_LIST, /* struct conf_address_list */
                 CONF_TYPE_PEER_LIST,    /* struct conf_peer_list */
                 CONF_TYPE_TEXT_LIST     /* struct conf_text_list */
};

#define CONF_KEY_LIVE       (1u << 0) /* not commented out in the sample */
#define CONF_KEY_RELOADABLE (1u << 1) /* may change without a restart */

struct conf_key {
    const char *section, *name;
    enum conf_type type;
    uint32_t flags;
    const char *fallback; /* in dkv.conf syntax; NULL: found by core/conf/derive.c */
    uint64_t min, max;    /* INT, SIZE, DURATION; both 0: any */
    size_t offset;
    const char *const *choices; /* NULL-terminated */
    const char *sample;         /* what the sample shows; NULL: the fallback */
    const char *help;           /* one line */
};

struct conf_section_help {
    const char *section, *help;
};

static inline bool conf_type_is_list(enum conf_type type)
{
    return type == CONF_TYPE_ADDRESS_LIST || type == CONF_TYPE_PEER_LIST ||
           type == CONF_TYPE_TEXT_LIST;
}

extern const struct conf_key conf_schema[]; /* ends with a NULL section */
extern const size_t conf_schema_count;
extern const struct conf_section_help conf_schema_sections[]; /* ends with a NULL section */

/* NULL if there is none. */
const struct conf_key *conf_schema_find(const char *section, const char *name);
bool conf_schema_has_section(const char *section);

#endif
