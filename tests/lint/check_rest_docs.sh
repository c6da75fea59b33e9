#!/bin/sh
# docs/rest.md has every path that is routed and every code that an error can have.
. "$(dirname "$0")/lib.sh"

sed -n 's/^    {"\(\/[a-z/]*\)", ROUTE_.*/\1/p' core/api/router.c | sort -u >"$scratch/paths"
[ -s "$scratch/paths" ] || echo "no routes found in core/api/router.c" >>"$findings"
while IFS= read -r path; do
    grep -q -F -e "\`$path" docs/rest.md || echo "docs/rest.md lacks $path" >>"$findings"
done <"$scratch/paths"
lint_result "every path is documented"

{
    sed -n 's/.*{\([45][0-9][0-9]\), "\([a-z_]*\)",.*/\1 \2/p' core/api/reply.c
    grep -h -o '[45][0-9][0-9], "[a-z_]*"' core/http/*.c | sed 's/\([0-9]*\), "\(.*\)"/\1 \2/'
} | sort -u >"$scratch/codes"
[ "$(wc -l <"$scratch/codes")" -gt 15 ] || echo "only these codes found: $(cat "$scratch/codes")" >>"$findings"
while read -r status code; do
    grep -q -F -e "| $status | \`$code\` |" docs/rest.md || echo "docs/rest.md lacks $status $code" >>"$findings"
done <"$scratch/codes"
lint_result "every code is documented"
lint_done
