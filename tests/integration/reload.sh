#!/bin/bash
# SIGHUP: the configuration is read again. What can change does, what cannot is named, what is wrong
# is named with its place and changes nothing.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq

# reload N: asks node 1 to read again, and waits for its Nth answer.
reload() {
    kill -HUP "${pids[1]}"
    wait_for 10 has_answered "$1"
}

has_answered() {
    [ "$(grep -c -E 'event=conf\.(reloaded|rejected)' "$work/n1.log")" -ge "$1" ]
}

answer() {
    grep -E 'event=conf\.(reloaded|rejected)' "$work/n1.log" | tail -n 1
}

says() { # says TEXT: in the last answer
    answer | grep -qF -e "$1" && return 0
    note "$(answer)"
    return 1
}

# How long an idle connection is kept, in seconds.
idle_seconds() {
    local start=$EPOCHSECONDS
    raw 1 20 'GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n' || return 1
    echo $((EPOCHSECONDS - start))
}

has_snapshot() {
    ask 1 PUT /kv/again --data "$(head -c 3000 /dev/zero | tr '\0' x)"
    grep -q event=snapshot.made "$work/n1.log"
}

changes() { # changes WORKERS
    local i
    cluster_new 1 memory 'level = info' 'slow_request = 10s' '[threads]' "workers = $1"
    cp "$work/n1.conf" "$work/first"
    : >"$work/n1.log"
    node_start 1
    wait_for 20 is_ready 1 || give_up "$1 workers: ready"
    ask 1 PUT /kv/a --data 1
    check "$1 workers: nothing is slow at first" test -z "$(grep slow_ "$work/n1.log")"

    {
        sed 's/^slow_request = .*/slow_request = 1us/' "$work/first"
        printf '[http]\nidle_timeout = 1s\nmax_pipelined = 2\n[snapshot]\nlog_size = 4KiB\n'
    } >"$work/n1.conf"
    reload 1 || give_up "$1 workers: an answer"
    check "$1 workers: what can change is named" says \
        'applied="http.idle_timeout, http.max_pipelined, snapshot.log_size, log.slow_request"'
    check "$1 workers: and nothing else" test -z "$(answer | grep needs_restart)"
    wait_for 10 has_snapshot
    check "$1 workers: the log is cut at its new size" grep -q event=snapshot.made "$work/n1.log"
    check "$1 workers: a request is slow now" wait_for 5 grep -q event=http.slow_request "$work/n1.log"
    check "$1 workers: and a write" wait_for 5 grep -q event=raft.slow_write "$work/n1.log"
    i=$(idle_seconds)
    check "$1 workers: an idle connection is closed earlier: after ${i:-never} s" test "${i:-99}" -le 5

    sed -i 's/^level = .*/level = error/; s/^listen = .*/listen = 127.0.0.1:1/' "$work/n1.conf"
    reload 2 || give_up "$1 workers: an answer, though the level is above it"
    check "$1 workers: what cannot change is named" says 'needs_restart="http.listen, http.advertise"'
    check "$1 workers: beside what did" says 'applied=log.level'
    ask 1 PUT /kv/b --data 2
    check "$1 workers: it goes on at its old address" answers 201

    sed -i 's/^level = .*/level = info/; s/^listen = .*/listen = '"${http[1]}/" "$work/n1.conf"
    reload 3 || give_up "$1 workers: an answer"
    check "$1 workers: what was put back waits no longer" test -z "$(answer | grep needs_restart)"

    printf '[raft]\nheartbeat = 1s\n[http]\nheader_timeout = soon\n' >>"$work/n1.conf"
    reload 4 || give_up "$1 workers: an answer"
    check "$1 workers: what is wrong is refused" grep -q event=conf.rejected "$work/n1.log"
    check "$1 workers: with its place" grep -q "n1.conf:[0-9]*:1: error: unknown key 'heartbeat'" "$work/n1.log"
    check "$1 workers: all of it" grep -q 'n1.conf:[0-9]*:18: error: http.header_timeout' "$work/n1.log"
    ask 1 GET /kv/b
    check "$1 workers: and the node goes on" answers 200

    rm "$work/n1.conf"
    reload 5 || give_up "$1 workers: an answer"
    check "$1 workers: a file that is gone is refused" says event=conf.rejected
    check "$1 workers: it stops in order" node_stop 1
    rm -r "$work/n1"
}

# Many at once, while it is written and while it stops.
storm() {
    cluster_new 1 memory '[threads]' 'workers = 2'
    node_start 1
    wait_for 20 is_ready 1 || give_up "storm: ready"
    for _ in $(seq 200); do kill -HUP "${pids[1]}"; done
    ask 1 PUT /kv/c --data 3
    check "a storm of signals holds nothing up" answers 201
    kill -HUP "${pids[1]}"
    check "it stops in the middle of one" node_stop 1
}

# No file: nothing to read again, so it is the end of the terminal.
without_file() {
    local rc=0
    # This script may run under nohup itself.
    env --default-signal=HUP "$DKVD" --dev --set http.listen="${http[1]}" >"$work/dev.log" 2>&1 </dev/null &
    pids[1]=$!
    wait_for 20 is_ready 1 || give_up "--dev is ready"
    kill -HUP "${pids[1]}"
    wait_for 20 grep -q '"event":"node.stopped"' "$work/dev.log" || give_up "--dev stops"
    wait "${pids[1]}" || rc=$?
    is "--dev stops in order when its terminal is gone" 0 "$rc"
    check "and says so" grep -q '"event":"node.stopping".*"signal":"Hangup"' "$work/dev.log"

    (trap '' HUP && exec "$DKVD" --dev --set http.listen="${http[1]}" >"$work/dev.log" 2>&1 </dev/null) &
    pids[1]=$!
    wait_for 20 is_ready 1 || give_up "--dev is ready under nohup"
    kill -HUP "${pids[1]}"
    ask 1 PUT /kv/d --data 4
    check "but not under nohup" answers 201
    node_stop 1
}

changes 0
changes 2
storm
without_file
finish
