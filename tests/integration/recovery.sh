#!/bin/bash
# What a start, and `dkvd --check-recovery` before it, says of a log that is whole, torn, damaged,
# incomplete or somebody else's: the file, the offset, the entries, and what to do.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq

cluster_new 1 memory '[wal]' 'segment_size = 2MiB'

# lives N: starts and kills the node N times, each life writes a key; then $work/n1 is a copy.
lives() {
    local i
    rm -rf "$work/n1"
    mkdir -m 700 "$work/n1"
    for i in $(seq "$1"); do
        node_start 1
        wait_for 20 all_ready || give_up "one node is ready"
        ask 1 PUT "/kv/life$i" --data-binary "needle-in-life-$i"
        answers 201 || give_up "a write in life $i"
        node_kill 1
    done
}

# says CODE TEXT: of the check; $work/verdict has all it says.
says() {
    local rc=0
    "$DKVD" --check-recovery "$work/n1" >"$work/verdict" 2>&1 || rc=$?
    [ "$rc" = "$1" ] && grep -qF -e "$2" "$work/verdict" && return 0
    note "exit code $rc, not $1, or no \"$2\" in:"
    sed 's/^/# /' "$work/verdict"
    return 1
}

# start_says CODE TEXT: a start ends so, and has changed nothing.
start_says() {
    local rc=0 before
    before=$(sum)
    timeout 20 "$DKVD" --config "$work/n1.conf" >"$work/start" 2>&1 </dev/null || rc=$?
    [ "$rc" = "$1" ] && grep -qF -e "$2" "$work/start" && [ "$before" = "$(sum)" ] && return 0
    note "exit code $rc, not $1, or no \"$2\", or files changed:"
    tail -n 3 "$work/start" | sed 's/^/# /'
    return 1
}

# refuses CODE TEXT: of a start that finds the log whole, and writes its vote anew.
refuses() {
    local rc=0
    timeout 20 "$DKVD" --config "$work/n1.conf" >"$work/start" 2>&1 </dev/null || rc=$?
    [ "$rc" = "$1" ] && grep -qF -e "$2" "$work/start" && return 0
    note "exit code $rc, not $1, or no \"$2\":"
    tail -n 3 "$work/start" | sed 's/^/# /'
    return 1
}

sum() { (cd "$work/n1/wal" && cat -- *.seg base vote 2>/dev/null) | cksum; }

# where TEXT: the segment that holds it, and the offset.
where() {
    local file offset
    for file in "$work"/n1/wal/*.seg; do
        offset=$(grep -abo -e "$1" "$file" | head -n 1 | cut -d: -f1)
        [ -z "$offset" ] || echo "$file $offset"
    done | head -n 1
}

poke() { # poke FILE OFFSET: another byte there
    printf '\xff' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

lives 3
before=$(sum)
node_start 1
wait_for 20 all_ready || give_up "a node is ready"
check "while a dkvd runs: exit 69" says 69 "is used by a dkvd that runs"
node_kill 1
before=$(sum)
cp "$work/n1/FORMAT" "$work/n1/NODE" "$work"
echo 'dkv data 2' >"$work/n1/FORMAT"
check "a newer format: exit 65" says 65 'has format "dkv data 2"'
cp "$work/FORMAT" "$work/n1/FORMAT"
echo nonsense >"$work/n1/NODE"
check "a damaged NODE: exit 70" says 70 "file NODE"
check "a start says the same" start_says 70 NODE
cp "$work/NODE" "$work/n1/NODE"
check "a whole log after three kills" says 0 "a start would succeed"
check "the check says where it ends" grep -qE '^ends +at entry [0-9]+$' "$work/verdict"
is "and changes nothing" "$before" "$(sum)"

read -r file offset <<<"$(where needle-in-life-2)"
poke "$file" "$offset"
check "damage in the middle: exit 70, which file" says 70 "wal/$(basename "$file")"
check "which offset, which entries" grep -qE 'offset [0-9]+: .*entries [0-9]+ to [0-9]+ cannot be trusted, durable up to [0-9]+' "$work/verdict"
check "a start says the same and changes nothing" start_says 70 "wal/$(basename "$file")"

lives 3
rm "$(find "$work/n1/wal" -name '*.seg' | sort | sed -n 2p)"
check "a segment is missing: exit 70" says 70 "entries before this segment are missing"
check "a start says the same, and what to do" start_says 70 "what can be put back is a backup of it"

lives 1
read -r file offset <<<"$(where needle-in-life-1)"
# Half of a batch that was being written when the machine stopped.
head -c 100 /dev/urandom | dd of="$file" bs=1 seek=$(((offset / 4096 + 2) * 4096)) conv=notrunc status=none
head -c 100 /dev/urandom | dd of="$file" bs=1 seek=$(((offset / 4096 + 1) * 4096)) conv=notrunc status=none
check "a torn end: a start would succeed" says 0 "a start would succeed"
check "and cut it off" grep -q '^torn end *yes' "$work/verdict"
node_start 1
wait_for 20 all_ready || give_up "a node with a torn end is ready"
is "what was acknowledged is there" needle-in-life-1 "$(get "${http[1]}" /kv/life1)"
node_kill 1

lives 1
cp -r "$work/n1" "$work/other"
lives 1
rm "$work"/n1/wal/*.seg
cp "$work"/other/wal/*.seg "$work/n1/wal"
check "the log of another node: exit 65" says 65 "belongs to another node or cluster"
check "a start says the same" start_says 65 "belongs to another node or cluster"

lives 1
rm "$work/n1/wal/vote"
check "no vote file: exit 70" says 70 "wal/vote"
check "a start says the same" start_says 70 "could vote twice"
rm -r "$work/n1/wal"
check "no log at all, though the node has run: exit 70" refuses 70 "could vote twice"

# --- snapshots, which storage in memory comes back from ---

cluster_new 1 memory '[wal]' 'segment_size = 128KiB' '[cluster]' 'value_max = 16KiB' \
    '[snapshot]' 'log_size = 64KiB' 'keep_size = 0'
rm -rf "$work/n1" && mkdir -m 700 "$work/n1"
node_start 1
wait_for 20 all_ready || give_up "one node is ready"
head -c 8000 /dev/zero | tr '\0' x >"$work/value"
written=0
write_one() {
    written=$((written + 1))
    ask 1 PUT "/kv/long$written" --data-binary "@$work/value"
    [ "$code" = 201 ] && [ "$(grep -c event=snapshot.made "$work/n1.log")" -ge 4 ]
}
wait_for 30 write_one || give_up "four snapshots"
node_kill 1
newest=$(find "$work/n1/snap" -name '*.snap' | sort | tail -n 1)
check "with snapshots: a start would succeed" says 0 "a start would succeed"
check "the check says which" grep -qE '^snapshot +[0-9]+, intact$' "$work/verdict"
cp -r "$work/n1" "$work/kept"
poke "$newest" 2000
check "the newest is damaged, the one before will do" says 0 "a start would succeed"
check "which one it is, is said" grep -q "^damaged .*snap/$(basename "$newest")" "$work/verdict"
node_start 1
wait_for 20 all_ready || give_up "a node comes back from the older snapshot"
is "with every key" "$written" "$(field keys 1)"
node_kill 1
rm -rf "$work/n1" && mv "$work/kept" "$work/n1"
for i in "$work"/n1/snap/*.snap; do poke "$i" 2000; done
check "both are damaged: exit 70" says 70 "no intact snapshot holds it"
check "a start says which one could have helped" refuses 70 "snap/$(basename "$newest"), the snapshot that could help, is damaged"
printf '\x09' | dd of="$newest" bs=1 seek=8 conv=notrunc status=none
check "one of a newer format: exit 65" says 65 "snapshot format 9, this daemon reads 1; it was written by a newer dkvd"
check "a start says the same" refuses 65 "snapshot format 9, this daemon reads 1; it was written by a newer dkvd"

# --- a sync that fails: what was not acknowledged may be gone, and nothing is tried again ---

bad_disk() {
    local storage=$1 i taken=0 rc=0
    cluster_new 1 "$storage"
    rm -rf "$work/n1" "$work/bad" && mkdir -m 700 "$work/n1"
    LD_PRELOAD="$work/bad_disk.so" BAD_DISK="$work/bad" node_start 1
    wait_for 20 all_ready || give_up "$storage: a node is ready"
    for i in $(seq 20); do
        ask 1 PUT "/kv/kept$i" --data-binary "$i"
        [ "$code" != 201 ] || taken=$((taken + 1))
    done
    is "$storage: writes are taken" 20 "$taken"
    : >"$work/bad"
    ask 1 PUT /kv/lost --data-binary x
    check "$storage: a write that could not be synced is not acknowledged" test "$code" != 201
    wait "${pids[1]}" || rc=$?
    pids[1]=
    is "$storage: the node ends with exit code 74" 74 "$rc"
    check "and says what failed" grep -q "event=node.fail_stop .*: I/O error; what was written last may be lost" "$work/n1.log"
    rm "$work/bad"
    node_start 1
    wait_for 20 all_ready || give_up "$storage: a start on a disk that works again"
    for i in $(seq 20); do [ "$(get "${http[1]}" "/kv/kept$i")" = "$i" ] || break; done
    is "$storage: all that was acknowledged is there" 20 "$i"
    check "$storage: the node stops in good order" node_stop 1
}
if grep -qE '__(a|t)san_init' "$DKVD"; then
    ok "a sync that fails # SKIP the sanitizer's own sync would be called"
elif ! "${CC:-cc}" -shared -fPIC -o "$work/bad_disk.so" "$(dirname "$0")/bad_disk.c" 2>"$work/cc.log"; then
    ok "a sync that fails # SKIP missing: a C compiler ($(head -n 1 "$work/cc.log"))"
else
    bad_disk lmdb
    bad_disk memory
fi
finish
