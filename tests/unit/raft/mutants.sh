#!/bin/sh
# Mutation check of the Raft tests: builds the core with each seeded bug (core/raft/mutant.h) and
# expects a unit test or a random schedule to fail.  Run it as `make mutants`; arguments: numbers.
set -eu
srcdir=${DKV_SRCDIR:-$(cd "$(dirname "$0")/../../.." && pwd)}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc}
units="test_quorum test_election test_append test_replication test_install test_read_index test_transfer"
core="$srcdir/core/raft/*.c $srcdir/core/base/panic.c $srcdir/core/base/mem.c $srcdir/core/base/rng.c"
survived=

build() { # mutant
    mkdir -p "$work/o"
    # shellcheck disable=SC2086
    (cd "$work/o" && $cc -std=c11 -O1 -DDKV_MUTANT="$1" -I"$srcdir/core" -I"$srcdir/include" \
        -I"$srcdir" -c $core)
    for t in $units; do
        $cc -std=c11 -O1 -I"$srcdir/core" -I"$srcdir/include" -I"$srcdir" "$work"/o/*.o \
            "$srcdir/tests/unit/raft/lone.c" "$srcdir/tests/unit/raft/$t.c" -lcmocka -o "$work/$t"
    done
    $cc -std=c11 -O1 -I"$srcdir/core" -I"$srcdir/include" -I"$srcdir" "$work"/o/*.o \
        "$srcdir"/tests/sim/*.c "$srcdir/tests/unit/raft/test_random.c" -lcmocka -o "$work/test_random"
}

killer() { # prints the first program that fails
    for t in $units; do
        DKV_SRCDIR=$srcdir timeout 60 "$work/$t" >/dev/null 2>&1 || { echo "$t"; return; }
    done
    DKV_SIM_SEEDS=${DKV_SIM_SEEDS:-300} timeout 300 "$work/test_random" >/dev/null 2>&1 ||
        echo test_random
}

numbers=${*:-"1 2 3 4 5 6 7 8 10 12 13 14 15 16 17 24 25 26 27 28 29 30 31 32 33"}
build 0
by=$(killer)
[ -z "$by" ] || { echo "not ok: without a mutant, $by fails"; exit 1; }
for m in $numbers; do
    build "$m"
    by=$(killer)
    echo "mutant $m: ${by:-SURVIVED}"
    [ -n "$by" ] || survived="$survived $m"
done
[ -z "$survived" ] || { echo "survived:$survived"; exit 1; }
