/* The command line of the load generator.  Texts are borrowed from argv. */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load/dialect.h"
#include "bench/load/engine.h"

enum mode { MODE_MIX, MODE_FSYNC, MODE_FAILOVER, MODE_WRITE_RECORDS, MODE_VERIFY_RECORDS };

struct options {
    enum mode mode;
    enum dialect dialect;
    struct server servers[ENGINE_SERVERS_MAX];
    unsigned servers_count, connections;
    bool leader, prefill, json, progress;
    double put_share, rate, zipf, duration_s, warmup_s;
    uint64_t keys, seed;
    size_t key_size, value_size;
    int timeout_ms;
    const char *extra; /* behind the path of a get, or the path itself */
    const char *fsync_dir, *file, *acknowledged;
    pid_t kill_pid;
};

/* 0; 1 after --help; -1 after it has said on stderr what is wrong. */
int options_parse(int argc, char **argv, struct options *options_out);

#endif
