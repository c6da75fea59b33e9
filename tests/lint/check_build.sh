#!/bin/sh
# What the build promises: configure does not remove the folder core, names what is missing for
# Debian and Fedora, and the tarball has every document.
. "$(dirname "$0")/lib.sh"

[ -f configure ] || lint_skip "no configure: run autogen.sh"
grep -n 'rm -f core' configure | sed 's/^/configure:/' >>"$findings"
lint_result "configure removes no core"

# configure ends with an error, as it should; what it says is looked at.
mkdir "$scratch/build"
(cd "$scratch/build" && "$srcdir/configure" PKG_CONFIG=/bin/false CC="${CC:-cc}" >out 2>&1 && echo "it is done" >>out)
! grep -qx "it is done" "$scratch/build/out" || echo "configure succeeds with nothing installed" >>"$findings"
for package in libevent-dev libevent-devel libjansson-dev jansson-devel liblmdb-dev lmdb-devel \
    libxxhash-dev xxhash-devel; do
    grep -q -w -e "$package" "$scratch/build/out" || echo "configure does not name $package" >>"$findings"
done
lint_result "configure names what is missing, for Debian and Fedora"

(cd "$scratch/build" && "$srcdir/configure" --with-sanitizer=nonsense >out 2>&1 && echo "it is done" >>out)
if grep -qx "it is done" "$scratch/build/out" || ! grep -q nonsense "$scratch/build/out"; then
    tail -n 3 "$scratch/build/out" >>"$findings"
fi
lint_result "an unknown sanitizer is refused by name"

find docs -name '*.md' | sort | while IFS= read -r file; do
    grep -q -w -F -e "$file" docs/Makefile.inc || echo "$file is not in EXTRA_DIST of docs/Makefile.inc"
done >>"$findings"
lint_result "every document is distributed"
lint_done
