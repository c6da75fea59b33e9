#!/bin/sh
# A short run of storage_bench on each storage plugin that is built: every figure is there.
set -u

bench=${DKV_BUILDDIR:?}/tests/bench/storage_bench
out=$(mktemp) || exit 99
trap 'rm -f "$out" "$out.err"' EXIT
n=0

if ! command -v jq >"$out"; then
    echo "1..0 # SKIP missing: jq is not installed"
    exit 0
fi

# ok NAME STATUS
ok() {
    n=$((n + 1))
    if [ "$2" -eq 0 ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$out" "$out.err"
    fi
}

for plugin in memory lmdb; do
    [ -e "${DKV_PLUGIN_PATH:?}/$plugin.so" ] || continue
    "$bench" --keys 3000 --seconds 0.04 "$plugin" >"$out" 2>"$out.err"
    ok "storage_bench runs on $plugin" $?
    jq -e '(.plugin == $plugin) and (.keys == 3000) and ([.apply[].batch] == [1, 16, 256, 4096]) and
        ([.fill_keys_per_s, .apply[].keys_per_s, .apply[].batches_per_s, .gets_per_s,
          .gets_of_absent_keys_per_s, .scan_keys_per_s, .scan_by_pages_of_1000_keys_per_s,
          .snapshot_mb_per_s, .restore_mb_per_s] | all(type == "number" and . > 0)) and
        ([.memory_bytes_per_key, .snapshot_open_us] | all(type == "number" and . >= 0))' \
        --arg plugin "$plugin" "$out" >"$out.err" 2>&1
    ok "and prints every figure" $?
done
"$bench" --keys x memory >"$out" 2>"$out.err"
[ $? -eq 64 ] && grep -q 'usage: storage_bench' "$out.err"
ok "a bad option is answered with the usage" $?
"$bench" no_such >"$out" 2>"$out.err"
[ $? -eq 1 ] && grep -q 'no plugin "no_such"' "$out.err"
ok "and a plugin that is not there with those that are" $?
echo "1..$n"
