#!/bin/sh
exec "${DKV_BUILDDIR:?}/tests/conformance/storage_suite" memory
