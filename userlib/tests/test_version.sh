#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Library, module, tools and packages have one version, and one file says it.
# Environment: CC, SRC, TOP, O, VERSION.

# Functions are called by name.
# shellcheck disable=SC2317,SC2153
# shellcheck source=scripts/tap.sh
. "${0%/*}/../../scripts/tap.sh"

version=$(<"$TOP/VERSION")
made=$VERSION	# what the makefile takes it for

cat >"$work/p.c" <<'END'
#include <kvbm.h>
#include <stdio.h>

int main(void)
{
	return puts(kvbm_version()) < 0;
}
END

library() {
	"$CC" -I"$TOP/uapi" -I"$SRC/include" -o "$work/p" "$work/p.c" \
		"$O/libkvbm.a" -lxxhash && [[ $("$work/p") = "$version" ]]
}

dkms() {
	env -u MAKEFLAGS -u MAKELEVEL make -s -C "$TOP/packaging" install-dkms \
		DESTDIR="$work/dest" &&
		grep -qx "PACKAGE_VERSION=\"$version\"" \
			"$work/dest/usr/src/kvbm-$version/dkms.conf" &&
		cmp "$work/dest/usr/src/kvbm-$version/VERSION" "$TOP/VERSION"
}

# What the compiler would be told of the module: -n, since it is not built here.
module() {
	# shellcheck disable=SC2016
	printf '%s\n' 'src := module' 'include module/Kbuild' \
		'all:; @echo $(CFLAGS_user/main.o)' >"$work/Makefile"
	[[ $(cd "$TOP" && env -u MAKEFLAGS -u MAKELEVEL make -s -f \
		"$work/Makefile" all) = "-DKVBM_VERSION=\"$version\"" ]] &&
		grep -qx 'MODULE_VERSION(KVBM_VERSION);' "$TOP"/module/*/main.c
}

# Files that spell it. Since when an attribute is there is another matter; the
# Python package cannot read a file outside of it, and has a test of its own.
spelt() {
	local found

	found=$(cd "$TOP" && git grep -lwF "$version" -- . \
		':!VERSION' ':!Documentation/ABI' ':!python')
	[[ -z $found ]] && return
	echo "$found"
	return 1
}

check "VERSION is three numbers" grep -qxE '[0-9]+\.[0-9]+\.[0-9]+' "$TOP/VERSION"
check "the library says it" library
check "the library's makefile knows it" test "$made" = "$version"
check "the module has it" module
check "DKMS gets it" dkms
check "the package's changelog leaves it open" \
	grep -q '^kvbm (@VERSION@) ' "$TOP/packaging/debian/changelog"
if git -C "$TOP" rev-parse >/dev/null 2>&1; then
	check "no other file says it" spelt
else
	tap_skip "no other file says it" "no git repository"
fi

tap_end
