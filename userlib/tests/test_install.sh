#!/bin/bash
# SPDX-License-Identifier: MIT
#
# make install puts in place what a program needs to compile, link and run, and
# the manual; make uninstall takes all of it away.
# Environment: CC, SRC, O, MAKE, VERSION.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=scripts/tap.sh
. "${0%/*}/../../scripts/tap.sh"

dest=$work/dest
run_make() {
	env -u MAKEFLAGS -u MAKELEVEL make -C "$SRC" O="$work/lib" \
		PREFIX=/opt/kvbm DESTDIR="$dest" "$@"
}

check "install" run_make install
root=$dest/opt/kvbm
for f in lib/libkvbm.a lib/libkvbm.so lib/libkvbm.so.${VERSION%%.*} \
	 lib/libkvbm.so.$VERSION lib/pkgconfig/libkvbm.pc \
	 include/kvbm.h include/kvbm_args.h include/kvbm_uring.h \
	 include/linux/kvbm.h share/man/man3/kvbm_match.3 \
	 share/man/man7/libkvbm.7; do
	check "$f is there" test -s "$root/$f"
done

# The pages cover the interface, under every name.
"$CC" -fpreprocessed -dD -E -P "$root/include/kvbm.h" \
	"$root/include/kvbm_args.h" "$root/include/kvbm_uring.h" 2>/dev/null |
	grep -oE '\bkvbm_[a-z0-9_]+\(' | tr -d '(' | sort -u |
	grep -vxE 'kvbm_args_ptr' >"$work/names"
: >"$work/missing"
while read -r name; do
	[[ -s $root/share/man/man3/$name.3 ]] || echo "$name" >>"$work/missing"
done <"$work/names"
check "every function has a manual page" diff /dev/null "$work/missing"
check "aliases lead to pages" bash -c "
	cd '$root/share/man' &&
	sed -n 's/^\.so //p' man3/*.3 | sort -u | xargs ls"

cat >"$work/p.c" <<'END'
#include <errno.h>
#include <kvbm.h>

int main(void)
{
	struct kvbm_hash hash;
	uint32_t token = 1, id;

	return !(kvbm_chain(&token, 1, 1, KVBM_NO_SALT, &hash) == 1 &&
		 kvbm_match(-1, 1, &hash, &id, NULL) == -EBADF);
}
END
export PKG_CONFIG_PATH=$root/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$dest
check "a program compiles and runs with the shared library" bash -c "
	cd '$work' &&
	$CC -o shared p.c \$(pkg-config --cflags --libs libkvbm) &&
	LD_LIBRARY_PATH='$root/lib' ./shared"
check "and with the static one" bash -c "
	cd '$work' &&
	$CC -static -o static p.c \
		\$(pkg-config --static --cflags --libs libkvbm) && ./static"

check "uninstall" run_make uninstall
find "$dest" ! -type d >"$work/left"
check "nothing is left" diff /dev/null "$work/left"

tap_end
