#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What the shared library exports is what kvbm.h declares and libkvbm.map
# lists, under the version and soname that it should have; and the headers
# compile for whoever includes them. Environment: CC, CXX, SRC, TOP, O, VERSION.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=scripts/tap.sh
. "${0%/*}/../../scripts/tap.sh"

lib=$O/libkvbm.so.$VERSION

# Declarations: a name and a parenthesis outside comments.
"$CC" -fpreprocessed -dD -E -P "$SRC/include/kvbm.h" |
	grep -v '^static inline' |
	grep -oE '\bkvbm_[a-z0-9_]+\(' | tr -d '(' | sort -u >"$work/header"
sed -n 's/^\t\t\(kvbm_[a-z0-9_]*\);$/\1/p' "$SRC/libkvbm.map" |
	sort -u >"$work/map"
nm -D --defined-only "$lib" | awk '$2 == "T" { print $3 }' |
	sed 's/@@KVBM_0.1$//' | sort -u >"$work/exports"
nm -D --defined-only "$lib" | awk '$2 != "T" && $2 != "A"' >"$work/others"

check "header has functions" test "$(wc -l <"$work/header")" -ge 40
check "map lists what the header declares" diff "$work/header" "$work/map"
check "library exports what the map lists" diff "$work/map" "$work/exports"
check "library exports no data" diff /dev/null "$work/others"
check "soname" grep -q "SONAME.*\[libkvbm.so.${VERSION%%.*}\]" \
	<(readelf -d "$lib")
check "library does not need liburing" \
	bash -c "! readelf -d '$lib' | grep -q liburing"
check "library has no writable data of its own" \
	bash -c "size -A '$O/libkvbm.a' |
		awk '/^\\.(data|bss)[[:space:]]/ { n += \$2 } END { exit n != 0 }'"
check "pkg-config file is valid" \
	env PKG_CONFIG_PATH="$O" pkg-config --validate libkvbm
check "pkg-config file has the version" \
	test "$(PKG_CONFIG_PATH=$O pkg-config --modversion libkvbm)" = "$VERSION"

for h in kvbm kvbm_args kvbm_uring; do
	# Twice: a header must survive that.
	printf '#include <%s.h>\n#include <%s.h>\nint x;\n' $h $h >"$work/$h.c"
	cp "$work/$h.c" "$work/$h.cc"
done
cat >"$work/use.cc" <<'END'
#include <kvbm_uring.h>
#include <kvbm.h>

int use(int session, struct io_uring_sqe *sqe)
{
	struct kvbm_hash hash = {};
	struct kvbm_match args;
	uint32_t id;

	kvbm_args_match(&args, 0, 1, &hash, &id);
	kvbm_prep_match(sqe, session, &args);
	return kvbm_match(session, 1, &hash, &id, nullptr);
}

int main()
{
	struct kvbm_stats stats;

	return kvbm_stats(-1, &stats) == -EBADF ? 0 : 1;
}
END

flags=(-I"$TOP/uapi" -I"$SRC/include" -I"$TOP/module/core/evict"
	"-DKVBM_VERSION=\"$VERSION\"" -Wall -Wextra -Wshadow -Werror)
try() {
	local cc=$1 std=$2 file=$3

	shift 3
	# liburing's own headers are not written for strict compilers.
	$cc "$@" "${flags[@]}" -std="$std" -Wno-pedantic -c -o "$work/x.o" "$file"
}

for cc in "$CC" gcc clang-14; do
	if ! command -v "${cc%% *}" >/dev/null; then
		tap_skip "headers with $cc" "no $cc"
		continue
	fi
	for std in c99 c11 gnu17; do
		check "$cc -std=$std: kvbm.h" try "$cc" $std "$work/kvbm.c" -pedantic
		check "$cc -std=$std: kvbm_args.h" \
			try "$cc" $std "$work/kvbm_args.c" -pedantic
	done
	check "$cc -std=gnu11: kvbm_uring.h" try "$cc" gnu11 "$work/kvbm_uring.c"
done
for cc in "$CXX" g++ clang++-14; do
	if ! command -v "${cc%% *}" >/dev/null; then
		tap_skip "headers with $cc" "no $cc"
		continue
	fi
	for std in c++11 c++17 c++20; do
		check "$cc -std=$std: kvbm.h" try "$cc" $std "$work/kvbm.cc" -pedantic
	done
	check "$cc: functions and structures of one name" \
		try "$cc" gnu++17 "$work/use.cc"
done
check "C++ program links and runs" bash -c "
	$CXX -I'$TOP/uapi' -I'$SRC/include' -include cerrno -std=gnu++17 \
		-o '$work/use' '$work/use.cc' -L'$O' -lkvbm -luring &&
	LD_LIBRARY_PATH='$O' '$work/use'"

# The library's sources for a 32-bit machine, and by another compiler.
sources() {
	local cc=$1 f

	shift
	for f in "$SRC"/src/*.c; do
		$cc "$@" "${flags[@]}" -std=gnu11 -O2 -fvisibility=hidden \
			-c -o "$work/x.o" "$f" || return 1
	done
}

if echo 'int x;' | gcc -m32 -xc -include stdint.h -c -o "$work/x.o" - 2>/dev/null
then
	check "sources compile with gcc -m32" sources gcc -m32
else
	tap_skip "sources compile with gcc -m32" "no 32-bit compiler"
fi
if command -v clang-14 >/dev/null; then
	check "sources compile with clang-14" sources clang-14 -Wconversion
else
	tap_skip "sources compile with clang-14" "no clang-14"
fi

tap_end
