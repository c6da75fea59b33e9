#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_line.h"
#include "base/log_writer.h"
#include "base/mem.h"

#define RING_BYTES      ((size_t)4 << 20)
#define RING_LINES      65536u
#define BURST           10u
#define WINDOW_MS       10000u
#define COMP_LEVELS_MAX 32

_Atomic int log__level = LOG_INFO;

struct comp_level {
    char name[16];
    enum log_level level;
};

/* Written under `lock` exclusively, read under it shared: start, stop, levels and capture are rare. */
static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static struct {
    struct log_writer *writer;
    bool is_json, has_priority;
    char *node;
    uint64_t hash_key[2];
    uint64_t window_us;
    unsigned burst;
    uint64_t (*now_us)(void);
    int64_t (*wall_us)(void);
    enum log_level level;
    struct comp_level comps[COMP_LEVELS_MAX];
    unsigned comps_count;
    void (*sink)(void *ctx, enum log_level level, const char *line);
    void *sink_ctx;
} state = {
    .burst = BURST,
    .window_us = WINDOW_MS * UINT64_C(1000),
    .now_us = clock_now_us,
    .wall_us = clock_wall_us,
    .level = LOG_INFO,
};

static bool is_wanted(const char *comp, enum log_level level)
{
    for (unsigned i = 0; i < state.comps_count; i++)
        if (strcmp(state.comps[i].name, comp) == 0)
            return level >= state.comps[i].level;
    return level >= state.level;
}

/* Two threads at a window's edge may let a line more or less pass, which does no harm. */
static bool may_pass(struct log_site *site, uint32_t *suppressed_out)
{
    uint64_t now = state.now_us(), at = atomic_load(&site->window_at_us);

    if (now - at >= state.window_us &&
        atomic_compare_exchange_strong(&site->window_at_us, &at, now))
        atomic_store(&site->count, 0);
    if (atomic_fetch_add(&site->count, 1) >= state.burst) {
        atomic_fetch_add(&site->suppressed, 1);
        return false;
    }
    *suppressed_out = atomic_exchange(&site->suppressed, 0);
    return true;
}

static struct log_head head_of(enum log_level level, const char *comp, const char *event,
                               const char *msg)
{
    return (struct log_head){.wall_us = state.wall_us(),
                             .level = level,
                             .is_json = state.is_json,
                             .has_priority = state.has_priority,
                             .comp = comp,
                             .event = event,
                             .msg = msg,
                             .node = state.node};
}

static void add_source(struct log_line *line, const struct log_site *site)
{
    const char *inside = strstr(site->file, "core/");
    char text[128];

    snprintf(text, sizeof(text), "%s:%d", inside == NULL ? site->file : inside, site->line);
    log_line_add(line, &(struct log_field)LOG_STR("src", text), state.hash_key);
}

static void emit(const struct log_line *line)
{
    if (state.sink != NULL)
        state.sink(state.sink_ctx, line->level, line->text);
    else if (state.writer != NULL)
        log_writer_put(state.writer, line->text, line->len);
    else
        (void)!write(STDERR_FILENO, line->text, line->len);
}

static void log_line_of(struct log_site *site, struct log_head head, uint32_t suppressed,
                        const struct log_field *fields, size_t fields_count)
{
    struct log_line line;

    log_line_begin(&line, &head);
    if (suppressed > 0)
        log_line_add(&line, &(struct log_field)LOG_U64("suppressed", suppressed), state.hash_key);
    for (size_t i = 0; i < fields_count && fields[i].kind != LOG_KIND_END; i++)
        log_line_add(&line, &fields[i], state.hash_key);
    if (head.level == LOG_DEBUG)
        add_source(&line, site);
    log_line_end(&line);
    emit(&line);
}

void log__event(struct log_site *site, enum log_level level, const char *comp, const char *event,
                const char *msg, const struct log_field *fields, size_t fields_count)
{
    int saved_errno = errno;
    uint32_t suppressed = 0;

    pthread_rwlock_rdlock(&lock);
    if (is_wanted(comp, level) && (level < LOG_WARN || may_pass(site, &suppressed)))
        log_line_of(site, head_of(level, comp, event, msg), suppressed, fields, fields_count);
    pthread_rwlock_unlock(&lock);
    errno = saved_errno;
}

/* On the writer's thread, while log_stop may hold the lock: `state` does not change before the
 * writer has ended. */
static size_t dropped_line(char *to, size_t len, unsigned long long count)
{
    struct log_head head = head_of(LOG_WARN, "log", "log.dropped", "log lines were dropped");
    struct log_line line;

    log_line_begin(&line, &head);
    log_line_add(&line, &(struct log_field)LOG_U64("count", count), state.hash_key);
    log_line_end(&line);
    if (line.len > len)
        return 0;
    memcpy(to, line.text, line.len);
    return line.len;
}

/* The service manager sets JOURNAL_STREAM to the device and inode of the stream it reads. */
static bool is_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat st;

    if (stream == NULL || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
        return false;
    return fstat(fd, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

static void update_level(void)
{
    int level = (int)state.level;

    for (unsigned i = 0; i < state.comps_count; i++)
        if ((int)state.comps[i].level < level)
            level = (int)state.comps[i].level;
    atomic_store_explicit(&log__level, level, memory_order_relaxed);
}

static void configure(const struct log_config *config, int fd)
{
    state.is_json =
        config->format == LOG_FORMAT_JSON || (config->format == LOG_FORMAT_AUTO && isatty(fd) == 0);
    state.has_priority = config->path == NULL && is_journal(fd);
    free(state.node);
    state.node = config->node == NULL ? NULL : xstrdup(config->node);
    state.burst = config->burst == 0 ? BURST : config->burst;
    state.window_us = (config->window_ms == 0 ? WINDOW_MS : config->window_ms) * UINT64_C(1000);
    state.now_us = config->now_us == NULL ? clock_now_us : config->now_us;
    state.wall_us = config->wall_us == NULL ? clock_wall_us : config->wall_us;
    state.level = config->level;
    state.comps_count = 0;
    if (getrandom(state.hash_key, sizeof(state.hash_key), GRND_NONBLOCK) < 0)
        state.hash_key[0] = (uint64_t)clock_wall_us();
    update_level();
}

int log_start(const struct log_config *config, struct dkv_error *err)
{
    struct log_writer_config wanted = {
        .path = config->path,
        .fd = config->fd == 0 ? STDERR_FILENO : config->fd,
        .ring_bytes = config->ring_bytes == 0 ? RING_BYTES : config->ring_bytes,
        .ring_lines = config->ring_lines == 0 ? RING_LINES : config->ring_lines,
        .dropped_line = dropped_line,
    };
    struct log_writer *writer;
    int status = log_writer_start(&wanted, &writer, err);

    if (status != DKV_OK)
        return status;
    pthread_rwlock_wrlock(&lock);
    configure(config, log_writer_fd(writer));
    state.writer = writer;
    pthread_rwlock_unlock(&lock);
    return DKV_OK;
}

void log_stop(unsigned timeout_ms)
{
    struct log_writer *writer;

    pthread_rwlock_wrlock(&lock);
    writer = state.writer;
    state.writer = NULL;
    pthread_rwlock_unlock(&lock);
    if (writer != NULL)
        log_writer_stop(writer, timeout_ms);
}

bool log_flush(unsigned timeout_ms)
{
    struct timespec deadline;
    bool is_done;

    /* Bounded, for a thread that died may hold the lock. */
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += (time_t)(timeout_ms / 1000) + 1;
    if (pthread_rwlock_timedrdlock(&lock, &deadline) != 0)
        return false;
    is_done = state.writer == NULL || log_writer_flush(state.writer, timeout_ms);
    pthread_rwlock_unlock(&lock);
    return is_done;
}

void log_reopen(void)
{
    pthread_rwlock_rdlock(&lock);
    if (state.writer != NULL)
        log_writer_reopen(state.writer);
    pthread_rwlock_unlock(&lock);
}

static struct comp_level *comp_level(const char *comp)
{
    for (unsigned i = 0; i < state.comps_count; i++)
        if (strcmp(state.comps[i].name, comp) == 0)
            return &state.comps[i];
    if (state.comps_count == COMP_LEVELS_MAX || strlen(comp) >= sizeof(state.comps[0].name))
        return NULL;
    strcpy(state.comps[state.comps_count].name, comp);
    return &state.comps[state.comps_count++];
}

bool log_set_level(const char *comp, enum log_level level)
{
    struct comp_level *own = NULL;

    pthread_rwlock_wrlock(&lock);
    if (comp == NULL) {
        state.level = level;
        state.comps_count = 0;
    } else {
        own = comp_level(comp);
        if (own != NULL)
            own->level = level;
    }
    update_level();
    pthread_rwlock_unlock(&lock);
    return comp == NULL || own != NULL;
}

bool log_level_parse(const char *name, enum log_level *level_out)
{
    static const char *const names[LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

    for (int i = 0; i < LOG_LEVEL_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            *level_out = (enum log_level)i;
            return true;
        }
    }
    return false;
}

void log_capture(void (*sink)(void *ctx, enum log_level level, const char *line), void *ctx)
{
    pthread_rwlock_wrlock(&lock);
    state.sink = sink;
    state.sink_ctx = ctx;
    pthread_rwlock_unlock(&lock);
}
