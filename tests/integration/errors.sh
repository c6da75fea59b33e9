#!/bin/bash
# What bad input gets, from the command line to a client that sends one byte a second: what is
# wrong, in words that help, and the node goes on.
# shellcheck disable=SC2317
set -u
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
need_tool curl jq

# --- a daemon that does not start ---

# start_fails CODE TEXT ARGUMENT...: the daemon ends with the code and says the text.
start_fails() {
    local wanted=$1 text=$2 rc=0
    shift 2
    timeout 20 "$@" >"$work/start" 2>&1 </dev/null || rc=$?
    [ "$rc" = "$wanted" ] && grep -qF -e "$text" "$work/start" && return 0
    note "exit code $rc, not $wanted, or no \"$text\" in:"
    sed 's/^/# /' "$work/start" | tail -n 5
    return 1
}

cluster_new 1 memory
printf '[node]\nname = n1\ndata_dir = %s\n[storage]\nplugn = memory\n' "$work/n1" >"$work/bad.conf"
check "an unknown key: file, line, column, and the key that was meant" start_fails 78 \
    "bad.conf:5:1: error: unknown key 'plugn' in [storage] (did you mean 'plugin'?)" \
    "$DKVD" --config "$work/bad.conf"
printf '[raft]\nelection_timeout = 5 apples\n[stroage]\n' >"$work/bad.conf"
check "a value of the wrong kind: file, line, column" start_fails 78 "bad.conf:2:20: error:" \
    "$DKVD" --config "$work/bad.conf"
check "and the section after it is told in the same run" grep -qF "(did you mean 'storage'?)" "$work/start"
printf '[http]\nallowed_hosts = kv.example, http://a\nallowed_origins = https://a.example/\n' >"$work/bad.conf"
check "a host with a scheme: which of the list" start_fails 78 "bad.conf:2:29: error: http.allowed_hosts: http://a" \
    "$DKVD" --config "$work/bad.conf"
check "an origin with a path" start_fails 78 "bad.conf:3:19: error: http.allowed_origins: https://a.example/" \
    "$DKVD" --config "$work/bad.conf"
check "an unknown key on the command line" start_fails 78 "did you mean" \
    "$DKVD" --config "$work/n1.conf" --set raft.heartbeat_intervall=1s
check "a plugin that is not there: those that are" start_fails 78 "memory" \
    "$DKVD" --config "$work/n1.conf" --set storage.plugin=memmory
check "it is named" grep -qF "memmory" "$work/start"
check "and what was meant" grep -qF "did you mean 'memory'?" "$work/start"
printf '[storage]\nplugin = buggy\n[storage "buggy"]\nbug = none\n' >"$work/wraps.conf"
check "a storage that wraps another, which is not named" start_fails 78 \
    'wraps.conf:3:1: error: storage "buggy": needs "wraps = NAME"' "$DKVD" --config "$work/wraps.conf"
(cat "$work/n1.conf" && printf '[storage "memory"]\nspede = fast\n') >"$work/option.conf"
check "an unknown option of a plugin" start_fails 78 "spede" "$DKVD" --config "$work/option.conf"
check "with its place, before anything starts" start_fails 78 \
    "option.conf:$(wc -l <"$work/option.conf"):1: error:" "$DKVD" --config "$work/option.conf"

python=$(command -v python3)
if [ -n "$python" ]; then
    port=$(free_ports 1)
    "$python" -c "import socket, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $port)); s.listen(); time.sleep(600)" &
    holder=$!
    lib_tests_pids+=("$holder")
    taken() { ! port_is_free "$port"; }
    wait_for 10 taken || give_up "a port is taken"
    check "REST port in use: which" start_fails 69 "127.0.0.1:$port: the address is in use" \
        "$DKVD" --config "$work/n1.conf" --set "http.listen=127.0.0.1:$port"
    check "and whose" grep -qF "process $holder (" "$work/start"
    check "peer port in use: which" start_fails 69 "127.0.0.1:$port: the address is in use" \
        "$DKVD" --config "$work/n1.conf" --set "cluster.peers=n1=127.0.0.1:$port, n2=127.0.0.1:1"
    check "and whose" grep -qF "process $holder (" "$work/start"
    kill -9 "$holder"
    wait "$holder" 2>/dev/null
    # answering TEXT: somebody else is where --health asks.
    answering() {
        port=$(free_ports 1)
        "$python" -c "import socket
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $port)); s.listen()
while True:
    c = s.accept()[0]
    if c.recv(4096): c.sendall(b'$1')
    c.close()" &
        holder=$!
        lib_tests_pids+=("$holder")
        wait_for 10 taken || give_up "somebody else listens"
    }
    probe=("$DKVD" --config "$work/n1.conf" --health --set)
    answering 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n'
    check "--health and another web server: what it answers" start_fails 69 \
        "127.0.0.1:$port answers /readyz with \"HTTP/1.1 404 Not Found\"" "${probe[@]}" "http.listen=127.0.0.1:$port"
    kill -9 "$holder"
    answering 'SSH-2.0-x\r\n'
    check "--health and no web server" start_fails 69 "does not speak HTTP" "${probe[@]}" "http.listen=127.0.0.1:$port"
    kill -9 "$holder"
    answering ''
    check "--health and nothing" start_fails 69 "closed without an answer" "${probe[@]}" "http.listen=127.0.0.1:$port"
    kill -9 "$holder"
    wait "$holder" 2>/dev/null
else
    ok "a port in use, and who answers where --health asks # SKIP missing: python3"
fi
check "nothing of all that was put into the data directory" rmdir "$work/n1"

# shellcheck disable=SC2016
check "too low a limit of open files" start_fails 71 "dkvd needs" \
    bash -c 'ulimit -n 80 && exec "$0" "$@"' "$DKVD" --dev --set "http.listen=${http[1]}"

mkdir -m 755 "$work/closed"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    # The other user must reach the daemon and the plugins.
    chmod 711 "$work"
    mkdir -m 755 "$work/bin"
    cp "$DKVD" "${DKV_PLUGIN_PATH:-/usr/lib/dkv}"/memory.so "${DKV_PLUGIN_PATH:-/usr/lib/dkv}"/tcp.so "$work/bin/"
    as_nobody=(setpriv --reuid=65534 --regid=65534 --clear-groups env "DKV_PLUGIN_PATH=$work/bin" "$work/bin/dkvd")
else
    chmod 555 "$work/closed"
    as_nobody=("$DKVD")
fi
check "a data directory that is not writable" start_fails 77 "$work/closed" "${as_nobody[@]}" \
    --set node.name=n1 --set "node.data_dir=$work/closed" --set storage.plugin=memory \
    --set "http.listen=${http[1]}"
check "one that cannot be made" start_fails 77 "create data directory $work/closed/in" "${as_nobody[@]}" \
    --set node.name=n1 --set "node.data_dir=$work/closed/in" --set storage.plugin=memory \
    --set "http.listen=${http[1]}"
if [ "${as_nobody[0]}" = setpriv ]; then
    mkdir -m 700 "$work/given" && : >"$work/given/LOCK" && chmod 600 "$work/given/LOCK" && chown 65534 "$work/given"
    check "one that another user wrote to: which file, whose, what to do" start_fails 77 \
        "file LOCK in it belongs to user 0, and this dkvd runs as user 65534; chown -R it to the user that runs dkvd" \
        "${as_nobody[@]}" --set node.name=n1 --set "node.data_dir=$work/given" --set storage.plugin=memory \
        --set "http.listen=${http[1]}"
else
    ok "one that another user wrote to # SKIP this user cannot be two users"
fi
chmod 700 "$work"
check "one whose parent is missing: a restart does not help" start_fails 78 "create its parent first" \
    "$DKVD" --config "$work/n1.conf" --set "node.data_dir=$work/no/such"

if [ "$(stat -f -c %T /dev/shm 2>/dev/null)" = tmpfs ]; then
    shm=$(mktemp -d /dev/shm/dkv-test.XXXXXX)
    check "a data directory in memory" start_fails 78 "is on tmpfs, which can lose acknowledged writes" \
        env -u DKV_NODE_ALLOW_ANY_FILESYSTEM "$DKVD" --config "$work/n1.conf" --set "node.data_dir=$shm"
    rm -rf "$shm"
else
    ok "a data directory in memory # SKIP missing: no tmpfs at /dev/shm"
fi

# --- one that runs ---

cluster_new 1 lmdb '[http]' 'header_timeout = 1s' 'body_timeout = 2s'
node_start 1
wait_for 20 is_ready 1 || give_up "a node is ready"
ask 1 PUT /kv/kept --data-binary kept

free=127.0.0.1:$(free_ports 1)
other=("$DKVD" --config "$work/n1.conf" --set "http.listen=$free")
check "a data directory that another dkvd uses" start_fails 69 "is used by another dkvd" "${other[@]}"
check "the REST port of another dkvd" start_fails 69 "(dkvd" "$DKVD" --config "$work/n1.conf" \
    --set "node.data_dir=$work/else"
node_stop 1
check "a data directory of another node" start_fails 65 "belongs to node n1 of cluster dkv" \
    "${other[@]}" --set node.name=n9
check "of another cluster" start_fails 65 "belongs to node n1 of cluster dkv" \
    "${other[@]}" --set cluster.name=other
check "of other members" start_fails 65 "was set up with the members n1=" "${other[@]}" \
    --set "cluster.peers=n1=127.0.0.1:1, n2=127.0.0.1:2"
mv "$work/n1/store" "$work/store"
mkdir -m 700 "$work/foreign"
"$DKVD" --config "$work/n1.conf" --set "http.listen=$free" --set "node.data_dir=$work/foreign" \
    --set node.name=n9 >"$work/foreign.log" 2>&1 &
foreign=$!
answers_ready() { [ "$(status_of "http://$free/readyz")" = 200 ]; }
wait_for 20 answers_ready
curl -s -X PUT --data-binary x "http://$free/kv/foreign"
kill -TERM "$foreign"
wait "$foreign"
cp -r "$work/foreign/store" "$work/n1/store"
check "the storage of another cluster" start_fails 65 "the storage belongs to another cluster" "${other[@]}"
rm -rf "$work/n1/store"
mv "$work/store" "$work/n1/store"
cp "$work/n1/FORMAT" "$work/FORMAT"
echo 'dkv data 2' >"$work/n1/FORMAT"
check "of a newer format" start_fails 65 'has format \"dkv data 2\"' "${other[@]}"
rm "$work/n1/FORMAT"
check "one that has files but is not dkv's" start_fails 65 "so it is not dkv's" "${other[@]}"
cp "$work/FORMAT" "$work/n1/FORMAT"
node_start 1
wait_for 20 is_ready 1 || give_up "the node starts after all that"
is "and has its data" kept "$(get "${http[1]}" /kv/kept)"

# --- keys ---

long=$(printf 'k%.0s' $(seq 501))
for key in '' "$long" a%0ab a%00 %7f a%1fb; do
    ask 1 PUT "/kv/$key" --data-binary x
    check "PUT /kv/${key:0:8} is refused" refused 400 bad_key none
done
ask 1 PUT /kv/ --data-binary x
check "an empty key is told so" refused 400 bad_key none "the key is empty"
ask 1 DELETE /kv/
check "also for DELETE" refused 400 bad_key none "the key is empty"
ask 1 PUT "/kv/$long" --data-binary x
check "a long one hears the limit" refused 400 bad_key none "the key has 501 bytes; cluster.key_max is 500"
ask 1 PUT "/kv/${long:1}" --data-binary x
check "the longest is taken" answers 201
ask 1 GET "/kv/$(printf '%%41%.0s' $(seq 501))"
check "bytes are counted after decoding" refused 400 bad_key none 501
ask 1 GET "/kv/$(printf '%%41%.0s' $(seq 500))"
check "so that 500 encoded ones fit" refused 404 not_found none
for key in a% a%f a%gg; do
    ask 1 GET "/kv/$key"
    check "/kv/$key: no percent-encoding" refused 400 bad_key none "write %25 for %"
done

# --- bodies ---

put='PUT /kv/body HTTP/1.1\r\nHost: n1\r\n'
# closes NAME TEXT WANTED...: the connection is closed, what came begins with it and has the rest
closes() {
    local name=$1 text=$2 first=$3 part
    shift 3
    if ! raw 1 5 "$text"; then
        not_ok "$name"
        note "the connection was not closed"
        return
    fi
    for part in "$first" "$@"; do
        if ! grep -qF -e "$part" "$work/raw" || [ "$(head -c "${#first}" "$work/raw")" != "$first" ]; then
            not_ok "$name"
            note "no \"$part\" in: $(head -c 600 "$work/raw")"
            return
        fi
    done
    ok "$name"
}
none='"outcome":"none"'
closes "a value too long is refused before it is sent" "${put}Content-Length: 1048577\r\n\r\n" \
    'HTTP/1.1 413 ' '"code":"value_too_long"' "$none" 'Connection: close' \
    'longer than the 1048576 bytes allowed here; cluster.value_max is 1048576'
closes "Expect: 100-continue gets 413 and no 100" \
    "${put}Expect: 100-continue\r\nContent-Length: 1048577\r\n\r\n" 'HTTP/1.1 413 ' "$none"
raw 1 5 "${put}Expect: 100-continue\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx"
check "one that fits is taken" grep -q '^HTTP/1.1 201 ' "$work/raw"
ask 1 DELETE /kv/body
head -c 1048577 /dev/zero >"$work/long"
ask 1 PUT /kv/body -H 'Transfer-Encoding: chunked' --data-binary "@$work/long"
check "in chunks it is refused where it grows too long" refused 413 value_too_long none "cluster.value_max is 1048576"
closes "a length that is no number" "${put}Content-Length: 1x\r\n\r\n" 'HTTP/1.1 400 ' "$none"
closes "a negative length" "${put}Content-Length: -1\r\n\r\n" 'HTTP/1.1 400 ' "$none"
closes "two lengths" "${put}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx" 'HTTP/1.1 400 ' "$none"
closes "length and chunks" "${put}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" \
    'HTTP/1.1 400 ' "$none" 'application/problem+json'
closes "a chunk size that is none" "${put}Transfer-Encoding: chunked\r\n\r\nzz\r\n" 'HTTP/1.1 400 ' "$none"
closes "a chunk longer than it says" "${put}Transfer-Encoding: chunked\r\n\r\n1\r\nxyz\r\n0\r\n\r\n" \
    'HTTP/1.1 400 ' "$none"
closes "a body that is shorter than it says" "${put}Content-Length: 10\r\n\r\nshort" 'HTTP/1.1 408 ' "$none"
ask 1 GET /kv/body
check "none of those wrote anything" refused 404 not_found none

# --- methods, conditions ---

# method PATH METHOD ALLOW
method() {
    ask 1 "$2" "$1" --data-binary x
    check "$2 $1 is not allowed" refused 405 method_not_allowed none "$3"
    is "what is, is said: $3" "$3" "$(header allow)"
}
method /kv/kept POST 'GET, HEAD, PUT, DELETE'
method /kv/ POST 'GET, HEAD'
method /node PUT 'GET, HEAD'
method /cluster DELETE 'GET, HEAD'
method /readyz POST 'GET, HEAD'
ask 1 GET /nothing
check "no such path" refused 404 no_route none
ask 1 PUT /nothing --data-binary x
check "also for a PUT with a body" refused 404 no_route none

ask 1 GET /kv/kept
tag=$(header etag)
ask 1 PUT /kv/kept -H 'If-Match: "1"' --data-binary x
check "a condition that does not hold" refused 412 condition_failed none "$tag"
is "with the present ETag" "$tag" "$(header etag)"
for line in 'If-Match: 1' 'If-Match: "x"' 'If-Match: W/"1"' 'If-Match: "1", "2"' 'If-Match: ""' \
    'If-Match: "99999999999999999999"' 'If-None-Match: "1"'; do
    ask 1 PUT /kv/kept -H "$line" --data-binary x
    check "$line makes no sense" refused 400 bad_header none
done
ask 1 PUT /kv/kept -H "If-Match: $tag" -H 'If-None-Match: *' --data-binary x
check "both conditions at once make no sense" refused 400 bad_header none
is "nothing of that was written" kept "$(get "${http[1]}" /kv/kept)"

# --- a client that sends one byte a second ---

# The pause between two bytes is what is tested.
(
    exec 3<>"/dev/tcp/${http[1]%:*}/${http[1]##*:}"
    printf 'PUT /kv/slow HTTP/1.1\r\nHost: n1\r\nContent-Length: 1000\r\n\r\n' >&3
    cat <&3 >"$work/slow-body" &
    while kill -0 $! && printf x >&3; do sleep 1; done
    wait $!
) 2>/dev/null &
slow_body=$!
(
    exec 3<>"/dev/tcp/${http[1]%:*}/${http[1]##*:}"
    cat <&3 >"$work/slow-head" &
    while kill -0 $! && printf G >&3; do sleep 1; done
    wait $!
) 2>/dev/null &
slow_head=$!
lib_tests_pids+=("$slow_body" "$slow_head")
worst=0 count=0 bad=0
gone() { ! kill -0 "$1" 2>/dev/null; }
end=$((SECONDS + 20))
until gone "$slow_body" && gone "$slow_head" || [ "$SECONDS" -ge "$end" ]; do
    read -r code took < <(curl -s -m 10 -o /dev/null -w '%{http_code} %{time_total}\n' \
        -X PUT --data-binary x "http://${http[1]}/kv/others")
    took=$(printf %.0f "${took}e3")
    [ "$code" = 204 ] || [ "$code" = 201 ] || bad=$((bad + 1))
    [ "$took" -le "$worst" ] || worst=$took
    count=$((count + 1))
done
check "one byte a second: the head is cut off with 408" grep -q '^HTTP/1.1 408 ' "$work/slow-head"
check "the body is cut off with 408" grep -q '^HTTP/1.1 408 ' "$work/slow-body"
note "$count writes meanwhile, the slowest took $worst ms"
is "no other write failed meanwhile" 0 "$bad"
check "or took long" test "$worst" -lt 1000
ask 1 GET /kv/slow
check "the slow client wrote nothing" refused 404 not_found none
is "after all this the node answers and has its data" kept "$(get "${http[1]}" /kv/kept)"
check "and stops in good order" node_stop 1
finish
