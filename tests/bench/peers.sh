#!/bin/bash
# dkv, etcd, Redis and a bare responder, measured in one run, alternately. See --help.
# shellcheck disable=SC2317
set -u -o pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
# shellcheck source=tests/integration/lib.sh
. "$root/tests/integration/lib.sh"
# shellcheck source=scripts/lib/packages.sh
. "$root/scripts/lib/packages.sh"

usage() {
    cat <<'TEXT'
usage: tests/bench/peers.sh [--quick] [--strict] [--rounds N] [--kills N] [--json FILE] [-y]

Prints each figure, its ratio to the peer, the target and the verdict: medians over the rounds; the
whole table as JSON comes last, or goes to FILE. Every server runs with its defaults, on the same
disk, on loopback. docs/benchmarks.md says how and why.

  --quick    one round and 10 kills instead of 5 and 50: less than 4 minutes
  --strict   a missed target is a failure; otherwise only what could not be measured is

ETCD, REDIS_SERVER, REDIS_BENCHMARK, DKVD, LOAD, HTTP_BENCH name other programs; TEST_TMP another
disk than that of /var/tmp.
TEXT
}

rounds=5
kills=50
seconds=5
strict=
json_file=
while [ $# -gt 0 ]; do
    case $1 in
    --quick)
        rounds=1
        kills=10
        seconds=3
        ;;
    --strict) strict=1 ;;
    --rounds)
        rounds=${2:?}
        shift
        ;;
    --kills)
        kills=${2:?}
        shift
        ;;
    --json)
        json_file=${2:?}
        shift
        ;;
    -y | --yes) export ASSUME_YES=1 ;;
    -h | --help)
        usage
        exit 0
        ;;
    *)
        usage >&2
        exit 64
        ;;
    esac
    shift
done

connections=64
keys=10000
begun=$SECONDS
missing=

say() {
    printf '[%4ds] %s\n' "$((SECONDS - begun))" "$*" >&2
}

# What fails here leaves a figure unmeasured, which the table and the exit code say.
trouble() {
    local log
    say "could not measure: $*"
    missing="$missing${missing:+; }$*"
    for log in "$work"/n?.log "$work"/etcd?.log; do
        [ ! -s "$log" ] || tail -n 5 "$log" | sed "s|^|    $(basename "$log"): |" >&2
    done
}

wanted=
[ -n "${ETCD:-}" ] || command -v etcd >/dev/null || wanted="etcd-server"
[ -n "${REDIS_SERVER:-}" ] || command -v redis-server >/dev/null || wanted="$wanted redis-server"
command -v redis-benchmark >/dev/null || wanted="$wanted redis-tools"
command -v jq >/dev/null || wanted="$wanted jq"
command -v curl >/dev/null || wanted="$wanted curl"
# shellcheck disable=SC2086
[ -z "$wanted" ] || need_packages $wanted || exit 1
ETCD=${ETCD:-etcd}
REDIS_SERVER=${REDIS_SERVER:-redis-server}
REDIS_BENCHMARK=${REDIS_BENCHMARK:-redis-benchmark}
HTTP_BENCH=${HTTP_BENCH:-$lib_builddir/tests/bench/http_bench}
if [ ! -x "$DKVD" ] || [ ! -x "$LOAD" ] || [ ! -x "$HTTP_BENCH" ]; then
    say "building dkv in $root/build"
    if [ ! -f "$root/configure" ]; then
        # shellcheck disable=SC2086
        need_packages $BUILD_PACKAGES || exit 1
        (cd "$root" && ./autogen.sh >/dev/null 2>&1) || exit 1
    fi
    mkdir -p "$lib_builddir" || exit 1
    if ! (cd "$lib_builddir" && { [ -f config.status ] || "$root/configure" -q; } &&
        make -s -j"$(nproc)" all tests/plugindir/.stamp) >"$lib_builddir/peers.log" 2>&1; then
        tail -n 20 "$lib_builddir/peers.log" >&2
        exit 1
    fi
    export DKV_PLUGIN_PATH=$lib_builddir/tests/plugindir
fi
make_work
results=$work/results
: >"$results"

# record FIGURE NUMBER
record() {
    case $2 in
    '' | null | 0 | 0.0)
        trouble "$1"
        return 1
        ;;
    esac
    printf '{"figure":"%s","round":%d,"value":%s}\n' "$1" "$round" "$2" >>"$results"
    say "round $round: $1 = $2"
}

# run_load FIGURE JQ-PATH ARGUMENT...
run_load() {
    local figure=$1 path=$2 out value failed
    shift 2
    out=$("$LOAD" --json --keys $keys --key-size 16 --value-size 64 --seed "$round" "$@" 2>"$work/load.log")
    value=$(jq -r "$path // empty" <<<"$out" 2>/dev/null)
    failed=$(jq -r '.failed // 0' <<<"$out" 2>/dev/null)
    [ "${failed:-0}" = 0 ] || say "   $failed requests failed: $(jq -c .errors <<<"$out")"
    [ -n "$value" ] || cat "$work/load.log" >&2
    record "$figure" "$value"
}

rss_mib() { # of the greatest of the processes
    local pid max=0 kib
    for pid in "$@"; do
        kib=$(awk '/^VmRSS:/ {print $2}' "/proc/$pid/status" 2>/dev/null)
        [ "${kib:-0}" -le "$max" ] || max=$kib
    done
    awk -v k="$max" 'BEGIN {printf "%.1f", k / 1024}'
}

# measure_cluster WHO DIALECT SERVER...: the figures of three nodes.
measure_cluster() {
    local who=$1 dialect=$2
    shift 2
    run_load "$who writes/s, 3 nodes" .put.per_second --dialect "$dialect" --leader --prefill \
        -c $connections -d $seconds "$@"
    run_load "$who linearizable reads/s, 3 nodes" .get.per_second --dialect "$dialect" --leader \
        --put 0 -c $connections -d $seconds "$@"
    run_load "$who lone write p50 us, 3 nodes" .put.latency_us.p50 --dialect "$dialect" --leader \
        --lone -d 2 "$@"
}

stop_all() {
    local i
    for i in $(seq "$nodes"); do
        [ -z "${pids[i]:-}" ] || node_stop "$i" 2>/dev/null || node_kill "$i"
    done
    rm -rf "$work"/n[0-9] "$work"/n[0-9].conf
}

dkv_cluster() {
    cluster_new 3 lmdb
    cluster_start
    if ! wait_for 20 all_ready; then
        trouble "dkv: three nodes are ready"
        stop_all
        return
    fi
    sleep 1
    record "dkv idle MiB" "$(rss_mib "${pids[@]}")"
    measure_cluster dkv dkv "${http[@]}"
    stop_all
}

# dkv_single STORAGE FIGURE JQ-PATH ARGUMENT...
dkv_single() {
    local storage=$1
    shift
    cluster_new 1 "$storage"
    cluster_start
    if wait_for 20 all_ready; then
        run_load "$@" --prefill "${http[1]}"
    else
        trouble "dkv: one node with $storage is ready"
    fi
    stop_all
}

etcd_servers=()
etcd_pids=()
etcd_new() {
    local i base initial='' client=() peer_url=()
    base=$(free_ports 6) || return 1
    etcd_servers=()
    etcd_pids=()
    for i in 1 2 3; do
        client[i]=127.0.0.1:$((base + i - 1))
        peer_url[i]=http://127.0.0.1:$((base + 2 + i))
        initial="$initial${initial:+,}e$i=${peer_url[i]}"
        etcd_servers+=("${client[i]}")
    done
    for i in 1 2 3; do
        rm -rf "$work/etcd$i"
        "$ETCD" --name "e$i" --data-dir "$work/etcd$i" --listen-client-urls "http://${client[i]}" \
            --advertise-client-urls "http://${client[i]}" --listen-peer-urls "${peer_url[i]}" \
            --initial-advertise-peer-urls "${peer_url[i]}" --initial-cluster "$initial" \
            >"$work/etcd$i.log" 2>&1 </dev/null &
        etcd_pids+=($!)
        lib_tests_pids+=($!)
    done
}

etcd_ready() {
    local server
    for server in "${etcd_servers[@]}"; do
        get "$server" /health | grep -q '"health":"true"' || return 1
    done
}

etcd_cluster() {
    etcd_new
    if wait_for 30 etcd_ready; then
        sleep 1
        record "etcd idle MiB" "$(rss_mib "${etcd_pids[@]}")"
        measure_cluster etcd etcd "${etcd_servers[@]}"
    else
        trouble "etcd: three nodes are ready"
    fi
    kill -9 "${etcd_pids[@]}" 2>/dev/null
    wait "${etcd_pids[@]}" 2>/dev/null
    rm -rf "$work"/etcd[123]
}

redis_gets() {
    local port pid value
    port=$(free_ports 1)
    mkdir -p "$work/redis"
    (cd "$work/redis" && exec "$REDIS_SERVER" --port "$port" --bind 127.0.0.1) \
        >"$work/redis.log" 2>&1 </dev/null &
    pid=$!
    lib_tests_pids+=("$pid")
    redis_answers() { ! port_is_free "$port"; }
    if wait_for 10 redis_answers; then
        "$REDIS_BENCHMARK" -p "$port" -c $connections -n 100000 -d 64 -r $keys -t set -q >/dev/null 2>&1
        value=$("$REDIS_BENCHMARK" -p "$port" -c $connections -n $((seconds * 80000)) -d 64 -r $keys \
            -t get --csv 2>/dev/null | awk -F '"' '$2 == "GET" {print $4}')
        record "redis GET/s" "$value"
    else
        trouble "redis: it answers"
    fi
    kill "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
    rm -rf "$work/redis"
}

# Our server with a fixed answer and bufferevents that write the same bytes, driven alike.
http_alone() {
    if ! "$HTTP_BENCH" -c $connections -s "$seconds" -r 1 >"$work/http.out" 2>&1; then
        cat "$work/http.out" >&2
        trouble "the HTTP server alone"
        return
    fi
    record "dkv HTTP server alone/s" "$(awk '$1 == "server" {print $2 + 0}' "$work/http.out")"
    record "bare bufferevent responder/s" "$(awk '$1 == "bare" {print $2 + 0}' "$work/http.out")"
}

fdatasync() {
    record "fdatasync p50 us" "$("$LOAD" --fsync "$work" -d 1 --json | jq -r .fdatasync_us.p50)"
}

kill_leader() {
    local old others=() i ms
    wait_for 20 all_ready || return 1
    wait_for 20 has_leader || return 1
    old=$(leader) || return 1
    for i in 1 2 3; do
        [ "$i" = "$old" ] || others+=("${http[i]}")
    done
    ms=$("$LOAD" --failover "${pids[old]}" --json "${http[old]}" "${others[@]}" 2>"$work/load.log" |
        jq -r .failover_ms)
    wait "${pids[old]}" 2>/dev/null
    pids[old]=
    if [ -z "$ms" ]; then
        cat "$work/load.log" >&2
        return 1
    fi
    printf '{"figure":"dkv failover ms","round":%d,"value":%s}\n' "$1" "$ms" >>"$results"
    node_start "$old"
}

failovers() {
    local n
    cluster_new 3 lmdb
    cluster_start
    say "killing the leader $kills times"
    for n in $(seq "$kills"); do
        if ! kill_leader "$n" 2>>"$work/failover.log"; then
            tail -n 5 "$work/failover.log" >&2
            trouble "failover: kill $n of $kills"
            break
        fi
    done
    stop_all
}

for round in $(seq "$rounds"); do
    fdatasync
    dkv_cluster
    etcd_cluster
    dkv_single memory "dkv reads/s, 1 node, memory" .get.per_second --put 0 -c $connections -d $seconds
    redis_gets
    if [ -x "$HTTP_BENCH" ]; then
        http_alone
    else
        trouble "the HTTP server alone: no $HTTP_BENCH"
    fi
    dkv_single lmdb "dkv lone write p50 us, 1 node" .put.latency_us.p50 --lone -d 2
done
failovers

table=$(jq -s --arg missing "$missing" --argjson rounds "$rounds" --arg cpus "$(nproc)" \
    --arg etcd "$("$ETCD" --version 2>/dev/null | head -n 1)" \
    --arg redis "$("$REDIS_SERVER" --version 2>/dev/null | cut -d ' ' -f 3)" '
  (group_by(.figure) | map({key: .[0].figure, value: (map(.value) | sort)}) | from_entries) as $v |
  def rank($name; $p): ($v[$name] // []) as $a | if ($a | length) == 0 then null
      else $a[([(($a | length) * $p / 100 | ceil) - 1, 0] | max)] end;
  def median($name): ($v[$name] // []) as $a | ($a | length) as $n | if $n == 0 then null
      elif $n % 2 == 1 then $a[($n - 1) / 2] else ($a[$n / 2 - 1] + $a[$n / 2]) / 2 end;
  def row($figure; $ours; $peer; $target; $least):
      (if $peer == null or $ours == null then null else $ours / $peer end) as $ratio |
      {figure: $figure, dkv: $ours, peer: $peer, ratio: $ratio, target: $target,
       at: (if $least then "least" else "most" end),
       met: (if $ratio == null then null elif $least then $ratio >= $target else $ratio <= $target end)};
  {rows: [
     row("durable writes/s, 3 nodes, against etcd"; median("dkv writes/s, 3 nodes");
         median("etcd writes/s, 3 nodes"); 5; true),
     row("linearizable reads/s on the leader, against etcd"; median("dkv linearizable reads/s, 3 nodes");
         median("etcd linearizable reads/s, 3 nodes"); 6; true),
     row("reads/s, one node, memory, against Redis GET"; median("dkv reads/s, 1 node, memory");
         median("redis GET/s"); 0.9; true),
     row("HTTP server alone, against a bare responder"; median("dkv HTTP server alone/s");
         median("bare bufferevent responder/s"); 0.85; true),
     row("lone write p50 us, one node, against fdatasync"; median("dkv lone write p50 us, 1 node");
         median("fdatasync p50 us"); 2; false),
     row("lone write p50 us, 3 nodes, against etcd"; median("dkv lone write p50 us, 3 nodes");
         median("etcd lone write p50 us, 3 nodes"); 0.5; false),
     row("idle node, resident MiB, against 15 MiB"; median("dkv idle MiB"); 15; 1; false),
     row("leader killed: first write p50 ms, against 800 ms"; rank("dkv failover ms"; 50); 800; 1; false),
     row("leader killed: first write p99 ms, against 1200 ms"; rank("dkv failover ms"; 99); 1200; 1; false)],
   kills: ($v["dkv failover ms"] // [] | length), rounds: $rounds, connections: 64, key_size: 16,
   value_size: 64, cpus: ($cpus | tonumber), etcd: $etcd, redis: $redis,
   not_measured: $missing, values: $v}' "$results") || exit 1

jq -r '
  def pad($n): tostring as $s | $s + (" " * ([$n - ($s | length), 0] | max));
  def lpad($n): tostring as $s | (" " * ([$n - ($s | length), 0] | max)) + $s;
  def num: if . == null then "-" elif . >= 1000 then round else (. * 100 | round / 100) end;
  ("figure" | pad(56)) + ("dkv" | lpad(10)) + ("peer" | lpad(10)) + ("ratio" | lpad(8)) + ("target" | lpad(10)),
  (.rows[] | (.figure | pad(56)) + (.dkv | num | lpad(10)) + (.peer | num | lpad(10)) +
    (.ratio | num | lpad(8)) + ((if .at == "least" then ">= " else "<= " end) + (.target | tostring) | lpad(10)) +
    "  " + (if .met == null then "not measured" elif .met then "met" else "MISSED" end)),
  "medians of \(.rounds) round(s), \(.kills) kills, \(.cpus) cpus, redis \(.redis), \(.etcd)"' <<<"$table"
if [ -n "$json_file" ]; then
    printf '%s\n' "$table" >"$json_file"
else
    jq -c . <<<"$table"
fi
if jq -e '[.rows[] | select(.met == null)] | length > 0' <<<"$table" >/dev/null || [ -n "$missing" ]; then
    echo "not everything could be measured: $missing" >&2
    exit 1
fi
if [ -n "$strict" ] && jq -e '[.rows[] | select(.met == false)] | length > 0' <<<"$table" >/dev/null; then
    echo "targets were missed" >&2
    exit 1
fi
exit 0
