# shellcheck shell=sh
# Installs the Debian packages that a script needs, only those that are missing. Sourced, never run.
#
# need_packages PACKAGE... : an entry a|b takes the first of the two that this release has.
# Asks before it uses sudo, unless CI=true or ASSUME_YES=1. Root without a terminal is not asked.

packages_missing() {
    for packages__entry in "$@"; do
        packages__found=
        packages__first=
        for packages__name in $(echo "$packages__entry" | tr '|' ' '); do
            if dpkg-query -W -f '${Status}' "$packages__name" 2>/dev/null | grep -q ' installed$'; then
                packages__found=1
            elif [ -z "$packages__first" ] && apt-cache show "$packages__name" >/dev/null 2>&1; then
                packages__first=$packages__name
            fi
        done
        [ -n "$packages__found" ] || echo "${packages__first:-${packages__entry%%|*}}"
    done
}

need_packages() {
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        echo "no apt on this system: these Debian packages, or what your distribution calls them, must be there: $*"
        return 0
    fi
    # Without package lists apt knows no package at all, and none could be chosen.
    packages__missing=$(packages_missing "$@" | sort -u | tr '\n' ' ')
    [ -n "${packages__missing% }" ] || return 0
    packages__sudo=
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "missing packages; as root: apt-get install $packages__missing" >&2
            return 1
        fi
        packages__sudo=sudo
    fi
    echo "missing packages: $packages__missing"
    if [ "${CI:-}" != true ] && [ "${ASSUME_YES:-0}" != 1 ]; then
        if [ -t 0 ]; then
            printf 'install them with %s apt-get? [Y/n] ' "$packages__sudo"
            read -r packages__answer
            case $packages__answer in
            '' | [yY]*) ;;
            *) return 1 ;;
            esac
        elif [ -n "$packages__sudo" ]; then
            echo "nobody to ask: say -y, or run: sudo apt-get install $packages__missing" >&2
            return 1
        fi
    fi
    packages__log=$(mktemp) || return 1
    # RUNLEVEL=1 keeps a freshly installed server from being started as a service.
    packages__install="env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -q --no-install-recommends"
    # shellcheck disable=SC2086
    if ! $packages__sudo $packages__install $packages__missing >"$packages__log" 2>&1 </dev/null; then
        $packages__sudo apt-get update -q >>"$packages__log" 2>&1 </dev/null || true
        packages__missing=$(packages_missing "$@" | sort -u | tr '\n' ' ')
        # shellcheck disable=SC2086
        if ! $packages__sudo $packages__install $packages__missing >>"$packages__log" 2>&1 </dev/null; then
            tail -n 20 "$packages__log" >&2
            rm -f "$packages__log"
            return 1
        fi
    fi
    rm -f "$packages__log"
}

# Fetches the package lists if there are none, as in a fresh container. Not worth a question.
need_package_lists() {
    command -v apt-cache >/dev/null || return 0
    [ -z "$(apt-cache dumpavail 2>/dev/null | head -c 1)" ] || return 0
    if [ "$(id -u)" = 0 ]; then
        apt-get update -q >/dev/null 2>&1 </dev/null
    else
        sudo -n apt-get update -q >/dev/null 2>&1 </dev/null
    fi
}

BUILD_PACKAGES="build-essential autoconf automake libtool pkg-config|pkgconf libevent-dev libjansson-dev liblmdb-dev libxxhash-dev"
# shellcheck disable=SC2034
TEST_PACKAGES="$BUILD_PACKAGES git libcmocka-dev clang libclang-rt-14-dev|libclang-rt-dev clang-format-14|clang-format curl jq shellcheck mandoc strace debootstrap ca-certificates xz-utils procps"
# shellcheck disable=SC2034
DEMO_PACKAGES="$BUILD_PACKAGES curl"
