#!/bin/bash
# Real data, real kills: three nodes with LMDB take every stanza of the Debian package index; the
# leader is killed with SIGKILL in the middle and started again later; then all three are killed and
# started again. Every acknowledged write must be there afterwards, identical on all nodes.
#
# usage: packages.sh [FILE]    stanzas of FILE instead of `apt-cache dumpavail`
# shellcheck disable=SC2317
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/integration/lib.sh
. "$here/lib.sh"
need_tool curl jq
[ -x "$LOAD" ] || give_up "no load generator at $LOAD: make tests/bench/load/load"
kills=0

make_work
input=${1:-$work/stanzas}
if [ $# = 0 ]; then
    command -v apt-cache >/dev/null || skip_all "missing: no apt-cache on this system, name a file of stanzas"
    apt-cache dumpavail >"$input"
    [ -s "$input" ] || skip_all "missing: the package lists are empty, run apt-get update"
fi
total=$(grep -c '^Package: ' "$input")
note "$total stanzas, $(du -m "$input" | cut -f1) MB"

cluster_new 3 lmdb
cluster_start
wait_for 20 all_ready || give_up "three nodes are ready"
ok "three nodes form a cluster"

servers="${http[1]} ${http[2]} ${http[3]}"
# shellcheck disable=SC2086
"$LOAD" --file "$input" --acknowledged "$work/acknowledged" -c 24 $servers \
    >"$work/write.json" 2>"$work/write.log" &
writer=$!
lib_tests_pids+=("$writer")

acknowledged() {
    local lines
    kill -0 "$writer" 2>/dev/null || return 0
    [ -f "$work/acknowledged" ] || return 1
    lines=$(wc -l <"$work/acknowledged")
    [ "$lines" -ge "$1" ]
}

wait_for 300 acknowledged $((total / 4)) || give_up "a quarter is acknowledged"
old=$(leader) || give_up "a node leads while writes go on"
kill -0 "$writer" 2>/dev/null || give_up "the writer is still at it when the leader is killed"
node_kill "$old"
kills=$((kills + 1))
note "killed the leader, n$old, after $(wc -l <"$work/acknowledged") acknowledged writes"
wait_for 300 acknowledged $((total / 2)) || give_up "half is acknowledged, with two of three nodes"
kill -0 "$writer" 2>/dev/null || note "the writer had ended before the node came back"
node_start "$old"
wait "$writer"
rc=$?
[ "$rc" = 0 ] || give_up "the writer ended with $rc: $(cat "$work/write.json" "$work/write.log")"
check "every stanza is acknowledged in the end" \
    test "$(jq .acknowledged "$work/write.json")" = "$total"
note "writer: $(cat "$work/write.json")"

lost=0
# verify NAME SERVER...: reads back all that was acknowledged.
verify() {
    local name=$1 missing
    shift
    if "$LOAD" --file "$input" --acknowledged "$work/acknowledged" --verify -c 24 "$@" \
        >"$work/verify.json" 2>"$work/verify.log"; then
        ok "$name: $(jq -r '"checked = \(.checked), lost = \(.lost)"' "$work/verify.json")"
    else
        not_ok "$name: $(cat "$work/verify.json" "$work/verify.log")"
    fi
    missing=$(jq -r .lost "$work/verify.json")
    lost=$((lost + ${missing:-1}))
}

everywhere() {
    local i
    wait_for 60 all_ready || give_up "$1: all nodes are ready"
    wait_for 60 states_equal || give_up "$1: digests are equal at the same index: $(for i in 1 2 3; do
        state_of $i
    done | tr '\n' ' ')"
    ok "$1: digests are equal on all nodes, at index ${same_state% *}: ${same_state#* }"
    for i in 1 2 3; do
        verify "$1: n$i has every acknowledged write" --stale "${http[i]}"
    done
}

everywhere "after the leader's death and return"
for i in 1 2 3; do
    node_kill "$i"
    kills=$((kills + 1))
done
cluster_start
everywhere "after the death and return of all"
# shellcheck disable=SC2086
verify "linearizable reads" $servers
for i in 1 2 3; do
    check "n$i stops in good order" node_stop "$i"
done

note "keys = $(sort -u "$work/acknowledged" | wc -l)"
note "rate = $(jq -r .per_second "$work/write.json") writes/s, over the kill and the election"
note "kills = $kills"
note "lost = $lost, in all readings together"
note "digests equal = $([ "$lib_failed" = 0 ] && echo yes || echo no)"
finish
