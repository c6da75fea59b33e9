/* The ring between those who log and the file: bounded, with a thread that empties it.
 *
 * Callers only copy a line under a lock that is never held across a system call, so a terminal or
 * pipe that nobody reads stops the writer and never them. */
#ifndef BASE_LOG_WRITER_H
#define BASE_LOG_WRITER_H

#include <stdbool.h>
#include <stddef.h>

#include "dkv/types.h"

struct log_writer;

struct log_writer_config {
    const char *path; /* NULL: fd */
    int fd;           /* borrowed */
    size_t ring_bytes;
    unsigned ring_lines;
    /* Makes the line that tells of count lost ones; gives its length, at most len. */
    size_t (*dropped_line)(char *to, size_t len, unsigned long long count);
};

/* Gives a writer, ended by log_writer_stop. */
int log_writer_start(const struct log_writer_config *config, struct log_writer **w_out,
                     struct dkv_error *err);
/* After the last put.  A writer that hangs in its write is left behind with its memory. */
void log_writer_stop(struct log_writer *w, unsigned timeout_ms);
int log_writer_fd(const struct log_writer *w); /* to look at it before the first put */

void log_writer_put(struct log_writer *w, const char *line, size_t len); /* any thread */
bool log_writer_flush(struct log_writer *w, unsigned timeout_ms);        /* any thread */
void log_writer_reopen(struct log_writer *w);                            /* any thread */

#endif
