/* The log: one line per decision that an operator may ask about.
 *
 *     log_warn("raft", "raft.leader_lost", "the leader is gone",
 *              LOG_U64("term", term), LOG_STR("leader", name), LOG_END);
 *
 * Component, event id (stable, for alerts) and message are constant strings; what varies goes into
 * fields.  Any thread may log, except in a signal handler.  A call never blocks: it formats into a
 * bounded ring that a writer thread empties.  When the ring is full the line is dropped, counted,
 * and the count is told in a later line.  Warnings and errors are limited per call; the next line
 * of that call says how many were suppressed.  A line is at most 1 KiB; bytes that are not printable
 * ASCII, and the backslash, are written \xNN.
 *
 * Never log a value, a token, a header of a client's request or key material, at no level.  A
 * client's key goes through LOG_KEY only, which shows a hash, and the first 8 bytes at debug.
 *
 * Before log_start and after log_stop lines go straight to stderr. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dkv/types.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_LEVEL_COUNT };
enum log_format {
    LOG_FORMAT_AUTO,
    LOG_FORMAT_TEXT,
    LOG_FORMAT_JSON
}; /* auto: text on a terminal */

/* Zero takes the default in brackets. */
struct log_config {
    enum log_level level;     /* [LOG_DEBUG] */
    enum log_format format;   /* [auto] */
    const char *node;         /* in every line; copied [none] */
    const char *path;         /* a file to append to, see log_reopen [none: fd]; copied */
    int fd;                   /* borrowed [stderr] */
    size_t ring_bytes;        /* [4 MiB] */
    unsigned ring_lines;      /* [65536] */
    unsigned burst;           /* lines of one call per window [10] */
    unsigned window_ms;       /* [10000] */
    uint64_t (*now_us)(void); /* for the windows [clock_now_us] */
    int64_t (*wall_us)(void); /* for time stamps [clock_wall_us] */
};

int log_start(const struct log_config *config, struct dkv_error *err);
/* Writes what is left, for at most timeout_ms, and goes back to direct writing. */
void log_stop(unsigned timeout_ms);
/* Waits until everything logged before is written; false if that took longer.  For fail-stop and
 * panic too: it gives up in time even if its own lock is held by the thread that died. */
bool log_flush(unsigned timeout_ms);
/* Opens the path again, after rotation; done by the writer thread. */
void log_reopen(void);

/* For one component, or for all with NULL, which forgets the components' own.  False if too many
 * components have one. */
bool log_set_level(const char *comp, enum log_level level);
bool log_level_parse(const char *name, enum log_level *level_out);

/* Tests: every line goes to sink instead, on the thread that logs.  NULL ends it. */
void log_capture(void (*sink)(void *ctx, enum log_level level, const char *line), void *ctx);

enum log_kind {
    LOG_KIND_END,
    LOG_KIND_U64,
    LOG_KIND_I64,
    LOG_KIND_BOOL,
    LOG_KIND_STR,
    LOG_KIND_MS,
    LOG_KIND_KEY
};

struct log_field {
    const char *name;
    enum log_kind kind;
    union {
        uint64_t u64;
        int64_t i64;
        bool is_true;
        const char *str;
        struct dkv_slice key;
    };
};

#define LOG_U64(name_, v)                                                                          \
    {                                                                                              \
        .name = (name_), .kind = LOG_KIND_U64, .u64 = (v)                                          \
    }
#define LOG_I64(name_, v)                                                                          \
    {                                                                                              \
        .name = (name_), .kind = LOG_KIND_I64, .i64 = (v)                                          \
    }
#define LOG_BOOL(name_, v)                                                                         \
    {                                                                                              \
        .name = (name_), .kind = LOG_KIND_BOOL, .is_true = (v)                                     \
    }
#define LOG_STR(name_, v)                                                                          \
    {                                                                                              \
        .name = (name_), .kind = LOG_KIND_STR, .str = (v)                                          \
    } /* NULL is fine */
#define LOG_MS(name_, us)                                                                          \
    {                                                                                              \
        .name = (name_), .kind = LOG_KIND_MS, .u64 = (us)                                          \
    } /* 1.234 */
#define LOG_KEY(name_, slice)                                                                      \
    {                                                                                              \
        .name = (name_), .kind = LOG_KIND_KEY, .key = (slice)                                      \
    }
#define LOG_END                                                                                    \
    {                                                                                              \
        .name = NULL, .kind = LOG_KIND_END                                                         \
    }

/* Of one call in the source. */
struct log_site {
    const char *file;
    int line;
    _Atomic uint64_t window_at_us;
    _Atomic uint32_t count, suppressed;
};

extern _Atomic int log__level; /* the lowest that any component wants */

static inline bool log_is_on(enum log_level level)
{
    return (int)level >= atomic_load_explicit(&log__level, memory_order_relaxed);
}

void log__event(struct log_site *site, enum log_level level, const char *comp, const char *event,
                const char *msg, const struct log_field *fields, size_t fields_count);

#define log_event(level, comp, event, msg, ...)                                                    \
    do {                                                                                           \
        if (log_is_on(level)) {                                                                    \
            static struct log_site log_site_ = {.file = __FILE__, .line = __LINE__};               \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log__event(&log_site_, level, comp, event, msg, log_fields_,                           \
                       sizeof(log_fields_) / sizeof(log_fields_[0]));                              \
        }                                                                                          \
    } while (0)
#define log_debug(comp, event, msg, ...) log_event(LOG_DEBUG, comp, event, msg, __VA_ARGS__)
#define log_info(comp, event, msg, ...)  log_event(LOG_INFO, comp, event, msg, __VA_ARGS__)
#define log_warn(comp, event, msg, ...)  log_event(LOG_WARN, comp, event, msg, __VA_ARGS__)
#define log_error(comp, event, msg, ...) log_event(LOG_ERROR, comp, event, msg, __VA_ARGS__)

#endif
