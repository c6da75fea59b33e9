#include "base/log_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/log_line.h"
#include "base/mem.h"
#include "base/thread.h"

#define BATCH_BYTES ((size_t)32 << 10)
/* A pipe that polls as writable has room for this much, so the write does not block. */
#define PIPE_BYTES ((size_t)4096)
#define POLL_MS    100

struct log_writer {
    struct thread thread;
    char *path;
    bool is_file; /* of the writer thread */
    size_t (*dropped_line)(char *to, size_t len, unsigned long long count);

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work;  /* the thread waits */
    pthread_cond_t progress;
    int fd;
    char *ring;
    size_t ring_bytes, head, used; /* whole lines, wrapping anywhere */
    unsigned lines, ring_lines;
    unsigned long long dropped;
    unsigned long long put_seq, written_seq; /* bytes ever accepted, and done with */
    bool must_stop, must_reopen, has_ended;
    atomic_bool give_up;
};

static struct timespec deadline_after(clockid_t which, unsigned timeout_ms)
{
    struct timespec ts;

    clock_gettime(which, &ts);
    ts.tv_sec += (time_t)(timeout_ms / 1000);
    ts.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_sec++;
        ts.tv_nsec -= 1000000000;
    }
    return ts;
}

static int open_path(const char *path)
{
    return open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
}

static void look_at_fd(struct log_writer *w, int fd)
{
    struct stat st;

    w->is_file = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* The part of bytes to write at once: all of it to a file, whole lines to anything else. */
static size_t part_len(const struct log_writer *w, const char *bytes, size_t len)
{
    const char *newline;

    if (w->is_file || len <= PIPE_BYTES)
        return len;
    newline = memrchr(bytes, '\n', PIPE_BYTES);
    return newline == NULL ? PIPE_BYTES : (size_t)(newline - bytes) + 1;
}

static bool wait_writable(struct log_writer *w, int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};

    if (w->is_file)
        return true;
    while (!atomic_load_explicit(&w->give_up, memory_order_relaxed)) {
        int n = poll(&p, 1, POLL_MS);

        if (n > 0 || (n < 0 && errno != EINTR))
            return true; /* the write will tell an error */
    }
    return false;
}

/* False if some of it is lost; nothing here may fail louder, for it would be logged. */
static bool write_all(struct log_writer *w, int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n;

        if (!wait_writable(w, fd))
            return false;
        n = write(fd, bytes, part_len(w, bytes, len));
        if (n < 0 && (errno == EINTR || (errno == EAGAIN && !w->is_file)))
            continue;
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static void ring_copy_in(struct log_writer *w, const char *bytes, size_t len)
{
    size_t at = (w->head + w->used) % w->ring_bytes;
    size_t first = len < w->ring_bytes - at ? len : w->ring_bytes - at;

    memcpy(w->ring + at, bytes, first);
    memcpy(w->ring, bytes + first, len - first);
    w->used += len;
}

static char ring_byte(const struct log_writer *w, size_t i)
{
    return w->ring[(w->head + i) % w->ring_bytes];
}

/* Whole lines only, because each counts. */
static size_t ring_take(struct log_writer *w, char *to)
{
    size_t len = w->used < BATCH_BYTES ? w->used : BATCH_BYTES;
    size_t first;

    while (len > 0 && ring_byte(w, len - 1) != '\n')
        len--;
    first = len < w->ring_bytes - w->head ? len : w->ring_bytes - w->head;
    memcpy(to, w->ring + w->head, first);
    memcpy(to + first, w->ring, len - first);
    w->head = (w->head + len) % w->ring_bytes;
    w->used -= len;
    for (size_t i = 0; i < len; i++)
        w->lines -= to[i] == '\n';
    return len;
}

static void reopen_locked(struct log_writer *w)
{
    int fd, old = w->fd;

    w->must_reopen = false;
    if (w->path == NULL)
        return;
    pthread_mutex_unlock(&w->lock);
    fd = open_path(w->path);
    if (fd >= 0) {
        look_at_fd(w, fd);
        close(old);
    } else {
        log_warn("log", "log.reopen_failed", "cannot open the log file, going on with the old one",
                 LOG_STR("path", w->path), LOG_STR("err", strerror(errno)), LOG_END);
    }
    pthread_mutex_lock(&w->lock);
    if (fd >= 0)
        w->fd = fd; /* otherwise the old file is better than none */
}

/* Takes a batch under the lock and writes it without. */
static void write_batch(struct log_writer *w, char *batch)
{
    size_t len = ring_take(w, batch), total = len;
    unsigned long long dropped = w->dropped;
    unsigned long long lost = 0;
    int fd = w->fd;

    w->dropped = 0;
    pthread_mutex_unlock(&w->lock);
    if (dropped > 0)
        total += w->dropped_line(batch + len, LOG_LINE_MAX, dropped);
    if (!write_all(w, fd, batch, total)) {
        lost = dropped;
        for (size_t i = 0; i < len; i++)
            lost += batch[i] == '\n';
    }
    pthread_mutex_lock(&w->lock);
    w->dropped += lost;
    w->written_seq += len;
    pthread_cond_broadcast(&w->progress);
}

static bool has_work(const struct log_writer *w)
{
    return w->used > 0 || w->must_reopen || w->must_stop;
}

static void run(void *ctx)
{
    struct log_writer *w = ctx;
    char *batch = xmalloc(BATCH_BYTES + LOG_LINE_MAX);

    pthread_mutex_lock(&w->lock);
    while (true) {
        while (!has_work(w))
            pthread_cond_wait(&w->work, &w->lock);
        if (w->must_reopen)
            reopen_locked(w);
        if (w->used > 0)
            write_batch(w, batch);
        else if (w->must_stop)
            break;
    }
    w->has_ended = true;
    pthread_cond_broadcast(&w->progress);
    pthread_mutex_unlock(&w->lock);
    free(batch);
}

void log_writer_put(struct log_writer *w, const char *line, size_t len)
{
    bool was_empty;

    pthread_mutex_lock(&w->lock);
    was_empty = w->used == 0;
    if (w->lines >= w->ring_lines || len > w->ring_bytes - w->used) {
        w->dropped++;
    } else {
        ring_copy_in(w, line, len);
        w->lines++;
        w->put_seq += len;
        if (was_empty)
            pthread_cond_signal(&w->work);
    }
    pthread_mutex_unlock(&w->lock);
}

bool log_writer_flush(struct log_writer *w, unsigned timeout_ms)
{
    struct timespec lock_deadline = deadline_after(CLOCK_REALTIME, timeout_ms);
    struct timespec deadline = deadline_after(CLOCK_MONOTONIC, timeout_ms);
    unsigned long long seq;
    bool is_done;

    if (pthread_mutex_timedlock(&w->lock, &lock_deadline) != 0)
        return false;
    seq = w->put_seq;
    while (w->written_seq < seq && !w->has_ended)
        if (pthread_cond_timedwait(&w->progress, &w->lock, &deadline) != 0)
            break;
    is_done = w->written_seq >= seq;
    pthread_mutex_unlock(&w->lock);
    return is_done;
}

void log_writer_reopen(struct log_writer *w)
{
    pthread_mutex_lock(&w->lock);
    w->must_reopen = true;
    pthread_cond_signal(&w->work);
    pthread_mutex_unlock(&w->lock);
}

int log_writer_fd(const struct log_writer *w)
{
    return w->fd;
}

static void release(struct log_writer *w)
{
    if (w->path != NULL)
        close(w->fd);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->progress);
    pthread_mutex_destroy(&w->lock);
    free(w->ring);
    free(w->path);
    free(w);
}

void log_writer_stop(struct log_writer *w, unsigned timeout_ms)
{
    struct timespec deadline;
    bool has_ended;

    if (!log_writer_flush(w, timeout_ms))
        atomic_store_explicit(&w->give_up, true, memory_order_relaxed);
    deadline = deadline_after(CLOCK_MONOTONIC, 5 * POLL_MS);
    pthread_mutex_lock(&w->lock);
    w->must_stop = true;
    pthread_cond_signal(&w->work);
    while (!w->has_ended)
        if (pthread_cond_timedwait(&w->progress, &w->lock, &deadline) != 0)
            break;
    has_ended = w->has_ended;
    pthread_mutex_unlock(&w->lock);
    if (!has_ended)
        return; /* it sits in a write that may never return */
    thread_join(&w->thread);
    release(w);
}

static void init(struct log_writer *w, const struct log_writer_config *config)
{
    pthread_condattr_t attr;

    w->fd = config->fd;
    w->dropped_line = config->dropped_line;
    w->ring_bytes = config->ring_bytes < LOG_LINE_MAX ? LOG_LINE_MAX : config->ring_bytes;
    w->ring_lines = config->ring_lines;
    w->ring = xmalloc(w->ring_bytes);
    pthread_mutex_init(&w->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->work, &attr);
    pthread_cond_init(&w->progress, &attr);
    pthread_condattr_destroy(&attr);
    atomic_init(&w->give_up, false);
}

int log_writer_start(const struct log_writer_config *config, struct log_writer **w_out,
                     struct dkv_error *err)
{
    struct log_writer *w;
    int status, fd = config->fd;

    if (config->path != NULL) {
        fd = open_path(config->path);
        if (fd < 0)
            return dkv_error_set(err, status_from_errno(errno), "open log file %s: %s",
                                 config->path, strerror(errno));
    }
    w = xcalloc(1, sizeof(*w));
    init(w, config);
    w->fd = fd;
    w->path = config->path == NULL ? NULL : xstrdup(config->path);
    look_at_fd(w, fd);
    status = thread_start(&w->thread, "dkv-logger", NULL, run, w, err);
    if (status != DKV_OK) {
        release(w);
        return status;
    }
    *w_out = w;
    return DKV_OK;
}
