#!/bin/sh
# What neither the compiler nor clang-format sees.  tests/lint/style_exceptions lists what may be
# longer, with the reason.
. "$(dirname "$0")/lib.sh"

exceptions=tests/lint/style_exceptions
FILE_LINES=600
FUNCTION_LINES=70

# is_excepted WHAT
is_excepted()
{
    [ -f "$exceptions" ] && awk -v what="$1" '$1 == what && NF > 1 { found = 1 } END { exit !found }' "$exceptions"
}

text_files()
{
    find . \( -name .git -o -name 'build*' -o -name _build -o -name _inst -o -name autom4te.cache -o -name .libs -o -name '*.dir' \) -prune -o \
        -type f \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.inc' -o -name '*.am' -o -name '*.ac' \
        -o -name '*.m4' -o -name '*.md' -o -name '*.yml' -o -name '*.conf' -o -name '*.in' -o -name Dockerfile \) -print |
        grep -vE '^\./(aclocal\.m4|Makefile\.in|config\.h\.in|m4/(libtool|lt.*)\.m4)$' | sed 's|^\./||' | sort
}

c_files | while IFS= read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -le "$FILE_LINES" ] || is_excepted "$file" || echo "$file has $lines lines, more than $FILE_LINES"
done >>"$findings"
lint_result "no file is longer than $FILE_LINES lines"

c_files | while IFS= read -r file; do
    awk -v file="$file" -v max="$FUNCTION_LINES" '
        /^[A-Za-z_].*\(/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
        /^\{/ { start = NR }
        /^\}/ { if (start && NR - start + 1 > max) print file ":" name, NR - start + 1; start = 0 }' "$file"
done >"$scratch/long"
while read -r what lines; do
    is_excepted "$what" || echo "$what has $lines lines, more than $FUNCTION_LINES"
done <"$scratch/long" >>"$findings"
lint_result "no function is longer than $FUNCTION_LINES lines"

tab=$(printf '\t')
c_files | while IFS= read -r file; do
    grep -n "$tab" "$file" | sed "s|^\([0-9]*\):.*|$file:\1: a tab|"
    grep -nE '^[[:space:]]*//|;[[:space:]]+//' "$file" | sed "s|^\([0-9]*\):.*|$file:\1: a // comment|"
done >>"$findings"
lint_result "C files have no tabs and no // comments"

text_files | grep -v '\.md$' | while IFS= read -r file; do
    grep -nE '[[:blank:]]+$' "$file" | sed "s|^\([0-9]*\):.*|$file:\1: blanks at the end|"
done >>"$findings"
lint_result "no line ends in blanks"

# The words are built from pieces, so that this file passes its own check.
later="TO""DO|FIX""ME|XX""X"
place="/wo""rk|/tmp""/wt|\.\./sha""red|helper-""common"
text_files | while IFS= read -r file; do
    # mktemp(1) and mktemp(3) want this very word in their templates
    sed 's/X\{6,\}//g' "$file" | grep -nE "(^|[^A-Za-z])($later)([^A-Za-z]|\$)" |
        sed "s|^|$file:|"
    grep -nE "(^|[^A-Za-z0-9_.-])($place)([^A-Za-z0-9_]|\$)" "$file" | sed "s|^|$file:|"
done >>"$findings"
lint_result "nothing is left for later, and no path of a workplace is named"

c_files | grep -E '^(core|include)/.*\.h$' | while IFS= read -r file; do
    guard=$(echo "${file#*/}" | tr 'a-z/.-' 'A-Z___')
    grep -q "^#ifndef $guard\$" "$file" && grep -q "^#define $guard\$" "$file" ||
        echo "$file: the header guard is not $guard"
done >>"$findings"
lint_result "header guards are named after their files"

number=0
for file in docs/decisions/*.md; do
    [ -e "$file" ] || continue
    number=$((number + 1))
    case $file in
    docs/decisions/"$(printf '%04d' "$number")"-*) ;;
    *) echo "$file is decision $number" ;;
    esac
    grep -q "^# $(printf '%04d' "$number"): " "$file" || echo "$file has another number in its title"
    grep -qF "$file" docs/Makefile.inc || echo "$file is not in docs/Makefile.inc, and so not in a release"
done >>"$findings"
lint_result "decisions are numbered without a gap, and released"
lint_done
