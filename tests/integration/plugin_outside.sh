#!/bin/bash
# Plugins from outside: dkv is installed into a folder, tests/plugins/outside is built with what was
# installed and nothing else, by gcc and by clang, and a node keeps its data in the one and speaks
# through the other.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq make pkg-config
umask 022
make_work
mkdir "$work/root" "$work/src"

# What runs below must not know that it is part of a `make check`.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES DKV_PLUGIN_PATH CFLAGS CPPFLAGS LDFLAGS CC

make -s -C "$lib_builddir" install "DESTDIR=$work/root" >"$work/install.log" 2>&1 ||
    give_up "dkv installs into a folder"
ok "dkv installs into a folder"

pc=$(find "$work/root" -name dkv-plugin.pc)
prefix=$(sed -n 's/^prefix=//p' "$pc")
DKVD=$(find "$work/root" -name dkvd -type f)
check "the daemon and dkv-plugin.pc are there" test -x "$DKVD" -a -f "$pc" -a -n "$prefix"

check "no .la file comes along" test -z "$(find "$work/root" -name '*.la')"

# The folder is not where dkv was configured for, so pkg-config is told where it has gone.
export PKG_CONFIG="pkg-config --define-variable=prefix=$work/root$prefix"
unset PKG_CONFIG_PATH
pkg_config() {
    PKG_CONFIG_PATH=$(dirname "$pc") $PKG_CONFIG "$@" dkv-plugin
}
plugins=$(pkg_config --variable=pluginsdir)
check "pkg-config knows the plugin folder" test -f "$plugins/memory.so"
is "and the ABI" "abi $(sed -n 's/^#define DKV_ABI_M[A-Z]* *\([0-9]*\)u$/\1/p' \
    "$work/root$prefix/include/dkv/plugin.h" | paste -sd.)" "abi $(pkg_config --variable=abi)"

cp "$lib_srcdir"/tests/plugins/outside/*.c "$lib_srcdir/tests/plugins/outside/Makefile" "$work/src" ||
    give_up "the source of the plugins is there"
strict='-O2 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Werror'

# What the Makefile says to type for a dkv that is not in a standard place.
typed=$(sed -n 's/^# A dkv that is not in a standard place: //p' "$work/src/Makefile")
check "the Makefile says how to name another folder" grep -q /opt/dkv/lib/pkgconfig <<<"$typed"
typed=${typed//\/opt\/dkv\/lib\/pkgconfig/$(dirname "$pc")}

# make_as_typed ARGUMENT...: in the folder of the plugins
make_as_typed() {
    (cd "$work/src" && eval "$typed -s \"\$@\"")
}

# build CC: the plugins, strictly; what the compiler says is in $work/build.log
build() {
    make_as_typed clean && make_as_typed "CC=$1" "CFLAGS=$strict" >"$work/build.log" 2>&1
}

# uses_installed_headers CC: and none of the source tree
uses_installed_headers() {
    local flags
    flags=$(pkg_config --cflags)
    # shellcheck disable=SC2086
    "$1" -std=c11 $flags -M "$work"/src/*.c | tr -s ' ' '\n' >"$work/headers"
    grep -qF "$work/root$prefix/include/dkv/storage.h" "$work/headers" &&
        grep -qF "$work/root$prefix/include/dkv/transport.h" "$work/headers" || return 1
    ! grep -F "$lib_srcdir/" "$work/headers" | sed 's/^/# /' | grep .
}

# with_plugins CC: everything that is shown with the plugins that this compiler made
with_plugins() {
    local cc=$1 before count

    check "$cc builds the plugins without a warning" build "$cc" || return
    check "$cc reads the installed headers and none of the source tree" uses_installed_headers "$cc"
    check "make install puts them into the plugin folder ($cc)" make_as_typed "CC=$cc" install
    "$DKVD" --plugin-help sorted >"$work/help" 2>&1
    check "dkvd --plugin-help shows the storage ($cc)" grep -q '^storage plugin sorted 1.0: ' "$work/help"
    check "and its option with the default ($cc)" grep -q 'value_max = .*(default: 1G)' "$work/help"

    "$DKVD" --plugin-help plain >"$work/help" 2>&1
    check "and the transport, which has none ($cc)" \
        test "$(tr '\n' ' ' <"$work/help")" = "transport plugin plain 1.0: bytes as they are, an example  It has no options. "

    cluster_new 1 sorted '[transport]' 'plugin = plain'
    node_start 1
    wait_for 20 is_ready 1 || give_up "a node with both is ready ($cc)"
    ok "a node with both is ready ($cc)"
    is "and names it as its storage ($cc)" sorted "$(field storage 1)"
    ask 1 PUT /kv/b --data-binary two
    check "PUT creates ($cc)" answers 201
    ask 1 PUT /kv/a --data-binary one
    ask 1 PUT /kv/a --data-binary uno
    check "PUT replaces ($cc)" answers 204
    is "GET has the value ($cc)" uno "$(get "${http[1]}" /kv/a)"
    ask 1 PUT /kv/gone --data-binary x
    ask 1 DELETE /kv/gone
    check "DELETE deletes ($cc)" answers 204
    ask 1 GET /kv/gone
    check "what is deleted is gone ($cc)" answers 404
    for count in $(seq 50); do ask 1 PUT "/kv/n/$count" --data-binary "$count"; done
    ask 1 GET '/kv/?prefix=n/&keys=1&limit=3&after=n/2'
    is "a list is in byte order ($cc)" n/20,n/21,n/22 "$(jq -r '.keys | join(",")' "$work/body")"
    ask 1 GET '/kv/?prefix=n/&keys=1'
    is "and has every key below its prefix ($cc)" 50 "$(jq '.keys | length' "$work/body")"

    before=$(state_of 1)
    check "the node stops in good order ($cc)" node_stop 1
    node_start 1
    wait_for 20 is_ready 1 || give_up "the node starts again ($cc)"
    is "the log refills the store ($cc)" "${before#* }" "$(state_of 1 | cut -d' ' -f2)"
    is "values are what they were ($cc)" uno "$(get "${http[1]}" /kv/a)"
    ask 1 PUT /kv/after --data-binary x
    check "and the node takes writes ($cc)" answers 201
    check "it stops once more ($cc)" node_stop 1
    rm -rf "$work/n1"
}

export DKV_PLUGIN_PATH=$plugins
for cc in gcc clang; do
    if command -v "$cc" >"$work/which"; then
        with_plugins "$cc"
    elif [ "${CI-}" = true ]; then
        not_ok "$cc is installed"
    else
        ok "the plugins built by $cc # SKIP not installed"
    fi
done

# conforms SUITE PLUGIN: what both compilers' tests have in common, so once is enough
# A plugin from outside is not instrumented: the thread sanitizer sees its frees, not its atomics.
conforms() {
    (cd "$work" && TSAN_OPTIONS="${TSAN_OPTIONS:-} report_bugs=0" "$lib_builddir/tests/conformance/$1" "$2") >"$work/$1.log" 2>&1 && return 0
    grep -v '^ok' "$work/$1.log" | sed 's/^/# /' | head -n 20
    return 1
}
if [ -x "$lib_builddir/tests/conformance/storage_suite" ]; then
    check "the storage conforms to the contract" conforms storage_suite sorted
fi
if [ -x "$lib_builddir/tests/conformance/transport_suite" ]; then
    check "and so does the transport" conforms transport_suite plain
fi

# An option of the plugin, and the daemon's own check of what it says.
cluster_new 1 sorted '[storage "sorted"]' 'value_max = 1K'
timeout 20 "$DKVD" --config "$work/n1.conf" >"$work/small.log" 2>&1 </dev/null
is "a store that holds less than the cluster allows ends the start" 78 "$?"
check "and the message says what it holds" grep -qF \
    'holds values of up to 1024 bytes, but the cluster allows' "$work/small.log"
chmod go+w "$plugins/sorted.so"
timeout 20 "$DKVD" --config "$work/n1.conf" >"$work/writable.log" 2>&1 </dev/null
is "a plugin that others can write is not loaded" 77 "$?"
check "and the message says how to mend it" grep -qF 'chmod go-w' "$work/writable.log"

rm "$plugins/sorted.so" "$plugins/plain.so"
make -s -C "$lib_builddir" uninstall "DESTDIR=$work/root" >"$work/uninstall.log" 2>&1
is "make uninstall leaves nothing behind" '' "$(find "$work/root" ! -type d)"
finish
