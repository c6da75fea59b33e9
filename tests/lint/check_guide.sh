#!/bin/sh
# The code in docs/plugin-guide.md is that of tests/plugins/outside, which is built and run.
. "$(dirname "$0")/lib.sh"

guide=docs/plugin-guide.md

# shown FILE: all blocks of the guide that are marked with it, without empty lines
shown()
{
    awk -v file="$1" '/^```/ { inside = !inside && $2 == file; next } inside && NF' "$guide"
}

for file in tests/plugins/outside/*.c tests/plugins/outside/Makefile; do
    name=${file##*/}
    grep -v '^[[:space:]]*$' "$file" >"$scratch/code"
    shown "$name" >"$scratch/shown"
    diff "$scratch/code" "$scratch/shown" >>"$findings"
    lint_result "$guide shows $name as it is"
done

# Every message of the table is one that the daemon has: what is between the placeholders stands in
# core/plugin, as far as it is not cut by a line of the source.
sed -n '/^## What the loader says/,$s/^| `\([^`]*\)`.*/\1/p' "$guide" >"$scratch/messages"
[ -s "$scratch/messages" ] || echo "$guide: no table of messages" >>"$findings"
cat core/plugin/*.c | tr -d '\n' | sed 's/" *"//g' >"$scratch/source"
for words in 'in %s; there are: %s' 'is not the name of a plugin' 'neither to root nor to the user of this process' \
    'writable by others (mode' 'not a dkv plugin: no symbol dkv_plugin' 'dkv_plugin is not a dkv descriptor (magic' \
    'built for plugin ABI' 'rebuild the plugin' 'but the section asks for a' 'but the section asks for' 'lacks %s()' \
    'claims %s, but lacks %s()' 'the storage it decorates' 'this plugin keeps data itself' 'holds keys of up to'; do
    grep -qF -e "$words" "$scratch/source" || echo "core/plugin does not say: $words" >>"$findings"
done
lint_result "the messages that $guide explains are those of the loader"
lint_done
