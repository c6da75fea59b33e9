/* Runs cases in child processes; between suite.c and main.c only. */
#ifndef SUITE_RUN_H
#define SUITE_RUN_H

#include "suite.h"

enum { RUN_OK = 0, RUN_FAILED = 1, RUN_SKIPPED = 77 };

struct run_result {
    int outcome;
    char reason[256]; /* why it was skipped, or how the process ended if not by a check */
};

/* The child of the case that runs now; the reason goes to the parent. */
void run_report_skip(const char *reason);
/* Gives bytes (of a probe) to the parent instead of a reason. */
void run_report(const void *bytes, size_t len);

/* Runs fn in a process of its own that has `seconds`. */
void run_child(void (*fn)(void), unsigned seconds, struct run_result *result_out);

#endif
