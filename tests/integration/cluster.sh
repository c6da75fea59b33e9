#!/bin/bash
# Three real nodes that are started in any order, killed, stopped, left behind, wiped. At the end of
# each case all nodes have the same state at the same index, and every acknowledged write.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq

writes() { # writes NODE KEY VALUE
    ask "$1" PUT "/kv/$2" --data-binary "$3"
    [ "$code" = 201 ] || [ "$code" = 204 ]
}

reads() { # reads NODE KEY VALUE
    [ "$(get "${http[$1]}" "/kv/$2")" = "$3" ]
}

all_read() { # all_read KEY VALUE
    local i
    for i in $(seq "$nodes"); do reads "$i" "$1" "$2" || return 1; done
}

follower() {
    local i lead
    lead=$(leader) || return 1
    for i in $(seq "$nodes"); do
        [ "$i" = "$lead" ] || [ -z "${pids[i]}" ] || { echo "$i" && return 0; }
    done
    return 1
}

# same NAME: the end of each case
same() {
    if wait_for 30 all_ready && wait_for 30 states_equal; then
        ok "$1: the same state on all nodes, at index ${same_state% *}"
        return
    fi
    for i in $(seq "$nodes"); do note "n$i: $(get "${http[i]}" /node)"; done
    give_up "$1: the same state on all nodes"
}

# --- start, write, read ---

# Longer than a hand-over takes on the slowest machine, so that the one is told from the other.
cluster_new 3 lmdb '[raft]' 'election_timeout = 2s'
for i in 3 1 2; do node_start "$i"; done
wait_for 20 all_ready || give_up "three nodes, started 3, 1, 2, form a cluster"
ok "three nodes, started 3, 1, 2, form a cluster"
for i in 1 2 3; do
    check "n$i takes a write" writes "$i" "by$i" "v$i"
    for j in 1 2 3; do
        check "n$j reads it at once" reads "$j" "by$i" "v$i"
    done
done
for i in 1 2 3; do
    ask "$i" POST /key -d "{\"h$i\":\"v$i\"}"
    is "hraftd's API on n$i takes a write" "200 " "$code $(cat "$work/body")"
    for j in 1 2 3; do
        is "n$j reads it" "{\"h$i\":\"v$i\"}" "$(get "${http[j]}" "/key/h$i")"
    done
    ask $((i % 3 + 1)) DELETE "/key/h$i"
    is "n$((i % 3 + 1)) deletes it" "200 " "$code $(cat "$work/body")"
    is "it is gone" "{\"h$i\":\"\"}" "$(get "${http[i]}" "/key/h$i")"
done
lead=$(leader) || give_up "a node leads"
one() { printf '{"id":"n%d","address":"%s"}' "$1" "${peer[$1]}"; }
members=$(get "${http[1]}" /cluster | jq -r '.members[].name')
for i in 1 2 3; do
    followers=
    for name in $members; do
        [ "$name" = "n$lead" ] || followers="$followers${followers:+,}$(one "${name#n}")"
    done
    is "hraftd's /status of n$i" "{\"me\":$(one "$i"),\"leader\":$(one "$lead"),\"followers\":[$followers]}" \
        "$(get "${http[i]}" /status)"
done
is "one node leads, all agree" 1 "$(for i in 1 2 3; do field leader "$i"; done | sort -u | wc -l)"
is "all are of one cluster" 1 "$(for i in 1 2 3; do field cluster_id "$i"; done | sort -u | wc -l)"
for i in 1 2 3; do
    is "n$i gives the leader's view of three members" '3 1 3' \
        "$(get "${http[i]}" /cluster | jq -r '"\(.members | length) \([.members[] |
            select(.role == "leader")] | length) \([.members[] | select(.state == "ok")] | length)"')"
done
same "start"

# --- the leader is killed ---

old=$(leader) || give_up "a node leads"
for n in $(seq 20); do writes "$old" "before$n" "$n" || give_up "a write through the leader"; done
node_kill "$old"
other=$((old % 3 + 1))
check "leader killed: the next takes writes" wait_for 15 writes "$other" after kill
lost=0
for n in $(seq 20); do reads "$other" "before$n" "$n" || lost=$((lost + 1)); done
is "every acknowledged write is there" 0 "$lost"
new=$(leader) || give_up "a new leader is known"
check "another node leads" test "$new" != "$old"
is "the leader's view says who is gone" "n$old" \
    "$(get "${http[$other]}" /cluster | jq -r '.members[] | select(.state == "unreachable") | .name')"
node_start "$old"
same "the killed leader is back"
check "it has what was written without it" reads "$old" after kill

# --- a follower is killed ---

down=$(follower) || give_up "a node follows"
lead=$(leader)
term=$(field term "$lead")
node_kill "$down"
for n in $(seq 20); do writes "$lead" "without$n" "$n" || give_up "a write with two of three nodes"; done
ok "follower killed: writes go on"
node_start "$down"
same "the killed follower is back"
check "it has what was written without it" reads "$down" without20 20
is "its return has disturbed nobody" "$lead $term" "$(leader) $(field term "$lead")"

# --- all are killed ---

before=$(get "${http[1]}" /node | jq -r .digest)
for i in 1 2 3; do node_kill "$i"; done
for i in 2 3 1; do node_start "$i"; done
same "all killed and started again"
is "with the digest from before" "$before" "${same_state#* }"
check "writes go on" writes 1 reborn yes
check "on every node" all_read reborn yes

# --- the leader is stopped ---

for n in $(seq 40); do writes 1 "quiet$n" "$n"; done
old=$(leader) || give_up "a node leads"
other=$((old % 3 + 1))
# A client that retries only what certainly did not happen, through another node.
(
    worst=0 count=0 failed=0 last=$(date +%s%N)
    until [ -e "$work/enough" ]; do
        answer=$(curl -s -m 10 -w '\n%{http_code}' -X PUT --data-binary "$count" \
            "http://${http[$other]}/kv/steady$count")
        case ${answer##*$'\n'} in
        201 | 204)
            now=$(date +%s%N)
            [ $((now - last)) -le "$worst" ] || worst=$((now - last))
            last=$now
            count=$((count + 1))
            ;;
        *) grep -q '"outcome":"none"' <<<"$answer" || { failed=$((failed + 1)) && echo "$answer" >&2; } ;;
        esac
        echo "$count" >"$work/steady.count"
    done
    echo "$count $failed $((worst / 1000000))" >"$work/steady"
) 2>"$work/steady.err" &
client=$!
lib_tests_pids+=("$client")
steady() {
    local now
    now=$(cat "$work/steady.count" 2>/dev/null)
    [ "${now:-0}" -ge "$1" ]
}
wait_for 20 steady 20 || give_up "a client writes steadily"
check "leader stopped by SIGTERM: it ends with 0" node_stop "$old"
written=$(get "${http[$other]}" '/node' | jq .keys)
more() { [ "$(get "${http[$other]}" /node | jq .keys)" -ge $((written + 20)) ]; }
wait_for 20 more || give_up "writes go on after the hand-over"
touch "$work/enough"
wait "$client"
read -r count failed worst <"$work/steady"
is "no write failed for a client that retries what was not done" 0 "$failed"
[ "$failed" = 0 ] || sed 's/^/# /' "$work/steady.err"
check "the gap is shorter than an election ($worst ms)" test "$worst" -lt 2000
lost=0
for n in $(seq 0 $((count - 1))); do reads "$other" "steady$n" "$n" || lost=$((lost + 1)); done
is "all $count are there" 0 "$lost"
node_start "$old"
same "the stopped leader is back"

# start_says NODE TEXT: its start fails, and its log says so.
start_says() {
    timeout 10 "$DKVD" --config "$work/n$1.conf" >>"$work/n$1.log" 2>&1 </dev/null
    [ $? = 65 ] && tail -n 2 "$work/n$1.log" | grep -qF "$2"
}

# --- a wiped node (R-P9) ---

down=$(follower) || give_up "a node follows"
node_stop "$down"
mv "$work/n$down" "$work/kept"
mkdir -m 700 "$work/n$down"
node_start "$down"
ended() { ! kill -0 "${pids[down]}" 2>/dev/null; }
wait_for 15 ended
rc=0
wait "${pids[down]}" || rc=$?
is "a node that lost its disk is refused: exit code" 65 "$rc"
check "and hears why" grep -q "comes back with another data directory" "$work/n$down.log"

# --- an empty node with another line of peers: it is the odd one, whoever calls whom ---

rm -rf "${work:?}/n$down"
mkdir -m 700 "$work/n$down"
cp "$work/n$down.conf" "$work/right.conf"
for i in 1 2 3; do
    [ "$i" = "$down" ] || sed -i "s/n$i=/wrong$i=/" "$work/n$down.conf"
done
node_start "$down"
wait_for 15 ended
rc=0
wait "${pids[down]}" || rc=$?
is "an empty node with other peers ends: exit code" 65 "$rc"
check "and hears why" grep -q "with another list of first members" "$work/n$down.log"
for i in 1 2 3; do
    [ "$i" = "$down" ] || check "n$i lives" kill -0 "${pids[i]}"
done
check "and they take a write" wait_for 10 writes "$(leader)" odd one
mv "$work/right.conf" "$work/n$down.conf"
check "the line corrected, what it was set up with is in the way" start_says "$down" \
    "was set up with the members"
rm -rf "${work:?}/n$down"
mv "$work/kept" "$work/n$down"
node_start "$down"
same "with its data directory back"
for i in 1 2 3; do check "n$i stops" node_stop "$i"; done

# --- two histories: a node lost its disk before the third had met it ---

rm -rf "$work"/n[123] "$work"/n[123].log
cluster_new 3 lmdb
node_start 1
node_start 2
wait_for 20 writes 1 early kept || give_up "two nodes of three take a write"
node_kill 1
node_kill 2
rm -rf "$work/n2"
mkdir -m 700 "$work/n2"
node_start 2
node_start 3
wait_for 20 is_ready 3 || give_up "two empty nodes form a cluster"
node_start 1
one_has_ended() {
    local i ended=0
    for i in 1 2 3; do kill -0 "${pids[i]}" 2>/dev/null || ended=$((ended + 1)); done
    [ "$ended" -ge 1 ]
}
check "nodes of two histories do not go on together" wait_for 15 one_has_ended
check "and say why" grep -q "different data directories of node n2\|comes back with another data directory" \
    "$work/n1.log" "$work/n2.log" "$work/n3.log"
for i in 1 2 3; do node_kill "$i"; done

# --- left behind, for longer than the log is kept ---

head -c 8000 /dev/urandom >"$work/filling"
fill() { # fill NODE FROM TO
    local n
    for n in $(seq "$2" "$3"); do echo "url = \"http://${http[$1]}/kv/fill$((n % 100))/$n\""; done |
        curl -s -f --fail-early -m 100 -X PUT --data-binary "@$work/filling" -K - -o /dev/null
}

# log_begins NODE INDEX: the oldest segment of the log begins after the index.
log_begins() {
    local first
    first=$(find "$work/n$1/wal" -name '*.seg' -printf '%f\n' | sort | head -n 1)
    first=${first#*-}
    [ -n "$first" ] && [ $((16#${first%.seg})) -gt "$2" ]
}

# log_size and keep_size, a segment more at each end, three that are spare; 6 MB were written.
log_is_short() {
    [ "$(du -sk "$work/n$1/wal" | cut -f1)" -lt 1536 ]
}

# left_behind NAME STORAGE-OF-n1 n2 n3
left_behind() {
    local name=$1 i away lead had
    shift
    rm -rf "$work"/n[123] "$work"/n[123].log
    cluster_new 3 lmdb '[cluster]' 'value_max = 16KiB' '[wal]' 'segment_size = 128KiB' \
        '[snapshot]' 'log_size = 256KiB' 'keep_size = 64KiB' 'chunk_size = 32KiB'
    for i in 1 2 3; do sed -i "s/^plugin = lmdb/plugin = ${!i}/" "$work/n$i.conf"; done
    # The log is cut below what LMDB has on disk, which is a second behind if nobody asks for more.
    for i in 1 2 3; do
        [ "${!i}" != lmdb ] || printf '[storage "lmdb"]\ncommit_interval = 10ms\n' >>"$work/n$i.conf"
    done
    cluster_start
    wait_for 20 all_ready || give_up "$name: three nodes are ready"
    writes 1 first one || give_up "$name: a first write"
    for away in 1 2 3; do
        lead=$(leader) || give_up "$name: a node leads"
        had=$(field applied_index "$away")
        node_stop "$away"
        [ "$away" != "$lead" ] || wait_for 15 has_leader
        lead=$(leader) || give_up "$name: a node leads without n$away"
        fill "$lead" $((away * 1000)) $((away * 1000 + 249)) || give_up "$name: writes while n$away is away"
        writes "$lead" "while$away" gone
        wait_for 30 log_begins "$lead" $((had + 1)) || give_up "$name: the log is cut above what n$away has"
        node_start "$away"
        same "$name: n$away (${!away}) was away for 2 MB with a log of 256 KiB"
        check "$name: n$away got a snapshot" grep -q 'event=snapshot.installed' "$work/n$away.log"
        check "$name: n$away has what was written without it" reads "$away" "while$away" gone
    done
    for i in 1 2 3; do
        check "$name: the log of n$i is short" wait_for 30 log_is_short "$i"
    done
    for i in 1 2 3; do node_kill "$i"; done
    cluster_start
    same "$name: all killed and started again"
    check "$name: the first write is there" all_read first one
    for i in 1 2 3; do check "$name: n$i stops" node_stop "$i"; done
}

left_behind lmdb lmdb lmdb lmdb
left_behind memory memory memory memory
left_behind mixed lmdb memory lmdb
finish
