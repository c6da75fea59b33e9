#!/bin/bash
# The REST surface on a real node: every route, status, header and byte that a client may rely on.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq
storage=${1:-lmdb}

cluster_new 1 "$storage"
node_start 1
wait_for 20 is_ready 1 || give_up "a node is ready"

# --- one key ---

ask 1 PUT /kv/a --data-binary one
check "PUT of a new key answers 201" answers 201
created=$(header etag)
is "with its revision as ETag" '"N"' "$(printf '%s' "$created" | sed 's/[1-9][0-9]*/N/')"
is "and no body" "" "$(cat "$work/body")"
ask 1 PUT /kv/a --data-binary two
check "PUT of a key that is there answers 204" answers 204
replaced=$(header etag)
check "with a later revision" test "${replaced//\"/}" -gt "${created//\"/}"

ask 1 GET /kv/a
check "GET answers 200" answers 200
is "the value as it was put" two "$(cat "$work/body")"
is "the revision of the last write" "$replaced" "$(header etag)"
is "the content type of bytes" application/octet-stream "$(header content-type)"
is "answers are not to be cached" no-store "$(header cache-control)"
ask 1 HEAD /kv/a
check "HEAD answers 200" answers 200
is "HEAD has the value's length and the ETag" "3 $replaced" "$(header content-length) $(header etag)"
ask 1 GET /kv/a -H "If-None-Match: $replaced"
check "GET of the revision that is known answers 304" answers 304
is "with its ETag and no body" "$replaced" "$(header etag)$(cat "$work/body")"
for known in '*' "\"1\", $replaced" "W/$replaced" "\"1\" ,W/$replaced , \"2\""; do
    ask 1 GET /kv/a -H "If-None-Match: $known"
    check "so does If-None-Match: $known" answers 304
done
for wanted in '*' "$replaced" "\"1\", $replaced"; do
    ask 1 GET /kv/a -H "If-Match: $wanted"
    check "GET with If-Match: $wanted" answers 200
done
for wanted in '"1"' "W/$replaced" '"1", "2"'; do
    ask 1 GET /kv/a -H "If-Match: $wanted"
    check "GET with If-Match: $wanted answers 412" refused 412 condition_failed none "$replaced"
done
ask 1 GET /kv/none -H 'If-Match: *'
check "as it does for a key that is not there" refused 412 condition_failed none
ask 1 GET /kv/a -H "If-None-Match: $created"
check "GET of an older one answers 200" answers 200

ask 1 GET /kv/absent
check "GET of a missing key answers 404" refused 404 not_found none
ask 1 HEAD /kv/absent
check "HEAD of a missing key answers 404" answers 404
ask 1 DELETE /kv/a
check "DELETE answers 204" answers 204
check "with a later revision still" test "$(header etag | tr -d '"')" -gt "${replaced//\"/}"
ask 1 DELETE /kv/a
check "DELETE of a missing key answers 404" refused 404 not_found none
ask 1 PUT /kv/a --data-binary again
check "a deleted key is created anew" answers 201

# --- conditions ---

tag=$(header etag)
ask 1 PUT /kv/a -H "If-Match: $tag" --data-binary matched
check "If-Match with the present revision writes" answers 204
now=$(header etag)
ask 1 PUT /kv/a -H "If-Match: $tag" --data-binary late
check "If-Match with an older one answers 412" refused 412 condition_failed none "$now"
is "with the present ETag" "$now" "$(header etag)"
ask 1 DELETE /kv/a -H "If-Match: $tag"
check "also for DELETE" refused 412 condition_failed none
ask 1 PUT /kv/a -H 'If-None-Match: *' --data-binary late
check "If-None-Match: * refuses a key that is there" refused 412 condition_failed none
is "with its ETag" "$now" "$(header etag)"
is "nothing of that was written" matched "$(get "${http[1]}" /kv/a)"
ask 1 PUT /kv/fresh -H 'If-None-Match: *' --data-binary new
check "If-None-Match: * creates" answers 201
ask 1 PUT /kv/nothing -H 'If-Match: *' --data-binary x
check "If-Match: * refuses a missing key" refused 412 condition_failed none
is "without an ETag, for there is none" "" "$(header etag)"
ask 1 PUT /kv/nothing -H "If-Match: $now" --data-binary x
check "so does If-Match with a revision" refused 412 condition_failed none
ask 1 PUT /kv/fresh -H 'If-Match: *' --data-binary newer
check "If-Match: * replaces" answers 204
ask 1 DELETE /kv/fresh -H "If-Match: $(header etag)"
check "DELETE with the present revision deletes" answers 204

# --- bytes ---

for i in $(seq 0 255); do printf '%b' "\\x$(printf %x "$i")"; done >"$work/all"
ask 1 PUT /kv/bytes --data-binary "@$work/all"
ask 1 GET /kv/bytes
check "every byte comes back, NUL and 0xff among them" cmp -s "$work/all" "$work/body"
ask 1 PUT /kv/empty --data-binary ''
ask 1 GET /kv/empty
check "an empty value is a value" answers 200
is "of no bytes" 0 "$(stat -c %s "$work/body")"
head -c 1048576 /dev/urandom >"$work/mib"
ask 1 PUT /kv/mib --data-binary "@$work/mib"
check "a value of 1 MiB is taken" answers 201
ask 1 GET /kv/mib
check "and comes back" cmp -s "$work/mib" "$work/body"
ask 1 PUT /kv/chunked -H 'Transfer-Encoding: chunked' --data-binary "@$work/mib"
check "in chunks as well" answers 201
ask 1 GET /kv/chunked
check "and comes back the same" cmp -s "$work/mib" "$work/body"
ask 1 DELETE /kv/mib
ask 1 DELETE /kv/chunked

ask 1 PUT '/kv/dir/a%20b%2Fc+d%25' --data-binary x
check "a key with encoded bytes is decoded once" answers 201
is "a slash is a slash, however it came" x "$(get "${http[1]}" '/kv/dir%2fa%20b/c%2Bd%25')"
ask 1 GET '/kv/?prefix=dir/&keys=1'
is "and is listed as what it is" 'dir/a b/c+d%' "$(jq -r '.keys[0]' "$work/body")"
ask 1 PUT '/kv/k?' --data-binary y
check "a query is no part of the key" answers 201
is "the key is what is before it" y "$(get "${http[1]}" /kv/k)"

# --- consistency ---

is "a stale read of one node is what it has applied" y "$(get "${http[1]}" '/kv/k?consistency=stale')"
is "linearizable can be said" y "$(get "${http[1]}" '/kv/k?consistency=linearizable')"
ask 1 GET '/kv/k?consistency=fast'
check "another word is refused" refused 400 bad_query none linearizable

# --- lists ---

for key in b a 'a%20' A aa 'a%7e' 'a%2fz' %c3%a4 %ff '%80%81'; do
    ask 1 PUT "/kv/l/$key" --data-binary "v-$key"
done
ask 1 PUT /kv/l/raw --data-binary $'\xff\xfe'
ask 1 GET '/kv/?prefix=l/'
check "a list answers 200" answers 200
is "as JSON" application/json "$(header content-type)"
is "in the order of bytes" \
    'l/A l/a l/a  l/a/z l/aa l/a~ l/b l/raw bC+AgQ== l/ä bC//' \
    "$(jq -r '[.items[] | .key // .key_b64] | join(" ")' "$work/body")"
is "items have key, value and revision" '["key","revision","value"]' \
    "$(jq -c '.items[0] | keys' "$work/body")"
is "values that are UTF-8 as text" v-A "$(jq -r '.items[0].value' "$work/body")"
is "others in base64" //4= "$(jq -r '.items[] | select(.key == "l/raw") | .value_b64' "$work/body")"
is "keys that are not UTF-8 in base64" 'null bC+AgQ==' \
    "$(jq -r '.items[-3] | "\(.key) \(.key_b64)"' "$work/body")"
ask 1 GET /kv/l/A
is "the item's revision is the key's ETag" "$(header etag)" \
    "\"$(get "${http[1]}" '/kv/?prefix=l/A' | jq .items[0].revision)\""
ask 1 GET '/kv/?prefix=l/'
revision=$(jq .revision "$work/body")
check "the list's revision is that of the last write or later" \
    test "$revision" -ge "$(jq '[.items[].revision] | max' "$work/body")"
is "a list that is complete has no next" null "$(jq -r .next "$work/body")"

ask 1 GET '/kv/?prefix=l/&keys=1&limit=3'
is "keys=1 gives keys only, limit as many" '["keys","next","revision"] 3' \
    "$(jq -c 'keys' "$work/body") $(jq '.keys | length' "$work/body")"
is "next is the last key of the page" "$(jq -r '.keys[-1]' "$work/body")" "$(jq -r .next "$work/body")"

# walk LIMIT: all keys below l/, page by page
walk() {
    local cursor='' pages=0 next
    : >"$work/walked"
    while [ "$pages" -lt 100 ]; do
        ask 1 GET "/kv/?prefix=l/&keys=1&limit=$1$cursor"
        [ "$code" = 200 ] || return 1
        jq -r '.keys[] | if type == "string" then . else .key_b64 end' "$work/body" >>"$work/walked"
        pages=$((pages + 1))
        if [ "$(jq 'has("next")' "$work/body")" = true ]; then
            next=$(jq -r '.next | @uri' "$work/body")
            cursor="&after=$next"
        elif [ "$(jq 'has("next_b64")' "$work/body")" = true ]; then
            next=$(jq -r '.next_b64 | @uri' "$work/body")
            cursor="&after_b64=$next"
        else
            return 0
        fi
    done
    return 1
}
ask 1 GET '/kv/?prefix=l/&keys=1'
jq -r '.keys[] | if type == "string" then . else .key_b64 end' "$work/body" >"$work/whole"
for limit in 1 2 5 1000; do
    walk "$limit"
    check "pages of $limit give every key once" cmp -s "$work/whole" "$work/walked"
done
ask 1 GET '/kv/?prefix=l/&after=l/b&keys=1'
is "after begins behind a key, there or not" l/raw "$(jq -r '.keys[0]' "$work/body")"
ask 1 GET '/kv/?prefix=l/&after=l/b0&keys=1'
is "after need not exist" l/raw "$(jq -r '.keys[0]' "$work/body")"
ask 1 GET '/kv/?prefix=none-such/'
is "an empty list is a list" '[]' "$(jq -c .items "$work/body")"
ask 1 GET '/kv/?prefix=%ff'
is "a prefix of any bytes" '[]' "$(jq -c .items "$work/body")"
ask 1 GET '/kv/k?consistency=stale'
is "it says of which state, and that the leader is here" "$(field applied_index 1) 0" \
    "$(header dkv-applied-index) $(header dkv-leader-contact-ms)"
ask 1 GET '/kv/nothing?consistency=stale'
is "so does a stale 404" "404 $(field applied_index 1)" "$code $(header dkv-applied-index)"
ask 1 GET /kv/k
is "a linearizable answer has nothing to say of it" "" "$(header dkv-applied-index)"
ask 1 GET '/kv/?prefix=l/&limit=1&consistency=stale'
is "a list can be stale, and says so" "1 $(field applied_index 1)" \
    "$(jq '.items | length' "$work/body") $(header dkv-applied-index)"
for query in limit=0 limit=1001 limit=99999999999999999999 limit=x limit=-1 limit= prefix=%zz after=%f after_b64=! consistency=no; do
    ask 1 GET "/kv/?$query"
    check "?$query is refused" refused 400 bad_query none
done
# bad QUERY-AND-PATH METHOD TEXT: the query is refused, with these words
bad() {
    local body=()
    [ "$2" != PUT ] || body=(--data-binary x)
    ask 1 "$2" "$1" "${body[@]}"
    check "$2 $1 is refused" refused 400 bad_query none "$3"
}
bad '/kv/?prefx=l/' GET '"prefx" is not known here; GET on this path takes prefix, after, after_b64, limit, keys, consistency'
bad '/kv/k?consistensy=stale' GET '"consistensy" is not known here; GET on this path takes consistency'
bad '/kv/k?ttl=30s' PUT '"ttl" is not known here; PUT on this path takes no parameter'
bad '/kv/k?consistency=bogus' PUT '"consistency" is not known here'
bad '/kv/k?consistency=stale' DELETE '"consistency" is not known here'
bad '/kv/?prefix=l/&prefix=m/' GET 'prefix is there twice'
bad '/kv/k?consistency=stale&c%6fnsistency=stale' GET 'consistency is there twice'
bad '/kv/?%zz=1' GET '"%zz" is not known here'
bad '/kv/?keys=2' GET 'keys takes 1'
bad '/kv/?keys' GET 'keys takes 1'
bad '/node?pretty' GET '"pretty" is not known here; GET on this path takes no parameter'
bad '/cluster?pretty' GET '"pretty" is not known here'
bad '/readyz?verbos' GET '"verbos" is not known here; GET on this path takes verbose, exclude'
bad '/livez?verbose&verbose' GET 'verbose is there twice'
bad '/health?serializable=true' GET '"serializable" is not known here'
ask 1 GET '/kv/?&prefix=l/&&limit=1&'
is "empty parts are nobody's" 200 "$code"
ask 1 GET '/status?pretty'
is "hraftd's surface is as lenient as hraftd" 200 "$code"
ask 1 HEAD '/kv/?prefix=l/'
check "a list has a HEAD" answers 200

head -c 400000 /dev/zero | tr '\0' z >"$work/big"
for i in 1 2 3 4 5; do ask 1 PUT "/kv/big/$i" --data-binary "@$work/big"; done
ask 1 GET '/kv/?prefix=big/'
check "a page ends after about a mebibyte" test "$(jq '.items | length' "$work/body")" -lt 5
is "and says where to go on" "big/$(jq '.items | length' "$work/body")" "$(jq -r .next "$work/body")"

# --- the node and the cluster ---

ask 1 GET /node
is "/node has the fields that are promised" true "$(jq 'contains({name: "n1", role: "leader",
    leader: "n1"}) and ([.cluster_id, .version, .digest, .storage] | all(type == "string")) and
    ([.term, .commit_index, .applied_index, .keys] | all(type == "number"))' "$work/body")"
is "the storage's name" "$storage" "$(jq -r .storage "$work/body")"
is "ids in hexadecimal" 'true true' "$(jq -r '"\(.cluster_id | test("^[0-9a-f]{32}$")) " +
    "\(.digest | test("^[0-9a-f]{32}$"))"' "$work/body")"
keys=$(jq .keys "$work/body")
digest=$(jq -r .digest "$work/body")
ask 1 PUT /kv/counted --data-binary x
ask 1 GET /node
is "a new key is counted" $((keys + 1)) "$(jq .keys "$work/body")"
check "and changes the digest" test "$(jq -r .digest "$work/body")" != "$digest"
ask 1 DELETE /kv/counted
ask 1 GET /node
is "without it the digest is what it was" "$keys $digest" "$(jq -r '"\(.keys) \(.digest)"' "$work/body")"
ask 1 GET /cluster
is "/cluster has the fields that are promised" \
    '["cluster_id","commit_index","leader","members","term"]' "$(jq -c keys "$work/body")"
is "and so have its members" \
    '["applied_index","http","lag","match_index","name","peer","role","state","storage"]' \
    "$(jq -c '.members[0] | keys' "$work/body")"
is "the member is this node" "n1 leader ok $storage" \
    "$(jq -r '.members[0] | "\(.name) \(.role) \(.state) \(.storage)"' "$work/body")"

# --- health ---

ask 1 GET /livez
is "/livez" "200 ok" "$code $(cat "$work/body")"
ask 1 GET /readyz
is "/readyz" "200 ok" "$code $(cat "$work/body")"
is "in plain text" "text/plain; charset=utf-8" "$(header content-type)"
ask 1 GET '/livez?verbose'
is "/livez?verbose" $'[+]raft_loop ok\nok' "$(cat "$work/body")"
ask 1 GET '/readyz?verbose'
is "/readyz?verbose" $'[+]raft_loop ok\n[+]not_stopping ok\n[+]not_restoring ok\n[+]disk_writable ok\n[+]linearizable_read ok\nok' \
    "$(cat "$work/body")"
ask 1 GET '/readyz?verbose&exclude=linearizable_read'
is "a check can be left out" $'[+]raft_loop ok\n[+]not_stopping ok\n[+]not_restoring ok\n[+]disk_writable ok\nok' \
    "$(cat "$work/body")"
ask 1 GET /readyz/disk_writable
is "a check can be asked for by its name" $'200 [+]disk_writable ok\nok' "$code $(cat "$work/body")"
ask 1 GET /readyz/no_such
check "one that does not exist is not found" refused 404 no_route none
ask 1 GET /health
is "/health as etcd gives it" '200 {"health":"true","reason":""}' "$code $(cat "$work/body")"
is "as JSON" application/json "$(header content-type)"

# --- hraftd, byte for byte ---

# hraftd STATUS BODY-IN-PRINTF METHOD PATH [CURL-OPTION...]
hraftd() {
    local status=$1
    # shellcheck disable=SC2059
    printf "$2" >"$work/wanted"
    shift 2
    ask 1 "$@"
    answers "$status" && cmp "$work/wanted" "$work/body" && return 0
    note "got: $(cat "$work/body")"
    return 1
}
check "POST /key" hraftd 200 '' POST /key -d '{"h1":"x","h2":"<&>\u0000\u2028é\"\\"}'
check "GET /key/k" hraftd 200 '{"h1":"x"}' GET /key/h1
is "with the type that Go finds" "text/plain; charset=utf-8" "$(header content-type)"
check "escapes are Go's" hraftd 200 '{"h2":"\\u003c\\u0026\\u003e\\u0000\\u2028é\\"\\\\"}' GET /key/h2
check "a missing key reads as an empty value" hraftd 200 '{"h3":""}' GET /key/h3
for path in /key /key/ /key/a/b; do
    check "GET $path" hraftd 400 '{"":""}' GET "$path"
    check "DELETE $path" hraftd 400 '' DELETE "$path"
done
check "POST with bad JSON" hraftd 400 '' POST /key -d '{"h1":'
check "POST with a value that is no string" hraftd 400 '' POST /key -d '{"h1":1}'
check "POST of nothing but a pair of braces" hraftd 200 '' POST /key -d '{}'
check "DELETE /key/k" hraftd 200 '' DELETE /key/h1
check "of a missing key too" hraftd 200 '' DELETE /key/h1
check "it is gone" hraftd 200 '{"h1":""}' GET /key/h1
check "another method on /key" hraftd 405 '' PUT /key/h1 -d x
ask 1 HEAD /key/h2
check "HEAD is another method, there" answers 405
check "what begins with /key is /key" hraftd 200 '{"h3":""}' GET /keyring/h3
check "POST of several, one with a control byte" hraftd 400 '' POST /key -d '{"h4":"x","h\u0001":"x"}'
check "writes none" hraftd 200 '{"h4":""}' GET /key/h4
check "POST of an empty key" hraftd 400 '' POST /key -d '{"":"x"}'
ask 1 GET '/kv/?limit=1' -H 'If-Match: "1"'
check "a condition on a list is refused, not ignored" refused 400 bad_header none
ask 1 GET '/kv/?limit=1' -H 'If-None-Match: *'
check "either of them" refused 400 bad_header none
pairs() { seq "$1" | sed 's/.*/"many&":"x"/' | paste -sd, | sed 's/.*/{&}/'; }
pairs 1024 >"$work/pairs"
check "POST of 1024 pairs" hraftd 200 '' POST /key --data-binary @"$work/pairs"
check "all are there" hraftd 200 '{"many1024":"x"}' GET /key/many1024
pairs 1025 >"$work/pairs"
check "POST of one more" hraftd 400 '' POST /key --data-binary @"$work/pairs"
printf '{"quo\\"te,{[":"1,2,3,{[\\\\","b":"\\\\\\""}' >"$work/pairs"
check "POST of strings with brackets, commas and quotes in them" hraftd 200 '' POST /key --data-binary @"$work/pairs"
check "they are what they were" hraftd 200 '{"b":"\\\\\\""}' GET /key/b
most() { awk '/VmHWM/ { print $2 }' "/proc/${pids[1]}/status"; }
before=$(most)
{ printf '['; yes '{},' | head -n 500000 | tr -d '\n'; printf '{}]'; } >"$work/pairs"
check "POST of a million brackets" hraftd 400 '' POST /key --data-binary @"$work/pairs"
{ printf '{"a":['; yes '[],' | head -n 500000 | tr -d '\n'; printf '[]]}'; } >"$work/pairs"
check "within an object too" hraftd 400 '' POST /key --data-binary @"$work/pairs"
check "costs the node little: $before, then $(most) KiB" test $(($(most) - before)) -lt 16384
head -c 2400000 /dev/zero | tr '\0' x >"$work/pairs"
ask 1 POST /key --data-binary @"$work/pairs"
is "POST of a body of more than two values" 413 "$code"
me=$(printf '{"id":"n1","address":"%s"}' "$(get "${http[1]}" /cluster | jq -r '.members[0].peer')")
check "GET /status" hraftd 200 "{\"me\":$me,\"leader\":$me,\"followers\":[]}" GET /status
check "another method on /status gets 405 and the body" \
    hraftd 405 "{\"me\":$me,\"leader\":$me,\"followers\":[]}" POST /status
is "what hraftd's API writes, the native one reads" '<&>' "$(get "${http[1]}" /kv/h2 | head -c 3)"

# --- what a browser would send ---

ask 1 PUT /kv/csrf -H 'Origin: http://evil.example' --data-binary x
check "a page's write is refused" refused 403 origin_not_allowed none "http.allowed_origins"
ask 1 POST /key -H 'Origin: null' -d '{"csrf":"x"}'
check "through hraftd's API too" answers 403
ask 1 GET /kv/csrf
check "and was not done" answers 404
ask 1 GET /kv/a -H 'Host: evil.example'
check "a node that is called by another's name refuses" refused 403 host_not_allowed none "evil.example"
head -c 200000 /dev/zero >"$work/zeros"
ask 1 PUT /kv/rebound -H 'Host: evil.example:80' -H 'Expect: 100-continue' --data-binary "@$work/zeros"
check "before it takes a body" refused 403 host_not_allowed none
for name in localhost "LOCALHOST:${http[1]#*:}" 10.1.2.3 '[::1]:80' n1 dkv.localhost; do
    ask 1 GET /kv/a -H "Host: $name"
    check "it goes by $name" answers 200
done
ask 1 GET /livez -H 'Host: probe.example' -H 'Origin: http://evil.example'
check "a probe may call it anything" answers 200

# --- after a restart ---

digest=$(state_of 1)
check "the node stops in good order" node_stop 1
cat >>"$work/n1.conf" <<'TEXT'
[http]
allowed_hosts = kv.example.org, kv1.example.org
allowed_origins = https://console.example.org
TEXT
node_start 1
wait_for 20 is_ready 1 || give_up "the node is ready again"
ask 1 PUT /kv/page -H 'Host: KV.example.org:80' -H 'Origin: https://console.example.org' --data-binary x
check "a name and a page that are allowed" answers 201
ask 1 PUT /kv/page -H 'Host: kv.example.org' -H 'Origin: https://console.example.com' --data-binary x
check "no other page" refused 403 origin_not_allowed none
ask 1 DELETE /kv/page
is "the digest is the same after a restart" "${digest#* }" "$(state_of 1 | cut -d' ' -f2)"
ask 1 GET /kv/bytes
check "and so are the bytes" cmp -s "$work/all" "$work/body"
node_stop 1

# --- the log file is moved away ---

DKV_LOG_FILE=$work/dkvd.log node_start 1
wait_for 20 is_ready 1 || give_up "a node that logs to a file is ready"
mv "$work/dkvd.log" "$work/dkvd.log.1"
kill -USR1 "${pids[1]}"
check "SIGUSR1 opens the log file again" wait_for 10 test -e "$work/dkvd.log"
node_stop 1
check "and the log goes on there" grep -q event=node.stopped "$work/dkvd.log"
finish
