#!/bin/sh
# The systemd unit: nothing for systemd-analyze to complain about, and well locked up.
set -u

unit="${DKV_BUILDDIR:?}/conf/dkvd.service"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

skip() {
    echo "1..0 # SKIP $1"
    exit 0
}

[ -e "$unit" ] || skip "configured without a unit file"
command -v systemd-analyze >/dev/null || skip "systemd-analyze is not installed (package systemd)"

if grep -n '@[a-z]*@' "$unit" | sed 's/^/# /' | grep .; then
    echo "not ok 1 - every path is filled in"
else
    echo "ok 1 - every path is filled in"
fi

# What it runs need not be installed here.
sed -e 's|^\(Exec[A-Za-z]*=\)[^ ]*|\1/bin/true|' -e '/^Documentation=/d' "$unit" >"$dir/dkvd.service"
systemd-analyze verify "$dir/dkvd.service" >"$dir/out" 2>&1
if grep -F "$dir/dkvd.service" "$dir/out" | sed 's/^/# /' | grep .; then
    echo "not ok 2 - systemd-analyze verify finds nothing"
else
    echo "ok 2 - systemd-analyze verify finds nothing"
fi

# Offline analysis came with systemd 250.
score=$(systemd-analyze security --offline=true "$dir/dkvd.service" 2>/dev/null |
    sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p')
if [ -z "$score" ]; then
    echo "ok 3 # SKIP this systemd-analyze cannot judge a unit offline"
elif [ "$(echo "$score" | tr -d .)" -le 12 ]; then
    echo "ok 3 - exposure $score is at most 1.2"
else
    echo "not ok 3 - exposure $score is at most 1.2"
fi
echo "1..3"
