#!/bin/sh
# The code looks as clang-format 14 with the project's .clang-format leaves it.  Other versions
# differ in details, so they are not asked.
. "$(dirname "$0")/lib.sh"

formatter=
for name in clang-format-14 clang-format; do
    if command -v "$name" >"$scratch/which" && "$name" --version | grep -q 'version 14\.'; then
        formatter=$name
        break
    fi
done
[ -n "$formatter" ] || lint_skip "clang-format 14 is not installed"
[ -f .clang-format ] || lint_skip ".clang-format is not in this tree"
c_files | while IFS= read -r file; do
    "$formatter" --style=file --dry-run -Werror "$file" 2>"$scratch/out" ||
        echo "$file is formatted differently: run $formatter -i $file"
done >>"$findings"
lint_result "every C file is formatted"
lint_done
