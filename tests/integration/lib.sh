# shellcheck shell=bash disable=SC2034
# Helpers for tests with real daemons on loopback. Sourced by the scripts beside it.
#
# cluster_new N makes a work folder, picks free ports and writes the configuration of nodes 1..N;
# node_start, node_stop, node_kill work on one of them. Everything is stopped and removed when the
# script ends, however it ends; KEEP_WORK=1 keeps the folder. Nothing sleeps in the hope that
# something has happened: wait_for polls a condition until a deadline.

lib_srcdir=${DKV_SRCDIR:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
# The build by hand, that of scripts/test, one in the source, one from here, that of scripts/demo.
lib_find_build() {
    local dir
    for dir in "$lib_srcdir/build" "$lib_srcdir/build-test/gcc" "$lib_srcdir" "$PWD" "$lib_srcdir/build-demo"; do
        [ ! -x "$dir/dkvd" ] || break
        dir=$lib_srcdir/build
    done
    echo "$dir"
}
lib_builddir=${DKV_BUILDDIR:-$(lib_find_build)}
DKVD=${DKVD:-$lib_builddir/dkvd}
LOAD=${LOAD:-$lib_builddir/tests/bench/load/load}
if [ -z "${DKV_PLUGIN_PATH:-}" ] && [ -d "$lib_builddir/tests/plugindir" ]; then
    export DKV_PLUGIN_PATH=$lib_builddir/tests/plugindir
fi
lib_tests=0
lib_failed=0
lib_tests_pids=()
work=
nodes=0
pids=()

ok() {
    lib_tests=$((lib_tests + 1))
    echo "ok $lib_tests - $*"
}

not_ok() {
    lib_tests=$((lib_tests + 1))
    lib_failed=$((lib_failed + 1))
    echo "not ok $lib_tests - $*"
}

# check NAME COMMAND...
check() {
    local name=$1
    shift
    if "$@"; then ok "$name"; else not_ok "$name"; fi
}

note() {
    echo "# $*"
}

skip_all() {
    echo "1..0 # SKIP $*"
    exit 0
}

# Says what failed, shows the ends of the logs, and ends the script.
give_up() {
    local log
    not_ok "$*"
    for log in "$work"/*.log; do
        [ ! -s "$log" ] || tail -n 15 "$log" | sed "s|^|# $(basename "$log"): |"
    done
    finish
}

finish() {
    echo "1..$lib_tests"
    exit "$((lib_failed > 0))"
}

lib_shell=$BASHPID
lib_cleanup() {
    local pid
    # A subshell that ends is not the end of the test.
    [ "$BASHPID" = "$lib_shell" ] || return 0
    for pid in "${pids[@]}" "${lib_tests_pids[@]}"; do
        [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null
    done
    wait 2>/dev/null
    if [ -n "$work" ] && [ "${KEEP_WORK:-0}" != 1 ]; then
        rm -rf "$work"
    fi
}
trap lib_cleanup EXIT
trap 'trap "" INT TERM; exit 130' INT TERM

# wait_for SECONDS COMMAND...: polls until the command succeeds; false when the time is over.
wait_for() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.05
    done
}

port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_ports N: the first of N free ports in a row, below the range the kernel hands out.
free_ports() {
    local base i tries
    for tries in $(seq 50); do
        base=$((10000 + (RANDOM + tries * 7919) % 20000))
        for i in $(seq 0 $(($1 - 1))); do
            port_is_free $((base + i)) || continue 2
        done
        echo "$base"
        return 0
    done
    return 1
}

# Not below /tmp, which is memory on many systems: a data directory there is refused.
make_work() {
    work=$(mktemp -d "${TEST_TMP:-/var/tmp}/dkv-test.XXXXXX") || exit 1
    # A data directory may be opened up by nobody but its owner.
    chmod 700 "$work"
    case $(stat -f -c %T "$work") in
    tmpfs | ramfs | overlayfs | nfs | 9p | v9fs) export DKV_NODE_ALLOW_ANY_FILESYSTEM=yes ;;
    esac
}

# cluster_new NODES STORAGE [LINE...]: further lines go into each configuration.
cluster_new() {
    local i base peers='' storage=$2
    nodes=$1
    shift 2
    [ -n "$work" ] || make_work
    base=$(free_ports $((nodes * 2))) || give_up "no free ports"
    for i in $(seq "$nodes"); do
        http[i]=127.0.0.1:$((base + i - 1))
        peer[i]=127.0.0.1:$((base + nodes + i - 1))
        peers="$peers${peers:+, }n$i=${peer[i]}"
        pids[i]=
    done
    for i in $(seq "$nodes"); do
        [ -d "$work/n$i" ] || mkdir -m 700 "$work/n$i"
        {
            printf '[node]\nname = n%d\ndata_dir = %s\n' "$i" "$work/n$i"
            if [ "$nodes" -gt 1 ]; then
                printf '[cluster]\npeers = %s\n' "$peers"
            fi
            printf '[http]\nlisten = %s\n[storage]\nplugin = %s\n[log]\nformat = text\n' \
                "${http[i]}" "$storage"
            [ $# = 0 ] || printf '%s\n' "$@"
        } >"$work/n$i.conf"
    done
}
http=()
peer=()

node_start() {
    "$DKVD" --config "$work/n$1.conf" >>"$work/n$1.log" 2>&1 </dev/null &
    pids[$1]=$!
}

# node_stop I: as an init system would; the exit code of the daemon, and why if it is not 0.
node_stop() {
    local pid=${pids[$1]} rc=0
    kill -TERM "$pid" 2>/dev/null
    wait "$pid" || rc=$?
    pids[$1]=
    [ "$rc" = 0 ] || tail -n 40 "$work/n$1.log" | sed "s|^|# n$1: |"
    return "$rc"
}

node_kill() {
    kill -9 "${pids[$1]}" 2>/dev/null
    wait "${pids[$1]}" 2>/dev/null
    pids[$1]=
}

cluster_start() {
    local i
    for i in $(seq "$nodes"); do node_start "$i"; done
}

get() {
    curl -s -m 10 "http://$1$2"
}

status_of() {
    curl -s -m 10 -o /dev/null -w '%{http_code}' "$@"
}

# ask NODE METHOD PATH [CURL-OPTION...]: the status is left in $code, head and body of the answer in
# $work/head and $work/body.
ask() {
    local node=$1 method=$2 path=$3
    shift 3
    [ "$method" != HEAD ] || set -- -I "$@"
    : >"$work/head"
    : >"$work/body"
    code=$(curl -s -g -m 30 --path-as-is -X "$method" -D "$work/head" -o "$work/body" \
        -w '%{http_code}' "$@" "http://${http[$node]}$path")
}
code=

# header NAME: its value in the last answer.
header() {
    sed -n "s/^$1: *//Ip" "$work/head" | tr -d '\r' | tail -n 1
}

# answers CODE: the last answer has this status; shows it if it has not.
answers() {
    [ "$code" = "$1" ] && return 0
    note "status $code, not $1: $(head -c 300 "$work/body" | tr -d '\0' | head -n 1)"
    return 1
}

# refused STATUS WORD OUTCOME [TEXT]: the last answer is a problem with this code, and its detail
# holds the text.
refused() {
    local got
    answers "$1" || return 1
    got=$(jq -r '"\(.status) \(.code) \(.outcome) \(.title != null and .type == "about:blank" and
        (.detail | length > 0))"' "$work/body" 2>/dev/null)
    if [ "$(header content-type)" != application/problem+json ] || [ "$got" != "$1 $2 $3 true" ]; then
        note "$(header content-type): $(head -c 400 "$work/body")"
        return 1
    fi
    [ -z "${4:-}" ] || jq -r .detail "$work/body" | grep -qF -e "$4" && return 0
    note "the detail has no \"$4\": $(cat "$work/body")"
    return 1
}

# raw NODE SECONDS TEXT-IN-PRINTF: sends it as it is; what comes back is in $work/raw. False if the
# node did not close the connection in time.
raw() {
    local fd rc=0
    exec {fd}<>"/dev/tcp/${http[$1]%:*}/${http[$1]##*:}" || return 2
    # shellcheck disable=SC2059
    printf "$3" >&"$fd"
    timeout "$2" cat <&"$fd" >"$work/raw" || rc=1
    exec {fd}>&-
    return "$rc"
}

# is NAME WANTED GOT
is() {
    if [ "$2" = "$3" ]; then
        ok "$1"
    else
        not_ok "$1"
        note "wanted: $2"
        note "got:    $3"
    fi
}

is_ready() {
    [ "$(status_of "http://${http[$1]}/readyz")" = 200 ]
}

all_ready() {
    local i
    for i in $(seq "$nodes"); do is_ready "$i" || return 1; done
}

# field JSON-FIELD NODE: from the node's own view.
field() {
    get "${http[$2]}" /node | jq -r ".$1 // empty" 2>/dev/null
}

# The number of the node that says that it leads.
leader() {
    local i
    for i in $(seq "$nodes"); do
        [ -n "${pids[i]}" ] || continue
        if [ "$(field role "$i")" = leader ]; then
            echo "$i"
            return 0
        fi
    done
    return 1
}

has_leader() {
    leader >/dev/null
}

# applied_index and digest, which belong together.
state_of() {
    get "${http[$1]}" /node | jq -r '"\(.applied_index) \(.digest)"' 2>/dev/null
}

# All nodes at the same index with the same digest; it is left in $same_state.
states_equal() {
    local i one other
    one=$(state_of 1)
    [ -n "$one" ] && [ "${one#* }" != null ] || return 1
    for i in $(seq 2 "$nodes"); do
        other=$(state_of "$i")
        [ "$one" = "$other" ] || return 1
    done
    # shellcheck disable=SC2034
    same_state=$one
}

need_tool() {
    local tool
    for tool in "$@"; do
        command -v "$tool" >/dev/null || skip_all "missing: $tool is not installed"
    done
    [ -x "$DKVD" ] || give_up "no dkvd at $DKVD: build it, or set DKVD or DKV_BUILDDIR"
}
