#!/bin/bash
# The image and the compose file on a real container engine: four nodes, the leader's container is
# killed, one node loses the inner network and finds it again, everything is restarted, and the data
# is there. Where the base image is not, it is made with debootstrap, since a registry may be out of
# reach. All that was made is removed, also after a failure.
# shellcheck disable=SC2317
set -u
here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=tests/integration/lib.sh
. "$here/lib.sh"
base=debian:bookworm-slim
project=dkvtest$$
export DKV_IMAGE_TAG=test$$
export COMPOSE_PROJECT_NAME=$project
made_base=

command -v docker >/dev/null || skip_all "no container engine: docker is not installed"
timeout 20 docker info >/dev/null 2>&1 || skip_all "no container engine answers"
if timeout 20 docker compose version >/dev/null 2>&1; then
    compose=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose=(docker-compose)
else
    skip_all "no container engine with compose: neither docker compose nor docker-compose is installed"
fi
for tool in curl jq; do
    command -v "$tool" >/dev/null || skip_all "missing: $tool is not installed"
done
make_work
of_build=(--filter dangling=true --filter label=dkv.stage=build)
before=$(docker images -q "${of_build[@]}")

run_compose() {
    (cd "$lib_srcdir" && "${compose[@]}" -f docker-compose.yml "$@") >>"$work/compose.log" 2>&1 </dev/null
}

remove_all() {
    local id
    [ "$BASHPID" = "$lib_shell" ] || return 0
    run_compose down -v --remove-orphans --timeout 5
    docker rmi -f "dkv:$DKV_IMAGE_TAG" >/dev/null 2>&1
    # What the build stage left behind, by its label: other images are other people's.
    for id in $(docker images -q "${of_build[@]}"); do
        case $before in
        *"$id"*) ;;
        *)
            # A step that fails leaves its container.
            docker ps -aq --filter "ancestor=$id" | xargs -r docker rm -f >/dev/null 2>&1
            docker rmi "$id" >/dev/null 2>&1
            ;;
        esac
    done
    [ -z "$made_base" ] || docker rmi -f "$base" >/dev/null 2>&1
    lib_cleanup
}
trap remove_all EXIT

if ! docker image inspect "$base" >/dev/null 2>&1; then
    command -v debootstrap >/dev/null || skip_all "missing: debootstrap is not installed, and there is no $base"
    [ "$(id -u)" = 0 ] || skip_all "missing: there is no $base, and debootstrap needs root"
    note "making $base with debootstrap"
    debootstrap --variant=minbase bookworm "$work/base" >"$work/debootstrap.log" 2>&1 ||
        give_up "debootstrap makes the base image"
    rm -rf "$work"/base/var/cache/apt/archives/*.deb
    made_base=1
    tar -C "$work/base" -c . | docker import - "$base" >/dev/null || give_up "docker imports the base image"
    rm -rf "$work/base"
fi
for port in 8501 8502 8503 8504; do
    port_is_free "$port" || give_up "port $port, which docker-compose.yml publishes, is taken"
done
run_compose config -q || give_up "the compose file is valid"
ok "the compose file is valid for ${compose[*]}"
run_compose build || give_up "the image builds"
ok "the image builds, $(docker image inspect -f '{{.Size}}' "dkv:$DKV_IMAGE_TAG" | awk '{printf "%.0f MB", $1 / 1e6}')"
check "the image does not run as root" \
    test "$(docker image inspect -f '{{.Config.User}}' "dkv:$DKV_IMAGE_TAG")" = 10001:10001

for i in 1 2 3 4; do
    http[i]=127.0.0.1:850$i
    pids[i]=up
done
nodes=4

container() {
    docker ps -aq --filter "label=com.docker.compose.project=$project" \
        --filter "label=com.docker.compose.service=n$1"
}

healthy() {
    [ "$(docker inspect -f '{{.State.Health.Status}}' "$(container "$1")")" = healthy ]
}

all_healthy() {
    local i
    for i in 1 2 3 4; do healthy "$i" || return 1; done
}

put() { # put NODE KEY VALUE
    case $(status_of -X PUT --data-binary "$3" "http://${http[$1]}/kv/$2") in
    201 | 204) return 0 ;;
    *) return 1 ;;
    esac
}

has() { # has NODE KEY VALUE
    [ "$(get "${http[$1]}" "/kv/$2")" = "$3" ]
}

run_compose up -d || give_up "four containers start"
if ! wait_for 60 all_ready; then
    run_compose logs
    give_up "four nodes are ready"
fi
ok "four nodes are ready"
wait_for 30 all_healthy
check "the health checks succeed" all_healthy
id=$(container 1)
check "the root file system is read-only, no capability is left" \
    test "$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}}' "$id")" = "true [ALL]"
check "peers are on an internal network" \
    test "$(docker network inspect -f '{{.Internal}}' "${project}_peers")" = true

put 1 first one || give_up "a write through n1"
check "what n1 took, n3 gives" has 3 first one
old=$(leader) || give_up "a node leads"
docker kill "$(container "$old")" >/dev/null || give_up "the leader's container is killed"
pids[old]=
other=$((old % 4 + 1))
check "after the leader's death writes go on" wait_for 20 put "$other" second two
last=$((other % 4 + 1))
[ "$last" != "$old" ] || last=$((last % 4 + 1))
check "another node reads it" has "$last" second two
docker start "$(container "$old")" >/dev/null
pids[old]=up
check "the killed node comes back" wait_for 60 all_ready

off=$((old % 4 + 1))
id=$(container "$off")
docker network disconnect "${project}_peers" "$id" || give_up "n$off is taken off the inner network"
refuses_reads() {
    [ "$(status_of "http://${http[$off]}/kv/first")" = 503 ]
}
check "a node without peers refuses linearizable reads" wait_for 20 refuses_reads
check "the others go on" wait_for 20 put "$old" third three
docker network connect --alias "n$off-peer" "${project}_peers" "$id"
check "back on the network it catches up" wait_for 60 has "$off" third three

run_compose restart --timeout 20 || give_up "everything is restarted"
wait_for 60 all_ready || give_up "everything is ready after the restart"
for key in first=one second=two third=three; do
    for i in 1 2 3 4; do
        has "$i" "${key%=*}" "${key#*=}" || give_up "n$i has ${key%=*} after the restart"
    done
done
ok "after a restart all data is there, on every node"
wait_for 20 states_equal
check "digests are equal" states_equal
finish
