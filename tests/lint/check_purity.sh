#!/bin/sh
# The parts that run in the simulator name no clock, system call, thread, random number, stream or
# event loop: everything of the world comes through struct env.  Checked on the objects, where no
# macro can hide it, against what they may name.
. "$(dirname "$0")/lib.sh"

# Objects that must be pure, and those they may lean on.
pure='core/raft/*.o core/kv/*.o core/wal/*.o core/node/replica*.o core/node/snapshot*.o core/node/pending.o core/node/phases.o
core/net/wire.o core/net/hello.o core/net/relay.o'
pure_base='assert blob buf codec error list map mem panic rng siphash'
# The log takes lines and decides nothing; a simulator captures them.
log='log__event log__level'
# From libc: bytes, text in memory, the heap, the end.
libc='memcpy memmove memset memcmp memchr memrchr bcmp strlen strnlen strcmp strncmp strchr strrchr
strstr strspn strcspn strtol strtoul strtoll strtoull sscanf snprintf vsnprintf malloc calloc
realloc free qsort bsearch abort __errno_location __ctype_b_loc __isoc99_sscanf __isoc23_sscanf
__isoc23_strtoul __isoc23_strtoull __isoc23_strtol __isoc23_strtoll __stack_chk_fail
_GLOBAL_OFFSET_TABLE_ __assert_fail'
# Checked variants of the above, compiler support, libxxhash, sanitizers.
patterns='^__(mem|str|snprintf|vsnprintf)[a-z]*_chk$
^__(popcount|clz|ctz|mul|div|udiv|umod|bswap)[a-z0-9]*$
^XXH[0-9A-Z]*_
^__(asan|ubsan|tsan|msan|sanitizer|sancov|gcov|llvm)_
^__odr_asan'

command -v nm >"$scratch/nm" || lint_skip "nm is not installed"
[ -d "$builddir/core" ] || lint_skip "nothing is built"
printf '%s\n' "$patterns" >"$scratch/patterns"

# list_objects GLOB...: the position-independent ones of libtool, or plain ones
list_objects()
{
    for glob in "$@"; do
        find "$builddir/${glob%/*}" -name "${glob##*/}" -o -name "libdkvcore_la-${glob##*/}" 2>"$scratch/err"
    done | sort -u
}

set -f
# shellcheck disable=SC2086
list_objects $pure >"$scratch/pure"
for name in $pure_base; do
    list_objects "core/base/$name.o"
done >"$scratch/base"
set +f
[ -s "$scratch/pure" ] || lint_skip "no object of core/raft, core/kv or core/wal is built"

# shellcheck disable=SC2046 # paths of a build have no blanks
{
    nm --defined-only $(cat "$scratch/pure" "$scratch/base") | awk 'NF == 3 { print $3 }'
    echo "$libc" "$log" | tr ' ' '\n'
} | sort -u >"$scratch/allowed"

while IFS= read -r object; do
    nm -u "$object" | awk 'NF { print $NF }' | sed 's/@.*//' | sort -u |
        comm -23 - "$scratch/allowed" | grep -Evf "$scratch/patterns" |
        sed "s|^|${object#"$builddir/"} names |"
done <"$scratch/pure" >>"$findings"
lint_result "the pure parts name nothing of the world"
lint_done
