#!/bin/sh
# cmocka before 1.1.6 calls a skipped case "not ok"; tap_skip.sh mends that.
exec sh "${DKV_SRCDIR:?}/tests/tap_skip.sh" "${DKV_BUILDDIR:?}/tests/conformance/transport_suite" tcp
