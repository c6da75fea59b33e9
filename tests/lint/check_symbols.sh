#!/bin/sh
# Each plugin exports its descriptor and nothing else, so that two of them never meet by name.
. "$(dirname "$0")/lib.sh"

command -v nm >"$scratch/nm" || lint_skip "nm is not installed"
find "$builddir/plugins" -path '*/.libs/*.so' -type f >"$scratch/plugins" 2>"$scratch/err"
[ -s "$scratch/plugins" ] || lint_skip "no plugin is built"
while IFS= read -r plugin; do
    # What sanitizers and coverage put into every object does not count.
    exported=$(nm -D --defined-only "$plugin" | awk '{ print $NF }' |
        grep -Ev '^(_init|_fini|_edata|_end|__bss_start|__(asan|odr_asan|tsan|ubsan|msan|sancov|gcov|llvm|start|stop)_.*)$')
    [ "$exported" = dkv_plugin ] ||
        echo "${plugin#"$builddir/"} exports: $(echo "$exported" | tr '\n' ' ')" >>"$findings"
    lint_result "${plugin##*/} exports exactly dkv_plugin"
done <"$scratch/plugins"
lint_done
