#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"

const char *status_text(int status)
{
    switch (status) {
    case DKV_OK:
        return "ok";
    case DKV_PENDING:
        return "pending";
#define STATUS_TEXT(name, number, text)                                                            \
    case name:                                                                                     \
        return text;
        DKV_STATUS_MAP(STATUS_TEXT)
#undef STATUS_TEXT
    default:
        return "unknown status";
    }
}

int status_from_errno(int error)
{
    switch (error) {
    case ENOENT:
        return DKV_ENOENT;
    case EINVAL:
    case EEXIST:
    case ENOTEMPTY:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
        return DKV_EINVAL;
    case ENOMEM:
        return DKV_ENOMEM;
    case ENOSPC:
    case EDQUOT:
        return DKV_ENOSPC;
    case EMFILE:
    case ENFILE:
        return DKV_EUNAVAIL;
    case EFBIG:
        return DKV_ETOOBIG;
    case EACCES:
    case EPERM:
        return DKV_EPERM;
    default:
        return DKV_EIO;
    }
}

int dkv_error_set(struct dkv_error *err, int status, const char *fmt, ...)
{
    va_list ap;

    dkv_assert(status < 0);
    if (err == NULL)
        return status;
    err->status = status;
    va_start(ap, fmt);
    vsnprintf(err->text, sizeof(err->text), fmt, ap);
    va_end(ap);
    return status;
}

int dkv_error_wrap(struct dkv_error *err, const char *fmt, ...)
{
    char text[sizeof(err->text)];
    va_list ap;
    int prefix_len;

    va_start(ap, fmt);
    prefix_len = vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    if (prefix_len > 0 && (size_t)prefix_len < sizeof(text)) {
        size_t used = (size_t)prefix_len;

        snprintf(text + used, sizeof(text) - used, ": %.*s", (int)(sizeof(text) - used), err->text);
    }
    memcpy(err->text, text, sizeof(text));
    return err->status;
}
