#!/bin/sh
# The conformance suite finds bugs: plugins with a planted one fail the cases that are about it, and
# the same plugin without one passes them all.
set -u

suite="${DKV_BUILDDIR:?}/tests/conformance/storage_suite"
out=$(mktemp) || exit 99
trap 'rm -f "$out"' EXIT
n=0

result() { # result STATUS NAME
    n=$((n + 1))
    if [ "$1" -eq 0 ]; then
        echo "ok $n - $2"
    else
        echo "not ok $n - $2"
        sed 's/^/# /' "$out"
    fi
}

fails() { # fails NUMBER PLUGIN OPTION...: the case, and with it the suite, says not ok
    number=$1
    shift
    if "$suite" --only "$number" "$@" >"$out" 2>&1; then
        false
    else
        grep -q "^not ok 1 - $number: " "$out"
    fi
    result $? "case $number fails with $*"
}

"$suite" 'buggy(memory)' >"$out" 2>&1
result $? "every case passes without a bug"
"$suite" 'faulty(memory)' >"$out" 2>&1
result $? "every case passes without a fault"

while read -r bug numbers; do
    for number in $numbers; do
        fails "$number" 'buggy(memory)' "bug=$bug"
    done
done <<'BUGS'
scan-order 16 17 18
scan-limit 17 18
lost-delete 2 7 14
last-put-lost 7 14
key-ends-at-0 6 14
loose-limit 4
stale-index 2 10 14
repeats 12
torn-batch 21
late-view 22
lost-pair 14 49
restore-adds 46 51
eager-restore 48
not-durable 30 31
inline-done 28
forgets 29
leaks 40
sluggish 44
BUGS

fails 2 'faulty(memory)' fail=apply at=2
fails 14 'faulty(memory)' fail=apply at=100 status=nospace
fails 45 'faulty(memory)' fail=snapshot at=3
fails 46 'faulty(memory)' fail=restore at=2 status=nospace
fails 14 'faulty(memory)' fail=snapshot times=0 status=unavailable
echo "1..$n"
