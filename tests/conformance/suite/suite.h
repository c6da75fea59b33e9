/* The frame of the storage conformance suite: numbered cases, each run in a process of its own, so
 * that a plugin which crashes or hangs fails one case and spoils none; results as TAP.
 *
 * A check that fails ends the case's process at once, from whatever thread: there is nothing to
 * clean up that the parent does not clean up anyway. */
#ifndef SUITE_H
#define SUITE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "dkv/storage.h"

#ifdef DKV_SANITIZED
#define SUITE_SANITIZED true
#else
#define SUITE_SANITIZED false
#endif

struct suite_case {
    unsigned number; /* of the list in the design; the name of a case never changes its number */
    const char *sentence;
    void (*run)(void);
    uint32_t caps; /* what the store must offer for it to mean anything */
};

/* Each ends with a NULL sentence. */
extern const struct suite_case basic_cases[];
extern const struct suite_case scan_cases[];
extern const struct suite_case thread_cases[];
extern const struct suite_case async_cases[];
extern const struct suite_case durable_cases[];
extern const struct suite_case leak_cases[];
extern const struct suite_case snapshot_cases[];
extern const struct suite_case restore_cases[];

struct suite {
    const char *spec;      /* "lmdb", "delay(lmdb)" */
    const char *conf_path; /* dkv.conf of the case that runs */
    const char *folder;    /* node.data_dir in it, empty when the case starts */
    uint64_t seed;
    uint32_t caps;
    bool is_long, is_slow;
};
extern struct suite suite;

/* How much work a case does: `usual`, less for a slow build or store, more with --long. */
uint64_t suite_amount(uint64_t usual);

/* What matters for the plugin around it matters for the inner one, which has a run of its own. */
bool suite_is_decorated(void);

/* What this process has in memory. */
uint64_t memory_kb(void);

void suite_fail(const char *file, int line, const char *fmt, ...) DKV_PRINTF(3, 4)
    __attribute__((noreturn));
/* Ends the case as skipped, with the reason. */
void suite_skip(const char *fmt, ...) DKV_PRINTF(1, 2) __attribute__((noreturn));
/* A line that explains the result, in the output. */
void suite_note(const char *fmt, ...) DKV_PRINTF(1, 2);
const char *suite_status_text(int status);

#define CHECK(condition)        ((condition) ? (void)0 : suite_fail(__FILE__, __LINE__, "%s", #condition))
#define CHECK_EQ(got, want)     suite_check_equal(__FILE__, __LINE__, #got, got, want)
#define CHECK_STATUS(got, want) suite_check_status(__FILE__, __LINE__, #got, got, want)

void suite_check_equal(const char *file, int line, const char *what, uint64_t got, uint64_t want);
void suite_check_status(const char *file, int line, const char *what, int got, int want);

#endif
