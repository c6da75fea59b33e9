#include "base/assert.h"

#include <stdio.h>
#include <stdlib.h>

static void (*panic_hook)(void *ctx);
static void *panic_hook_ctx;

void dkv_panic_hook(void (*hook)(void *ctx), void *ctx)
{
    panic_hook = hook;
    panic_hook_ctx = ctx;
}

void dkv_panic(const char *file, int line, const char *condition)
{
    void (*hook)(void *ctx) = panic_hook;

    panic_hook = NULL; /* a hook that panics must not come back here */
    fprintf(stderr, "dkvd: assertion failed: %s (%s:%d); please report this as a bug\n", condition,
            file, line);
    if (hook != NULL)
        hook(panic_hook_ctx);
    abort();
}
