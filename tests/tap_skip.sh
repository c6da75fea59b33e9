#!/bin/sh
# Runs a test program: cmocka before 1.1.6 reports a skipped test as "not ok", which counts as failed.
exec 4>&1
rc=$({ { "$@" 3>&- 4>&-; echo $? >&3; } | sed 's/^not ok \([0-9]*\) # SKIP/ok \1 # SKIP/' >&4; } 3>&1)
exit "$rc"
