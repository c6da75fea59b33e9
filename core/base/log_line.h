/* One line of the log as bytes: text or JSON, never longer than LOG_LINE_MAX, always complete.
 *
 * Pure: the caller gives the time.  A string that does not fit is cut, a field that does not fit is
 * left out, and the line then says cut=true. */
#ifndef BASE_LOG_LINE_H
#define BASE_LOG_LINE_H

#include "base/log.h"

#define LOG_LINE_MAX 1024u /* with the newline */

struct log_line {
    char text[LOG_LINE_MAX + 1]; /* NUL-terminated by log_line_end */
    size_t len;
    bool is_json, is_cut;
    enum log_level level;
};

struct log_head {
    int64_t wall_us;
    enum log_level level;
    bool is_json, has_priority; /* "<4>" in front, for the journal */
    const char *comp, *event, *msg, *node;
};

void log_line_begin(struct log_line *line, const struct log_head *head);
void log_line_add(struct log_line *line, const struct log_field *field, const uint64_t hash_key[2]);
void log_line_end(struct log_line *line);

#endif
