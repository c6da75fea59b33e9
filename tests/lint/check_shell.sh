#!/bin/sh
# Shell scripts pass shellcheck.
. "$(dirname "$0")/lib.sh"

command -v shellcheck >"$scratch/which" || lint_skip "shellcheck is not installed"
{
    for dir in scripts tests .ci; do
        [ ! -d "$dir" ] || find "$dir" -type f
    done
    echo autogen.sh
} | sort | while IFS= read -r file; do
    head -n 1 "$file" 2>"$scratch/err" | grep -qE '^#!.*[/ ](ba|da)?sh( |$)' || continue
    shellcheck -x -P SCRIPTDIR -e SC1091 -f gcc "$file"
done >>"$findings"
lint_result "shellcheck finds nothing"
lint_done
