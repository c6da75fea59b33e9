#!/bin/sh
# Who may include whom.  A word that ends in / allows everything below; libc is not listed because
# it is free for all; check_purity.sh looks after what the pure parts take from it.
. "$(dirname "$0")/lib.sh"

cat >"$scratch/table" <<'TABLE'
core/base    base/ dkv/types.h
core/raft    base/ raft/ dkv/types.h
core/wal     base/ wal/ raft/types.h dkv/types.h xxhash.h
core/conf    base/ conf/ dkv/plugin.h dkv/types.h
core/plugin  base/ plugin/ conf/ dkv/ event2/event.h
core/kv      base/ kv/ raft/types.h plugin/storage.h dkv/ xxhash.h
core/net     base/ net/ raft/message.h raft/types.h plugin/transport.h dkv/ event2/ xxhash.h
core/http    base/ http/ plugin/transport.h dkv/ event2/
core/api     base/ api/ http/ kv/reader.h kv/command.h plugin/transport.h dkv/ event2/ jansson.h
core/node    base/ conf/ raft/ wal/ plugin/ kv/ net/ http/ api/ node/ dkv/ event2/ jansson.h xxhash.h
core/main.c  base/ conf/ raft/ wal/ plugin/ kv/ net/ http/ api/ node/ dkv/ event2/
include/dkv  dkv/ event2/
TABLE

find core include -name '*.[ch]' -type f -exec grep -n '^[[:space:]]*#[[:space:]]*include' {} /dev/null \; |
    awk -v tablefile="$scratch/table" '
    BEGIN {
        while ((getline line < tablefile) > 0) {
            split(line, word, " ")
            allowed[word[1]] = substr(line, length(word[1]) + 1) " "
        }
    }
    {
        split($0, part, ":")
        file = part[1]
        folder = file
        sub(/\/[^\/]*$/, "", folder)
        if (file in allowed)
            folder = file
        if (!match($0, /[<"][^>"]*[>"]/))
            next
        is_ours = substr($0, RSTART, 1) == "\""
        name = substr($0, RSTART + 1, RLENGTH - 2)
        if (!is_ours && name !~ /^(event2\/|openssl\/|hiredis|lmdb\.h|jansson\.h|xxhash\.h|curl\/|systemd\/)/)
            next
        if (!(folder in allowed)) {
            print file ":" part[2] ": the table in check_includes.sh has no row for " folder
            next
        }
        top = name
        ok = index(allowed[folder], " " name " ") > 0
        while (!ok && sub(/\/[^\/]*$/, "", top))
            ok = index(allowed[folder], " " top "/ ") > 0
        if (!ok)
            print file ":" part[2] ": " folder " may not include " name
    }' >>"$findings"
lint_result "core includes only what the table allows"

# A plugin is built as a stranger would build it.
find plugins -name '*.[ch]' -type f -exec grep -n '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' {} /dev/null \; 2>"$scratch/err" |
    while IFS= read -r line; do
        file=${line%%:*}
        name=${line#*\"}
        name=${name%%\"*}
        case $name in
        dkv/* | common/*) ;;
        *)
            [ -f "$(dirname "$file")/$name" ] || [ -f "plugins/$name" ] ||
                echo "${line%%#*} a plugin may include dkv/, common/ and its own folder, not $name"
            case $name in
            *../*) echo "${line%%#*} a plugin may not look into other folders: $name" ;;
            esac
            ;;
        esac
    done >>"$findings"
lint_result "plugins include nothing of the daemon"
lint_done
