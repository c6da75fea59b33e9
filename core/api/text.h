/* Bytes as JSON text: what jansson refuses (bytes that are not UTF-8) goes out as base64, and
 * hraftd's replies are written exactly as Go's encoding/json writes them. */
#ifndef API_TEXT_H
#define API_TEXT_H

#include <stdbool.h>

#include "base/buf.h"

bool text_is_utf8(const void *data, size_t len);
void text_add_base64(struct buf *to, const void *data, size_t len);
/* False if text is not base64; appends to `to`. */
bool text_decode_base64(struct buf *to, const char *text, size_t len);

/* "…" with Go's escapes: \u003c for <, \ufffd for bytes that are not UTF-8, and so on. */
void text_add_go_string(struct buf *to, const void *data, size_t len);

#endif
