#!/bin/sh
# Small commits, so that reads and snapshots meet them.
exec "${DKV_BUILDDIR:?}/tests/conformance/storage_suite" 'delay(lmdb)' delay=0ms \
    lmdb.commit_ops=50 lmdb.commit_interval=5ms
