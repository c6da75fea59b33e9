/* The measured workload: puts and gets of random keys, in a closed loop or at a fixed rate. */
#ifndef LOAD_MIX_H
#define LOAD_MIX_H

#include "bench/load/options.h"
#include "bench/load/tally.h"

/* Fills the tally; 0, or -1 after it has said on stderr why it could not start. */
int mix_run(const struct options *options, const volatile int *stop, struct tally *tally_out);

#endif
