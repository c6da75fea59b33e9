#!/bin/bash
# The daemon with every thread it can have: two workers, and a thread that applies. A mixed load on
# all nodes, logs that are cut all the time, a leader that is killed and comes back behind the cut.
# What this must show shows under the thread sanitizer.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq
[ -x "$LOAD" ] || give_up "no load generator at $LOAD: make check builds it"

# mixed NAME SECONDS SERVER...
mixed() {
    local name=$1 seconds=$2 out
    shift 2
    out=$("$LOAD" --json -c 16 -d "$seconds" -p 50 --keys 2000 "$@" 2>"$work/load.log") ||
        note "load: $(tail -n 1 "$work/load.log")"
    is "$name: writes and reads are answered" true \
        "$(jq '.put.count > 0 and .get.count > 0 and (.errors | del(.missing)) == {}' <<<"$out")"
}

# While it is written: what a node says of its state is of one moment, so equal indexes have equal
# digests, whichever node was asked and whenever.
one_moment() { # one_moment NAME SERVER...
    local name=$1 url=() i load
    shift
    for i in "$@"; do url+=("http://$i/node"); done
    "$LOAD" --json -c 8 -d 2 -p 100 --keys 2000 "$@" >/dev/null 2>&1 &
    load=$!
    for _ in $(seq 60); do
        curl -s -m 5 "${url[@]}" | jq -r '"\(.applied_index) \(.digest)"'
    done | sort -u >"$work/moments"
    wait "$load"
    is "$name: an index has one digest, under load" "" "$(cut -d' ' -f1 "$work/moments" | uniq -d | head -n 1)"
    check "$name: and many were seen: $(wc -l <"$work/moments")" test "$(wc -l <"$work/moments")" -gt 30
}

with() { # with STORAGE
    local old i
    cluster_new 3 "$1" '[threads]' 'workers = 2' 'apply = on' '[snapshot]' 'log_size = 256KiB' \
        'keep_size = 16KiB'
    cluster_start
    wait_for 30 all_ready || give_up "$1: a cluster"
    mixed "$1: all nodes" 2 "${http[@]:1:3}"
    one_moment "$1" "${http[@]:1:3}"
    is "$1: a page is full" 1000 "$(get "${http[1]}" '/kv/?limit=1000&keys=1' | jq '.keys | length')"
    old=$(leader) || give_up "$1: a node leads"
    node_kill "$old"
    mixed "$1: without the old leader" 2 "${http[old % 3 + 1]}"
    node_start "$old"
    if ! wait_for 30 all_ready || ! wait_for 30 states_equal; then give_up "$1: all nodes equal"; fi
    ok "$1: all nodes equal, the old leader too, at index ${same_state% *}"
    check "$1: it got a snapshot" grep -q 'event=snapshot.installed' "$work/n$old.log"
    for i in 1 2 3; do check "$1: n$i stops in order" node_stop "$i"; done
    rm -rf "$work"/n[123]
}

with lmdb
with memory
finish
