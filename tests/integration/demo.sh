#!/bin/bash
# scripts/demo leaves alone what runs: neither another demo nor a node that outlived its demo loses
# its data to --fresh.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl flock
make_work
export XDG_CACHE_HOME=$work/cache
data=$XDG_CACHE_HOME/dkv-demo

# refused WORDS: --fresh says them, ends, and has deleted nothing
refused() {
    if timeout 60 "$lib_srcdir/scripts/demo" --fresh >"$work/demo.log" 2>&1 </dev/null; then return 1; fi
    grep -qF "$1" "$work/demo.log" && [ -f "$data/kept" ]
}

mkdir -p "$data"
touch "$data/kept"
exec 9>>"$data.lock"
flock 9
echo 4711 >"$data.lock"
check "a running demo is not deleted" \
    refused 'a demo is running (pid 4711): stop it with Ctrl-C first'
exec 9>&-

cluster_new 1 memory
cp "$work/n1.conf" "$data/n1.conf"
"$DKVD" --config "$data/n1.conf" >"$work/n1.log" 2>&1 </dev/null &
pids[1]=$!
wait_for 20 is_ready 1 || give_up "a node without its demo is ready"
check "neither is a node that outlived its demo" \
    refused "nodes of an earlier demo are running; end them first: kill ${pids[1]}"
finish
