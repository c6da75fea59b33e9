#!/bin/bash
# What a cluster does without a majority, without an answer, without disk space and without file
# descriptors: honest errors, and by itself back to work.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq

writes() { # writes NODE KEY
    ask "$1" PUT "/kv/$2" --data-binary "$2"
    [ "$code" = 201 ] || [ "$code" = 204 ]
}

has_no_leader() {
    [ "$(get "${http[$1]}" /node | jq -r .leader)" = null ]
}

others() { # the nodes that are not $1
    local i
    for i in $(seq "$nodes"); do [ "$i" = "$1" ] || echo "$i"; done
}

settle() { # all nodes ready and equal
    wait_for 30 all_ready && wait_for 30 states_equal
}

# --- no leader ---

cluster_new 3 lmdb '[http]' 'request_timeout = 1s'
cluster_start
wait_for 20 all_ready || give_up "three nodes are ready"
writes 1 kept || give_up "a first write"
settle || give_up "all nodes have it"
left=$(leader) || give_up "a node leads"
logged=$(wc -l <"$work/n$left.log")
since() { tail -n "+$((logged + 1))" "$work/n$left.log" | grep -c "$1"; }
for i in $(others "$left"); do node_kill "$i"; done
wait_for 10 has_no_leader "$left" || give_up "the node that is left knows that it leads nobody"
ask "$left" PUT /kv/none --data-binary x
check "two of three gone: a write is refused and was not done" refused 503 no_leader none
check "with Retry-After" test "$(header retry-after)" -ge 1
is "the answer says that no leader is known" 'true null' "$(jq -r '"\(has("leader")) \(.leader)"' "$work/body")"
ask "$left" GET /kv/kept
check "a linearizable read is refused" refused 503 no_leader none
check "with Retry-After" test "$(header retry-after)" -ge 1
ask "$left" GET '/kv/kept?consistency=stale'
is "a stale read is answered" "200 kept" "$code $(cat "$work/body")"
is "and says of which state" "$(field applied_index "$left")" "$(header dkv-applied-index)"
silent=$(header dkv-leader-contact-ms)
sleep 0.3
ask "$left" GET '/kv/kept?consistency=stale'
now=$(header dkv-leader-contact-ms)
check "and for how long there is no leader: $silent, then $now ms" test "$now" -ge $((silent + 250))
ask "$left" GET /livez
is "the node lives" 200 "$code"
start=$(date +%s%N)
ask "$left" GET '/readyz?verbose'
is "it is not ready" 503 "$code"
check "and says why" grep -q '^\[-\]linearizable_read failed: this node knows of no leader' "$work/body"
probe=0
"$DKVD" --config "$work/n$left.conf" --health 2>"$work/health" || probe=$?
is "dkvd --health: not ready" 69 "$probe"
check "and why" grep -qF 'not ready: linearizable_read failed: this node knows of no leader' "$work/health"
check "both at once" test $((($(date +%s%N) - start) / 1000000)) -lt 900
ask "$left" GET /health
is "etcd's words for it" '503 {"health":"false","reason":"RAFT NO LEADER"}' "$code $(cat "$work/body")"
ask "$left" GET /cluster
check "nobody has a leader's view: where to look" refused 503 no_leader none "GET /node on each node"
ask "$left" POST /key -d '{"none":"x"}'
is "hraftd's surface answers 500, empty" "500 " "$code $(cat "$work/body")"
says_why() { [ "$(since 'event=raft.no_majority')" -gt 0 ]; }
check "the log says what the node waits for" wait_for 10 says_why
is "how many there are" 1 "$(since 'event=raft.no_majority .*reachable=1 members=3')"
refusals() { [ "$(since 'Connection refused')" -ge 2 ]; }
check "that nobody listens" wait_for 10 refusals
is "once of each" 2 "$(since 'Connection refused')"
logged=$(wc -l <"$work/n$left.log")
for i in $(others "$left"); do node_start "$i"; done
settle || give_up "the cluster is back"
check "the log says that there is a leader" test "$(since 'event=raft.\(elected\|leader_found\)')" -ge 1
ask "$left" GET /kv/none
check "what was refused was not done" refused 404 not_found none
check "writes go on" writes "$left" none

# --- the entry was sent, no answer comes ---

left=$(leader) || give_up "a node leads"
for i in $(others "$left"); do kill -STOP "${pids[i]}"; done
ask "$left" PUT /kv/unknown --data-binary x
check "nobody confirms the entry: 504, it may have happened" refused 504 timeout unknown
id=$(jq -r .request_id "$work/body")
line=$(grep "event=http.slow_request .*req=$id" "$work/n$left.log")
check "the log has a line about the request and the time it took" \
    grep -q ' method=PUT path=/kv/ key=#.* status=504 dur_ms=[0-9]' <<<"$line"
check "without its key" test "$line" = "${line#*unknown}"
for i in $(others "$left"); do kill -CONT "${pids[i]}"; done
settle || give_up "all are equal after the pause"
ask "$left" GET /kv/unknown
check "it has happened or not, and the node says which" \
    test "$code $(jq -r '.code? // empty' "$work/body" 2>/dev/null)" != "503 no_leader"
note "it answers $code"
for i in 1 2 3; do
    is "n$i says the same" "$code" "$(status_of "http://${http[i]}/kv/unknown?consistency=stale")"
done

# A follower that has sent a write to a leader that then stops cannot know either.
old=$(leader) || give_up "a node leads"
from=$(others "$old" | head -n 1)
kill -STOP "${pids[old]}"
ask "$from" PUT /kv/relayed --data-binary x
check "sent to a leader that stands still: 504, or done by the next leader" \
    test "$code" = 504 -o "$code" = 201
[ "$code" != 504 ] || check "its outcome is unknown" refused 504 timeout unknown
check "the others find a leader and go on" wait_for 10 writes "$from" after
kill -CONT "${pids[old]}"
settle || give_up "all are equal after the old leader is back"
ok "the old leader follows and has the same state"

# --- connections to the peers' ports that say nothing ---

say_nothing() { # ADDRESS: ever more of them; nobody closes one but the node
    local fd fds=()
    while :; do
        for _ in $(seq 10); do
            exec {fd}<>"/dev/tcp/${1%:*}/${1##*:}" && fds+=("$fd")
        done 2>/dev/null
        sleep 0.1
        [ "${#fds[@]}" -lt 500 ] || for fd in "${fds[@]:0:100}"; do exec {fd}>&-; done
        [ "${#fds[@]}" -lt 500 ] || fds=("${fds[@]:100}")
    done
}
floods=()
for i in 1 2 3; do
    say_nothing "${peer[i]}" &
    floods+=($!)
    lib_tests_pids+=($!)
done
old=$(leader) || give_up "a node leads"
node_kill "$old"
node_start "$old"
check "silent connections to each peer port: a node comes back all the same" wait_for 10 is_ready "$old"
kill "${floods[@]}"
wait "${floods[@]}" 2>/dev/null
settle || give_up "all are equal after the silence"

# --- no descriptors ---

if command -v prlimit >/dev/null; then
    old=$(leader) || give_up "a node leads"
    from=$(others "$old" | head -n 1)
    term=$(field term "$old")
    open=$(find "/proc/${pids[old]}/fd" -mindepth 1 | wc -l)
    prlimit --pid "${pids[old]}" --nofile="$((open + 10)):"
    fds=()
    for i in $(seq 60); do
        exec {fd}<>"/dev/tcp/${http[old]%:*}/${http[old]##*:}" && fds+=("$fd")
    done
    ticks() { awk '{ print $14 + $15 }' "/proc/${pids[old]}/stat"; }
    before=$(ticks) count=0 bad=0
    end=$((SECONDS + 4))
    while [ "$SECONDS" -lt "$end" ]; do
        writes "$from" "crowd$((count % 10))" || bad=$((bad + 1))
        count=$((count + 1))
        read -r -t 0.05 _ < <(:) || :
    done
    used=$(($(ticks) - before))
    note "$count writes through another node, $used ticks of processor time of $((4 * $(getconf CLK_TCK)))"
    is "no descriptors left: the cluster goes on" 0 "$bad"
    is "with the same leader in the same term" "n$old $term" "$(field leader "$from") $(field term "$from")"
    check "that does not turn in circles" test "$used" -lt $((2 * $(getconf CLK_TCK)))
    for fd in "${fds[@]}"; do exec {fd}>&-; done
    check "it takes clients again by itself" wait_for 20 is_ready "$old"
    prlimit --pid "${pids[old]}" --nofile=1024:
else
    ok "no descriptors left # SKIP missing: prlimit"
fi
for i in 1 2 3; do
    check "n$i stops in good order" node_stop "$i"
    check "which is its last word" grep -q event=node.stopped <(tail -n 1 "$work/n$i.log")
done

# --- no snapshot can be made (R-S18) ---

cluster_new 1 memory '[snapshot]' 'log_size = 64KiB' 'keep_size = 4KiB' '[wal]' 'segment_size = 2MiB'
rm -rf "$work/n1" && mkdir -m 700 "$work/n1"
cluster_start
wait_for 20 all_ready || give_up "one node is ready"
has_event() { grep -q "event=$1" "$work/n1.log"; }
grow() { # until the log says so
    head -c 65536 /dev/zero | tr '\0' x >"$work/value"
    grown=$((grown + 1))
    ask 1 PUT "/kv/grow$grown" --data-binary @"$work/value"
    [ "$code" = 201 ] || bad=$((bad + 1))
    has_event "$1"
}
grown=0 bad=0
wait_for 10 has_event raft.elected
mv "$work/n1/snap" "$work/n1/away" && : >"$work/n1/snap"
check "a snapshot fails" wait_for 20 grow snapshot.failed
check "it is tried again" wait_for 20 grow snapshot.failed
rm "$work/n1/snap" && mv "$work/n1/away" "$work/n1/snap"
check "and made when it can be" wait_for 20 grow snapshot.made
is "meanwhile all $grown writes were taken" 0 "$bad"
check "the node stops in good order" node_stop 1

# --- no disk space ---

image=$work/image
mounted=
unmount() {
    [ -z "$mounted" ] || umount -l "$mounted" 2>/dev/null
    lib_cleanup
}
trap unmount EXIT
may_mount() {
    [ "$(id -u)" = 0 ] && command -v mkfs.ext4 >/dev/null || return 1
    truncate -s 96M "$image" && mkfs.ext4 -q -F -m 0 "$image" && mkdir -p "$work/small" &&
        mount -o loop "$image" "$work/small" 2>"$work/mount.log" && mounted=$work/small
}
if ! may_mount; then
    ok "disk full # SKIP missing: this user cannot mount a small disk: $(head -n 1 "$work/mount.log" 2>/dev/null)"
    finish
fi
chmod 700 "$work/small"
cluster_new 3 "${1:-lmdb}" '[cluster]' 'value_max = 64KiB' '[wal]' 'segment_size = 1MiB' \
    '[http]' 'request_timeout = 2s' '[raft]' 'disk_stall_timeout = 1m'
for i in 1 2 3; do
    mkdir -m 700 "$work/small/n$i"
    sed -i "s|^data_dir = .*|data_dir = $work/small/n$i|" "$work/n$i.conf"
done
cluster_start
wait_for 30 all_ready || give_up "three nodes on a small disk are ready"
writes 1 kept || give_up "a write on the small disk"
old=$(leader) || give_up "a node leads"
term=$(field term "$old")
# All there is, but not to the last block at once.
dd if=/dev/zero of="$work/small/filler" bs=64k 2>/dev/null
dd if=/dev/zero of="$work/small/filler2" bs=1k 2>/dev/null
head -c 16384 /dev/zero | tr '\0' x >"$work/value"
accepted=0
is_full() {
    ask "$old" PUT "/kv/fill$accepted" --data-binary "@$work/value"
    [ "$code" = 201 ] && accepted=$((accepted + 1))
    [ "$code" = 507 ]
}
wait_for 60 is_full
check "disk full: a write is refused and was not done" refused 507 disk_full none
check "with Retry-After" test "$(header retry-after)" -ge 1
note "$accepted writes of 16 KiB were taken before"
ask "$(others "$old" | head -n 1)" PUT /kv/through --data-binary @"$work/value"
check "through another node too" refused 507 disk_full none
ask "$old" GET /readyz/disk_writable
is "the node says that it is not ready" 503 "$code"
reads=0 bad=0
end=$((SECONDS + 3))
while [ "$SECONDS" -lt "$end" ]; do
    for i in 1 2 3; do
        [ "$(get "${http[i]}" /kv/kept)" = kept ] || bad=$((bad + 1))
        reads=$((reads + 1))
    done
done
is "reads go on, on every node ($reads)" 0 "$bad"
is "and so do heartbeats: the same leader in the same term" "$old $term" "$(leader) $(field term "$old")"
kill -STOP "${pids[old]}"
elected() {
    local i
    for i in $(others "$old"); do
        [ "$(field role "$i")" != leader ] || return 0
    done
    return 1
}
check "and votes: another node is elected on the full disk" wait_for 15 elected
kill -CONT "${pids[old]}"
rm "$work/small/filler" "$work/small/filler2"
check "with space again writes are taken, by themselves" wait_for 30 writes 1 freed
check "all nodes are ready and equal again" settle
lost=0
for n in $(seq 0 $((accepted - 1))); do
    get "${http[$((n % 3 + 1))]}" "/kv/fill$n" | cmp -s - "$work/value" || lost=$((lost + 1))
done
is "every write that was taken is there" 0 "$lost"
for i in 1 2 3; do check "n$i stops in good order" node_stop "$i"; done

# --- the leader's disk alone is full ---

cluster_new 3 "${1:-lmdb}" '[cluster]' 'value_max = 64KiB' '[wal]' 'segment_size = 1MiB' '[raft]' \
    'disk_stall_timeout = 1s'
rm -rf "$work"/n[123] "$work"/small/n[123]
mkdir -m 700 "$work"/n[123] "$work/small/n1"
sed -i "s|^data_dir = .*|data_dir = $work/small/n1|" "$work/n1.conf"
cluster_start
wait_for 30 all_ready || give_up "three nodes, one on a small disk"
n1_leads() {
    old=$(leader) || return 1
    [ "$old" != 1 ] || return 0
    node_stop "$old" && node_start "$old" && wait_for 20 all_ready && [ "$(leader)" = 1 ]
}
wait_for 60 n1_leads || give_up "n1 leads"
dd if=/dev/zero of="$work/small/filler" bs=4k 2>/dev/null
head -c 16384 /dev/urandom >"$work/value"
taken=0 refused=0
other_leads() {
    ask 2 PUT "/kv/small$taken" --data-binary "@$work/value"
    case $code in
    201) taken=$((taken + 1)) ;;
    507) refused=$((refused + 1)) ;;
    esac
    [ "$(leader)" != 1 ] && [ "$code" = 201 ]
}
check "a leader whose disk is full hands over to a node that has space" wait_for 60 other_leads
note "$taken writes were taken, $refused refused"
check "and says so" grep -q 'event=raft.disk_full' "$work/n1.log"
for i in $(seq 50); do writes 1 "small-after$i" || break; done
is "writes are taken again, on the full node too" 50 "$i"
rm "$work/small/filler"
check "with space again all are equal" settle
for i in 1 2 3; do check "n$i stops in good order" node_stop "$i"; done
finish
