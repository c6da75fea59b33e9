/* Seeded bugs, to test the tests: `make mutants` builds the core with DKV_MUTANT set to each number
 * in turn and expects a test to fail.  Off, a mutant costs nothing. */
#ifndef RAFT_MUTANT_H
#define RAFT_MUTANT_H

#ifndef DKV_MUTANT
#define DKV_MUTANT 0
#endif

#define MUTANT(n) (DKV_MUTANT == (n))

#endif
