#!/bin/sh
# Every key and every option is in the manual pages and in the sample, with the same default.
set -u

dkvd="${DKV_BUILDDIR:?}/dkvd"
docs="${DKV_SRCDIR:?}/docs"
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT
n=0

ok() { # ok NAME FILE: FILE has what is wrong
    n=$((n + 1))
    if [ ! -s "$2" ]; then
        echo "ok $n - $1"
    else
        echo "not ok $n - $1"
        sed 's/^/# /' "$2"
    fi
}

"$dkvd" --print-sample-config >"$dir/sample" && "$dkvd" --help >"$dir/help" || exit 99

# section.key value
awk '/^\[/ { section = substr($0, 2, length($0) - 2) }
     /^#?[a-z_]+ = / { sub(/^#/, ""); key = $1; sub(/^[a-z_]+ = /, "")
                       print section "." key " " $0 }' "$dir/sample" >"$dir/sample.keys"
awk '/^\.Ss Section / { section = $3 }
     /^\.It Cm / && section != "" { if (key != "") print key, value; key = section "." $3; value = "" }
     /^\.Li / && is_default { sub(/^\.Li /, ""); sub(/ \.$/, ""); value = $0 }
     { is_default = /^Default:$/ }
     /^\.Sh / && section != "" { print key, value; exit }' "$docs/dkv.conf.5" >"$dir/man.keys"

cut -d' ' -f1 "$dir/sample.keys" >"$dir/a"
cut -d' ' -f1 "$dir/man.keys" >"$dir/b"
[ -s "$dir/a" ] || exit 99
diff "$dir/a" "$dir/b" >"$dir/wrong"
ok "dkv.conf(5) has the keys of the sample, in its order" "$dir/wrong"

while read -r key value; do
    [ -z "$value" ] || grep -qxF "$key $value" "$dir/sample.keys" ||
        echo "dkv.conf(5): $key has default $value, the sample does not"
done <"$dir/man.keys" >"$dir/wrong"
ok "dkv.conf(5) has the defaults of the sample" "$dir/wrong"

# Defaults of keys without an example, from the dump: the sample shows other things as well.
"$dkvd" --config /dev/null --set node.name=n1 --dump-config >"$dir/dump" || exit 99
awk '/^\[/ { section = substr($0, 2, length($0) - 2) }
     / # default$/ { key = $1; sub(/^[a-z_]+ = /, ""); sub(/ +# default$/, "")
                     if ($0 != "\"\"") print section "." key " " $0 }' "$dir/dump" >"$dir/dump.keys"
[ -s "$dir/dump.keys" ] || exit 99
grep ' .' "$dir/man.keys" | diff "$dir/dump.keys" - >"$dir/wrong"
ok "dkv.conf(5) has the default of every key that has one" "$dir/wrong"

# section.key least most
awk '/^\[/ { section = substr($0, 2, length($0) - 2) }
     /^# [0-9][^ ]* to [0-9][^ ]*\.$/ { range = $2 " " $4 }
     /^#?[a-z_]+ = / { sub(/^#/, ""); if (range != "") print section "." $1, range; range = "" }' \
    "$dir/sample" | sed 's/\.$//' >"$dir/sample.ranges"
awk '/^\.Ss Section / { section = $3 }
     /^\.It Cm / && section != "" { key = section "." $3 }
     /^From [^ ]+ to [^ ]+\.$/ { print key, $2, $4 }' "$docs/dkv.conf.5" |
    sed 's/\.$//' >"$dir/man.ranges"
[ -s "$dir/sample.ranges" ] || exit 99
diff "$dir/sample.ranges" "$dir/man.ranges" >"$dir/wrong"
ok "dkv.conf(5) has the ranges of the sample" "$dir/wrong"

awk '/^\[/ { section = substr($0, 2, length($0) - 2) }
     / Reloadable\.$/ { is_one = 1 }
     /^#?[a-z_]+ = / { sub(/^#/, ""); if (is_one) print section "." $1; is_one = 0 }' "$dir/sample" >"$dir/sample.reload"
awk '/^\.Ss Section / { section = $3 }
     /^\.It Cm / && section != "" { key = section "." $3 }
     /^Reloadable\.$/ { print key }' "$docs/dkv.conf.5" >"$dir/man.reload"
[ -s "$dir/sample.reload" ] || exit 99
diff "$dir/sample.reload" "$dir/man.reload" >"$dir/wrong"
ok "dkv.conf(5) and the sample call the same keys reloadable" "$dir/wrong"

cmp "$dir/sample" "$DKV_SRCDIR/conf/dkv.conf" >"$dir/wrong" 2>&1
ok "conf/dkv.conf is what dkvd --print-sample-config prints" "$dir/wrong"

grep -o -- '--[a-z-]*' "$dir/help" | sort -u | while read -r option; do
    grep -qE "Fl (h , Fl |V , Fl |c , Fl )?-${option#--}( |\$)" "$docs/dkvd.8" ||
        echo "dkvd(8): $option is missing"
done >"$dir/wrong"
ok "dkvd(8) has every option of --help" "$dir/wrong"

if command -v mandoc >/dev/null; then
    for page in dkvd.8 dkv.conf.5; do
        mandoc -Tlint -Wwarning "$docs/$page"
    done >"$dir/wrong" 2>&1
    ok "mandoc finds nothing wrong with the pages" "$dir/wrong"
else
    n=$((n + 1))
    echo "ok $n # SKIP mandoc is not installed (package mandoc)"
fi

echo "1..$n"
