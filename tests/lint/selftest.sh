#!/bin/sh
# A check that cannot fail proves nothing: each is shown a small tree that is right, then the same
# tree with one rule broken.
. "$(dirname "$0")/lib.sh"

tree=$scratch/tree
build=$scratch/build

fresh_tree()
{
    rm -rf "$tree" "$build"
    mkdir -p "$tree/core/base" "$tree/core/raft" "$tree/core/kv" "$tree/include/dkv" \
        "$tree/plugins/storage/toy" "$tree/scripts" "$build/core/raft" "$build/plugins/storage/toy/.libs"
    cp "$srcdir/.clang-format" "$tree/" 2>"$scratch/err"
    printf '#ifndef RAFT_GOOD_H\n#define RAFT_GOOD_H\n\nint good(int n);\n\n#endif\n' >"$tree/core/raft/good.h"
    printf '#include "raft/good.h"\n\nint good(int n)\n{\n    return n + 1;\n}\n' >"$tree/core/raft/good.c"
    printf '#include "dkv/storage.h"\n' >"$tree/plugins/storage/toy/toy.c"
    printf '#!/bin/sh\necho good\n' >"$tree/scripts/good"
}

# run CHECK: its output, with CI off so that a missing tool shows as a skip
run()
{
    CI='' DKV_SRCDIR=$tree DKV_BUILDDIR=$build sh "$lint_dir/$1" >"$scratch/out" 2>&1
}

# passes CHECK
passes()
{
    run "$1"
    if grep -q '^not ok' "$scratch/out"; then
        cat "$scratch/out" >>"$findings"
    fi
    grep -q '^ok\|# SKIP' "$scratch/out" || echo "$1 says nothing" >>"$findings"
    lint_result "$1 accepts what is right"
}

# catches CHECK WHAT
catches()
{
    run "$1"
    if grep -q '# SKIP' "$scratch/out"; then
        if [ "${CI-}" = true ]; then
            cat "$scratch/out" >>"$findings"
        else
            tests_count=$((tests_count + 1))
            echo "ok $tests_count - $1 catches $2 # SKIP $(sed 's/.*# SKIP //' "$scratch/out")"
            fresh_tree
            return
        fi
    fi
    grep -q '^not ok' "$scratch/out" || echo "$1 did not see $2" >>"$findings"
    lint_result "$1 catches $2"
    fresh_tree
}

fresh_tree
passes check_includes.sh
echo '#include "wal/wal.h"' >>"$tree/core/raft/good.c"
catches check_includes.sh "raft including wal"
echo '#include <event2/event.h>' >>"$tree/core/raft/good.c"
catches check_includes.sh "raft including libevent"
mkdir "$tree/core/new" && echo '#include "base/mem.h"' >"$tree/core/new/new.c"
catches check_includes.sh "a folder that the table does not know"
echo '#include "base/mem.h"' >>"$tree/plugins/storage/toy/toy.c"
catches check_includes.sh "a plugin including core"

passes check_style.sh
yes 'int x;' | sed 601q >>"$tree/core/raft/good.c"
catches check_style.sh "a long file"
{
    printf 'void long_one(void)\n{\n'
    yes '    good(1);' | sed 70q
    printf '}\n'
} >>"$tree/core/raft/good.c"
catches check_style.sh "a long function"
printf '\tint x;\n' >>"$tree/core/raft/good.c"
catches check_style.sh "a tab"
printf 'int x; // why\n' >>"$tree/core/raft/good.c"
catches check_style.sh "a // comment"
printf 'int x; \n' >>"$tree/core/raft/good.c"
catches check_style.sh "a blank at the end of a line"
printf '/* %s: later */\n' "TO""DO" >>"$tree/core/raft/good.c"
catches check_style.sh "something left for later"
printf '/* see %s/notes */\n' "/wo""rk" >>"$tree/core/raft/good.c"
catches check_style.sh "a path of a workplace"
sed 's/RAFT_GOOD_H/GOOD_H/' "$tree/core/raft/good.h" >"$tree/core/raft/other.h"
catches check_style.sh "a wrong header guard"
mkdir -p "$tree/docs/decisions"
echo '    docs/decisions/0002-two.md' >"$tree/docs/Makefile.inc"
echo '# 0002: Two' >"$tree/docs/decisions/0002-two.md"
catches check_style.sh "a gap between decisions"

if [ -f "$tree/.clang-format" ]; then
    passes check_format.sh
    echo 'int  badly( int n );' >>"$tree/core/raft/good.c"
    catches check_format.sh "a badly formatted line"
fi

passes check_shell.sh
# shellcheck disable=SC2016
echo 'rm $1/*' >>"$tree/scripts/good"
catches check_shell.sh "an unquoted variable"

compiler=${CC:-cc}
# shellcheck disable=SC2086
if echo 'int x;' >"$scratch/x.c" && $compiler -c "$scratch/x.c" -o "$scratch/x.o" 2>"$scratch/err"; then
    cat >"$scratch/pure.c" <<'C'
#include <string.h>
unsigned long good(const char *s);
unsigned long good(const char *s)
{
    return strlen(s);
}
C
    cat >"$scratch/impure.c" <<'C'
#include <time.h>
long bad(void);
long bad(void)
{
    return (long)time(NULL);
}
C
    printf 'int dkv_plugin;\n' >"$scratch/plugin.c"
    printf 'int dkv_plugin;\nint another;\n' >"$scratch/leaky.c"
    $compiler -c "$scratch/pure.c" -o "$build/core/raft/good.o"
    passes check_purity.sh
    $compiler -c "$scratch/impure.c" -o "$build/core/raft/bad.o"
    catches check_purity.sh "a clock in core/raft"
    $compiler -shared -fPIC "$scratch/plugin.c" -o "$build/plugins/storage/toy/.libs/toy.so"
    passes check_symbols.sh
    $compiler -shared -fPIC "$scratch/leaky.c" -o "$build/plugins/storage/toy/.libs/toy.so"
    catches check_symbols.sh "a second exported symbol"
fi
lint_done
