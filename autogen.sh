#!/bin/sh
# Makes ./configure out of configure.ac; needed once after a fresh clone.
set -e
cd "$(dirname "$0")"
exec autoreconf --force --install
