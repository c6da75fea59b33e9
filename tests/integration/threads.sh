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
    check "$name: and many were seen: $(wc -l <"$work/moments")" test "$(wc -l <"$work/moments")" -gt 10
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

# Each worker has files of its own; what clients may open leaves the log enough to go on.
few_files() {
    local load most=0 open
    cluster_new 1 lmdb '[threads]' 'workers = 16' '[wal]' 'segment_size = 2MiB' '[cluster]' 'value_max = 512KiB' \
        '[snapshot]' 'log_size = 2MiB' 'keep_size = 0'
    ulimit -n 300
    cluster_start
    wait_for 30 all_ready || give_up "few files: a node"
    "$LOAD" -c 250 -d 4 -p 100 --value-size 65536 --keys 100 "${http[1]}" >/dev/null 2>&1 &
    load=$!
    while kill -0 "$load" 2>/dev/null; do
        open=$(find "/proc/${pids[1]}/fd" -mindepth 1 2>/dev/null | wc -l)
        [ "$open" -le "$most" ] || most=$open
        read -r -t 0.1 _ < <(:) || :
    done
    wait "$load"
    note "$most files of 300 were open"
    check "few files: clients came" test "$most" -gt 180
    check "few files: and left some over" test "$most" -lt 290
    check "few files: the node goes on" node_stop 1
}

# A storage that answers late has work under way when the node is to stop: the log has it all.
late() { # late APPLY
    local i
    cluster_new 1 slow '[storage "slow"]' 'plugin = delay' 'wraps = lmdb' 'delay = 200ms' '[threads]' \
        "apply = $1" '[snapshot]' 'log_size = 4KiB' 'keep_size = 0'
    cluster_start
    wait_for 30 all_ready || give_up "late storage: a node"
    head -c 6000 /dev/zero | tr '\0' x >"$work/value"
    for i in 1 2 3; do
        ask 1 PUT "/kv/late$i" --data-binary "@$work/value"
        is "late storage, apply = $1: write $i" 201 "$code"
        check "it stops while the storage is at work" node_stop 1
        node_start 1
        wait_for 30 is_ready 1 || give_up "late storage: the node comes back"
    done
    check "what was taken is there" cmp -s "$work/value" <(get "${http[1]}" /kv/late3)
    check "its requests were slow, and are in the log" grep -q 'event=http.slow_request .*method=PUT' "$work/n1.log"
    check "and that it was the storage" grep -q 'event=raft.slow_write .*waited_for=storage' "$work/n1.log"
    is "without a key or a value" 0 "$(grep -c 'late[123]\|xxxx' "$work/n1.log")"
    check "it stops" node_stop 1
    rm -rf "$work/n1"
}

# hraftd's POST writes pair after pair: it ends with the time of a request, and with the node.
long_post() {
    local start post
    cluster_new 1 slow '[storage "slow"]' 'plugin = delay' 'wraps = memory' 'delay = 100ms' '[http]' \
        'request_timeout = 2s'
    cluster_start
    wait_for 30 all_ready || give_up "a long POST: a node"
    seq 100 | sed 's/.*/"pair&":"x"/' | paste -sd, | sed 's/.*/{&}/' >"$work/pairs"
    ask 1 POST /key --data-binary "@$work/pairs"
    is "a long POST: its time is up" 500 "$code"
    is "what was done by then is done" 200 "$(status_of "http://${http[1]}/kv/pair2")"
    is "and the rest is not" 404 "$(status_of "http://${http[1]}/kv/pair99")"
    curl -s -m 30 -o "$work/body" --data-binary "@$work/pairs" "http://${http[1]}/key" &
    post=$!
    lib_tests_pids+=("$post")
    sleep 0.5
    start=$(date +%s%N)
    check "a long POST: the node stops" node_stop 1
    check "without waiting for it" test $((($(date +%s%N) - start) / 1000000)) -lt 1500
    wait "$post"
    rm -rf "$work/n1"
}

# Lists over storage in memory look at every key, on the raft thread: Raft gets as much time as they.
beside_lists() {
    local lists
    cluster_new 1 memory
    cluster_start
    wait_for 30 all_ready || give_up "lists: a node"
    "$LOAD" -d 1 --warmup 0 -p 0 --keys 60000 --prefill "${http[1]}" >/dev/null 2>&1
    "$LOAD" --json --dialect fixed --path '/kv/?prefix=zzz' -p 0 -c 100 -d 5 "${http[1]}" >"$work/lists" 2>/dev/null &
    lists=$!
    lib_tests_pids+=("$lists")
    sleep 1.5
    "$LOAD" --json --lone -d 3 --warmup 0 "${http[1]}" >"$work/writes" 2>/dev/null
    wait "$lists"
    note "writes, one after another, $(jq .put.count "$work/writes") in 3 s, beside $(jq .get.count "$work/lists") lists in 5 s"
    check "lists: writes are answered meanwhile" test "$(jq .put.count "$work/writes")" -gt "$(jq .get.count "$work/lists")"
    check "and the node stops" node_stop 1
    rm -rf "$work/n1"
}

with lmdb
with memory
beside_lists
long_post
late off
late on
few_files
finish
