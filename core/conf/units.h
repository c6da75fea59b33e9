/* Values with units, as dkv.conf writes them: 150ms, 64KiB, 80%, on.
 *
 * Each parser returns NULL and fills *value_out, or returns what is wrong, worded to stand behind
 * the quoted text: "10X" is not a size; write 64M or 2G.  Pure functions, any thread. */
#ifndef CONF_UNITS_H
#define CONF_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNITS_TEXT_SIZE 32 /* enough for every formatted value */

const char *units_parse_size(const char *text, uint64_t *bytes_out);
const char *units_parse_duration(const char *text, uint64_t *us_out);
const char *units_parse_percent(const char *text, uint64_t *percent_out); /* 0% to 100% */
const char *units_parse_int(const char *text, int64_t *value_out);
const char *units_parse_bool(const char *text, bool *value_out);

/* In the largest unit that shows the value exactly; returns text. */
const char *units_format_size(uint64_t bytes, char text[UNITS_TEXT_SIZE]);
const char *units_format_duration(uint64_t us, char text[UNITS_TEXT_SIZE]);

#endif
