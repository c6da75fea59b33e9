#include "plugin/host.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"

_Static_assert((int)DKV_LOG_DEBUG == (int)LOG_DEBUG && (int)DKV_LOG_ERROR == (int)LOG_ERROR,
               "levels of the ABI are those of the log");

static void host_log(void *ctx, int level, const char *fmt, ...) DKV_PRINTF(3, 4);

static void host_log(void *ctx, int level, const char *fmt, ...)
{
    const char *name = ctx;
    enum log_level at = level < LOG_DEBUG   ? LOG_DEBUG
                        : level > LOG_ERROR ? LOG_ERROR
                                            : (enum log_level)level;
    char text[512];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    log_event(at, "plugin", "plugin.note", "a plugin says", LOG_STR("plugin", name),
              LOG_STR("text", text), LOG_END);
}

static uint64_t host_now_ms(void *ctx)
{
    (void)ctx;
    return clock_now_us() / 1000;
}

void host_init(struct dkv_host *host, const char *name)
{
    *host = (struct dkv_host){.size = sizeof(*host),
                              .ctx = (void *)(uintptr_t)name,
                              .log = host_log,
                              .now_ms = host_now_ms};
}
