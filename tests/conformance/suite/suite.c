#include "suite.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/error.h"
#include "suite_run.h"

struct suite suite;

static void note(const char *fmt, va_list ap) DKV_PRINTF(1, 0);

static void note(const char *fmt, va_list ap)
{
    char text[1024];

    (void)vsnprintf(text, sizeof(text), fmt, ap);
    flockfile(stdout);
    (void)printf("# %s\n", text);
    (void)fflush(stdout);
    funlockfile(stdout);
}

void suite_note(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    note(fmt, ap);
    va_end(ap);
}

void suite_fail(const char *file, int line, const char *fmt, ...)
{
    const char *slash = strrchr(file, '/');
    char text[900];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    suite_note("%s:%d: %s", slash == NULL ? file : slash + 1, line, text);
    _exit(RUN_FAILED);
}

void suite_skip(const char *fmt, ...)
{
    char reason[256];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(reason, sizeof(reason), fmt, ap);
    va_end(ap);
    run_report_skip(reason);
    (void)fflush(stdout);
    _exit(RUN_SKIPPED);
}

const char *suite_status_text(int status)
{
    return status == DKV_OK ? "ok" : status == DKV_PENDING ? "pending" : status_text(status);
}

void suite_check_equal(const char *file, int line, const char *what, uint64_t got, uint64_t want)
{
    if (got != want)
        suite_fail(file, line, "%s is %" PRIu64 ", not %" PRIu64, what, got, want);
}

void suite_check_status(const char *file, int line, const char *what, int got, int want)
{
    if (got != want)
        suite_fail(file, line, "%s is \"%s\", not \"%s\"", what, suite_status_text(got),
                   suite_status_text(want));
}

bool suite_is_decorated(void)
{
    return strchr(suite.spec, '(') != NULL;
}

uint64_t suite_amount(uint64_t usual)
{
    uint64_t amount = suite.is_long ? usual * 10 : usual;

    if (SUITE_SANITIZED)
        amount /= 5;
    if (suite.is_slow)
        amount /= 8;
    return amount == 0 ? 1 : amount;
}

uint64_t memory_kb(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long total, resident = 0;

    if (file == NULL || fscanf(file, "%lu %lu", &total, &resident) != 2)
        suite_skip("/proc/self/statm is not readable here");
    fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}
