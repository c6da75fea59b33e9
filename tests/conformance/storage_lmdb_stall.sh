#!/bin/sh
# A snapshot that nobody reads is given up after snapshot_max, and the file stops growing.
out=$(mktemp) || exit 99
trap 'rm -f "$out"' EXIT
"${DKV_BUILDDIR:?}/tests/conformance/storage_suite" --only 44 lmdb snapshot_max=1s commit_ops=50 \
    commit_interval=5ms >"$out" 2>&1
status=$?
grep -q '^# a snapshot that nobody reads is given up' "$out" || status=1
[ "$status" = 0 ] || sed 's/^ok /not ok /' "$out"
[ "$status" != 0 ] || cat "$out"
exit "$status"
