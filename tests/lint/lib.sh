# What the lint tests share: where the tree is, and results in TAP.  To be sourced.
# A check appends what it finds to $findings, one line each, and calls lint_result.
# shellcheck shell=sh disable=SC2034

LC_ALL=C
export LC_ALL
lint_dir=$(cd "$(dirname "$0")" && pwd)
srcdir=${DKV_SRCDIR:-$(cd "$lint_dir/../.." && pwd)}
builddir=${DKV_BUILDDIR:-$srcdir}
cd "$srcdir" || exit 99
scratch=$(mktemp -d) || exit 99
trap 'rm -rf "$scratch"' EXIT
findings=$scratch/findings
: >"$findings"
tests_count=0

# lint_result NAME: ok if nothing was found; what was found is printed and forgotten
lint_result()
{
    tests_count=$((tests_count + 1))
    if [ -s "$findings" ]; then
        echo "not ok $tests_count - $1"
        sed 's/^/# /' "$findings"
    else
        echo "ok $tests_count - $1"
    fi
    : >"$findings"
}

lint_done()
{
    echo "1..$tests_count"
    exit 0
}

# lint_skip REASON: where the project's CI runs nothing may be missing, so there it fails
lint_skip()
{
    if [ "${CI-}" = true ]; then
        echo "$1" >>"$findings"
        lint_result "what this check needs is there"
        lint_done
    fi
    echo "1..0 # SKIP $1"
    exit 0
}

# C files of the project, one path from the root in each line
c_files()
{
    for dir in core include plugins cli tests; do
        [ ! -d "$dir" ] || find "$dir" -name '*.[ch]' -type f
    done | sort
}
