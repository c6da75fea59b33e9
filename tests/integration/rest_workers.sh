#!/bin/sh
# All of the REST surface, served by worker threads.
DKV_THREADS_WORKERS=2 exec "$(dirname "$0")/rest.sh"
