#!/bin/sh
# The chaos test sees lost writes: with each planted bug of tests/lib/replicas.h it fails.
set -u
test="${DKV_BUILDDIR:?}/tests/unit/node/test_chaos"
n=0
for bug in 1 2 3; do
    n=$((n + 1))
    if CHAOS_SABOTAGE=$bug "$test" >/dev/null 2>&1; then
        echo "not ok $n - bug $bug is seen"
    else
        echo "ok $n - bug $bug is seen"
    fi
done
echo "1..$n"
