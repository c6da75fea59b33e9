#!/bin/sh
# Every rule of the Raft design has a test that bears its name; tests/rules says where.
. "$(dirname "$0")/lib.sh"

grep -v '^#' tests/rules | while read -r rule file rest; do
    name=$(echo "$rule" | tr 'A-Z-' 'a-z_')
    if [ "$file" = - ]; then
        [ -n "$rest" ] || echo "$rule: no reason why it does not apply"
    elif ! grep -qiE "(_|\b)(${name}_|$rule\b)" "$file" 2>/dev/null; then
        echo "$rule: not in $file"
    fi
done >>"$findings"
lint_result "every rule has its test"

grep -v '^#' tests/rules | cut -d ' ' -f 1 | sort | uniq -d >>"$findings"
[ "$(grep -c '^R-' tests/rules)" -ge 114 ] || echo "tests/rules has lost a rule" >>"$findings"
lint_result "the table has every rule once"
lint_done
