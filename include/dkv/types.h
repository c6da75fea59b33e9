/* Types shared by the daemon and its plugins: byte slices, status codes, error texts. */
#ifndef DKV_TYPES_H
#define DKV_TYPES_H

#include <stddef.h>
#include <stdint.h>

#ifdef __GNUC__
#define DKV_PRINTF(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define DKV_EXPORT                     __attribute__((visibility("default")))
#else
#define DKV_PRINTF(fmt_arg, first_arg)
#define DKV_EXPORT
#endif

/* Bytes owned by somebody else; how long they live is said where a slice is used.  Keys and values
 * are binary.  len may be 0, and data may then be NULL, which memcpy and memcmp do not like. */
struct dkv_slice {
    const void *data;
    size_t len;
};

/* A call returns DKV_OK, DKV_PENDING or one negative code.  Numbers are part of the ABI: append,
 * never renumber, never reuse; treat one that you do not know as DKV_EIO.
 *
 * What the daemon does with the errors of apply(), which are the ones that matter:
 *   ENOSPC, EUNAVAIL, EUNCERTAIN   the same batch again after 100 ms, for as long as it takes;
 *                                  ENOSPC also makes the node refuse new writes
 *   ECORRUPT                       the node stops with exit code 70 (damage)
 *   any other                      the node stops with exit code 74 (I/O): going on without the
 *                                  batch would make this replica differ from the others */
#define DKV_OK      0
#define DKV_PENDING 1 /* op->done() will be called later, on the same thread; see dkv_op */
#define DKV_STATUS_MAP(X)                                                                          \
    X(DKV_ENOENT, -1, "not found")                                                                 \
    X(DKV_EINVAL, -2, "invalid argument")                                                          \
    X(DKV_ENOTSUP, -3, "not supported by this backend")                                            \
    X(DKV_ENOMEM, -4, "out of memory")                                                             \
    X(DKV_ENOSPC, -5, "no space left")                                                             \
    X(DKV_ETOOBIG, -6, "too big")                                                                  \
    X(DKV_EIO, -7, "I/O error")                                                                    \
    X(DKV_ECORRUPT, -8, "stored data is corrupt")                                                  \
    X(DKV_EUNAVAIL, -9, "backend is unavailable")                                                  \
    X(DKV_EUNCERTAIN, -10, "outcome unknown, connection lost")                                     \
    X(DKV_ECANCELED, -11, "canceled")                                                              \
    X(DKV_EPERM, -12, "peer is not allowed")

enum dkv_status_code {
#define DKV_STATUS_ENUM(name, number, text) name = number,
    DKV_STATUS_MAP(DKV_STATUS_ENUM)
#undef DKV_STATUS_ENUM
        DKV_STATUS_MIN = -1000
};

/* Error object for calls that run rarely (open, load, configure).  The caller owns it and has zeroed
 * it; it is never NULL.  Fill it only on failure, with the status that is returned and a text that
 * says what failed, on what and why ("open /data/kv: No space left on device"): no full stop, no
 * name of the plugin (the daemon puts that in front), no secrets.  Nothing in it is allocated.  With
 * an empty text the user reads the name of the status and nothing else. */
struct dkv_error {
    int32_t status;
    char text[252];
};

#endif
