/* What every plugin exports: one constant descriptor named dkv_plugin.
 *
 * A plugin is a shared object NAME.so in the plugin folder (`pkg-config --variable=pluginsdir
 * dkv-plugin`), linked with -z defs: it may use libc, libevent and its own libraries, never a symbol
 * of the daemon.  It is loaded with RTLD_NOW | RTLD_LOCAL and is never unloaded.  One plugin may be
 * opened several times in a process, so it keeps no state outside its instances.  docs/plugin-guide.md
 * has an example and says how to build, test and install. */
#ifndef DKV_PLUGIN_H
#define DKV_PLUGIN_H

#include <event2/event.h>

#include "dkv/types.h"

/* A plugin loads if its major equals the daemon's and its minor is not above the daemon's.
 *
 * How the ABI grows.  With the minor: new slots at the end of the tables of functions, new members
 * at the end of dkv_host, *_args and of the requests that the daemon allocates (dkv_get, dkv_scan,
 * dkv_apply, ...), new codes, kinds, flags and option types.  With the major only: anything in
 * dkv_op, dkv_read and the base structs that plugins embed (dkv_store, dkv_reader, dkv_snapshot,
 * dkv_restore, dkv_transport), whose reserved words are zero and the way out.  Numbers are never
 * reused; what is to go is deprecated for one minor before the next major removes it.
 *
 * A table begins with its own size as it was compiled, so a slot that a plugin is too old to know
 * and one that it does not offer are the same to the daemon: NULL.  In the other direction, test
 * `size` before you use a member of *_args or dkv_host that is newer than 1.0.
 *
 * 1.0  first version
 */
#define DKV_ABI_MAJOR    1u
#define DKV_ABI_MINOR    0u
#define DKV_PLUGIN_MAGIC 0x31564b44u /* "DKV1" */

enum dkv_plugin_kind { DKV_PLUGIN_STORAGE = 1, DKV_PLUGIN_TRANSPORT = 2 };

/* descriptor flags */
#define DKV_PLUGIN_WRAPS (1u << 0) /* storage decorator: needs "wraps = NAME" in its section */

/* An option is a key of [storage "NAME"] or [transport "NAME"] in dkv.conf.  The daemon parses and
 * checks it, reports mistakes with their line, and stores the value at `offset` of a zeroed struct of
 * dkv_plugin.options_size bytes, which open() gets.  The keys "plugin" and "wraps" are the daemon's. */
enum dkv_option_type {
    DKV_OPTION_STRING = 1, /* const char *, UTF-8, borrowed until close() has returned; NULL if it
                              is not set and has no fallback */
    DKV_OPTION_BOOL,       /* bool */
    DKV_OPTION_INT,        /* int64_t */
    DKV_OPTION_SIZE,       /* uint64_t bytes; accepts 64K, 512M, 2G */
    DKV_OPTION_DURATION,   /* uint64_t milliseconds; accepts 250ms, 5s, 2m */
    DKV_OPTION_CHOICE      /* int64_t index into choices */
};
#define DKV_OPTION_REQUIRED (1u << 0) /* no start without it; the fallback is not used */
#define DKV_OPTION_SECRET   (1u << 1) /* never logged, never shown by the API */

struct dkv_option {
    const char *name;
    uint32_t type;
    uint32_t flags;
    size_t offset;              /* where the value goes in the plugin's own struct */
    const char *fallback;       /* as one would write it in dkv.conf; NULL = zero */
    int64_t min, max;           /* INT, SIZE (bytes), DURATION (ms); inclusive; both 0 = any */
    const char *const *choices; /* CHOICE; NULL-terminated */
    const char *help;           /* one line, goes to `dkvd --plugin-help NAME` */
};

enum dkv_log_level { DKV_LOG_DEBUG, DKV_LOG_INFO, DKV_LOG_WARNING, DKV_LOG_ERROR };

/* What the daemon lends to one instance, from the call of open() until close() has returned.  Any
 * thread may call it, also one of the plugin's own; no call blocks or fails. */
struct dkv_host {
    uint32_t size; /* sizeof(struct dkv_host) where the daemon was built */
    uint32_t reserved;
    void *ctx; /* the first argument of the calls */
    /* One line, no line feed, cut at 511 bytes.  Warnings and errors that come faster than 10 in 10
     * seconds are counted, not shown.  Never a value, a secret or a whole key. */
    void (*log)(void *ctx, int level, const char *fmt, ...) DKV_PRINTF(3, 4);
    /* Milliseconds of a monotonic clock, simulated under test.  Nothing that apply() does may
     * depend on it: replicas would differ. */
    uint64_t (*now_ms)(void *ctx);
};

struct dkv_storage_ops;
struct dkv_transport_ops;

/* Constant, and in the library for as long as the process lives. */
struct dkv_plugin {
    /* Frozen for all time, so that any daemon can refuse any plugin politely. */
    uint32_t magic;
    uint16_t abi_major;
    uint16_t abi_minor;
    const char *name;    /* that of the file without .so: 1 to 32 of a-z 0-9 _ -, a letter first */
    const char *version; /* the plugin's own, for people */

    uint32_t size;       /* sizeof(struct dkv_plugin) where the plugin was built */
    uint32_t kind;       /* enum dkv_plugin_kind */
    uint32_t flags;      /* DKV_PLUGIN_* */
    uint32_t libevent;   /* LIBEVENT_VERSION_NUMBER where it was built: major and minor must equal
                          the daemon's, because event_base and bufferevent cross this interface */
    const char *summary; /* one line for `dkvd --plugin-help NAME`; may be NULL */
    const struct dkv_option *options; /* ends with a NULL name; may be NULL */
    size_t options_size;              /* sizeof the struct the options fill */
    union {
        const struct dkv_storage_ops *storage;
        const struct dkv_transport_ops *transport;
    } ops;
    void *reserved[4]; /* NULL */
};

/* The descriptor, with all members that do not depend on the plugin:
 *   DKV_PLUGIN_DECLARE(.name = "x", .version = "1.0", .kind = DKV_PLUGIN_STORAGE,
 *                      .ops.storage = &x_ops);
 * Build with -fvisibility=hidden, so that nothing else is exported. */
#define DKV_PLUGIN_DECLARE(...)                                                                    \
    extern DKV_EXPORT const struct dkv_plugin dkv_plugin;                                          \
    const struct dkv_plugin dkv_plugin = {.magic = DKV_PLUGIN_MAGIC,                               \
                                          .abi_major = DKV_ABI_MAJOR,                              \
                                          .abi_minor = DKV_ABI_MINOR,                              \
                                          .size = sizeof(struct dkv_plugin),                       \
                                          .libevent = LIBEVENT_VERSION_NUMBER,                     \
                                          __VA_ARGS__}

#endif
