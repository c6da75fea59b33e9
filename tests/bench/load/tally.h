/* What came of a run: latencies of the requests that succeeded, and every other ending by its
 * class.  Nothing that failed is left out. */
#ifndef LOAD_TALLY_H
#define LOAD_TALLY_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "bench/load/engine.h"
#include "bench/load/histogram.h"
#include "bench/load/options.h"

enum { TALLY_STATUS_MAX = 600 };

struct tally {
    struct histogram puts, gets; /* nanoseconds */
    uint64_t missing;            /* gets of a key that was not there */
    uint64_t refused, broken, timed_out, never_sent;
    uint64_t by_status[TALLY_STATUS_MAX]; /* unexpected answers */
    double elapsed_s;
};

void tally_reset(struct tally *tally);
void tally_ending(struct tally *tally, enum ending ending, int status);
uint64_t tally_succeeded(const struct tally *tally);
uint64_t tally_failed(const struct tally *tally);
void tally_print(const struct tally *tally, const struct options *options, FILE *to);
void tally_print_json(const struct tally *tally, const struct options *options, FILE *to);

#endif
