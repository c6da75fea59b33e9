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
check "which offset, which entries" grep -qE 'offset [0-9]+: .*entries from [0-9]+ on' "$work/verdict"
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
check "no log at all, though the node has run: exit 70" start_says 70 "could vote twice"
finish
