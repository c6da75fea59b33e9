/* A log over a disk in memory: the language of the log's tests. */
#ifndef TESTS_WAL_LOG_FIXTURE_H
#define TESTS_WAL_LOG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "env_test.h"
#include "fs_mem.h"
#include "wal/wal.h"

enum { SEGMENT = 64 << 10, NAMES_MAX = 16 };

struct fixture {
    struct fs *fs;
    struct env_test e;
    struct wal *wal;
    struct wal_recovery found;
    struct dkv_error err;
    struct wal_identity identity;
    uint64_t ticket, durable;
    unsigned resets;
    raft_index last;
    raft_term term;
    bool is_alone, was_used;
};

int log_setup(void **state);
int log_teardown(void **state);
#define WITH_LOG(test) cmocka_unit_test_setup_teardown(test, log_setup, log_teardown)

/* What a start would do; *_open leaves what it found in f->found. */
int log_try_open(struct fixture *f);
void log_open(struct fixture *f);
void log_close(struct fixture *f);
void log_reopen(struct fixture *f);

/* Entry i has i % 200 bytes of (uint8_t)i. */
void log_submit(struct fixture *f, uint32_t count, raft_index truncate_from);
void log_write(struct fixture *f, uint32_t count); /* and on disk */
void log_assert_readable(struct fixture *f, raft_index first, raft_index last);

/* Files below wal/ whose names end so, in order. */
struct names {
    char items[NAMES_MAX][40];
    int count;
};
struct names log_files(struct fixture *f, const char *ending);

#endif
