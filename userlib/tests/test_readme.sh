#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What README.md says is so, as far as it can be tried without the module: its
# example compiles as it says, what it links to exists, and so do the targets of
# make that it names.
# Environment: CC, SRC, TOP, O.

# shellcheck source=scripts/tap.sh
. "${0%/*}/../../scripts/tap.sh"

readme=$TOP/README.md
# shellcheck disable=SC2016
sed -n '/^```c$/,/^```$/{/^```/!p}' "$readme" >"$work/worker.c"
check "the example is there" grep -q kvbm_match "$work/worker.c"
check "it compiles without a warning" silent "$CC" -Wall -Wextra -Werror \
	-I"$SRC/include" -I"$TOP/uapi" -o "$work/worker" "$work/worker.c" \
	"$O/libkvbm.a" -lxxhash
check "without a store it fails, and does not crash" bash -c "
	[[ -e /dev/kvbm/pool ]] || { '$work/worker'; [[ \$? -eq 1 ]]; }"

grep -oE '\]\([^)#]+' "$readme" | sed 's/^](//' | sort -u >"$work/links"
check "it has links" test -s "$work/links"
while read -r link; do
	[[ $link == http* ]] || check "$link exists" test -e "$TOP/$link"
done <"$work/links"

# "path#anchor" is a heading of that file.
grep -oE '\]\([^)]+#[^)]+' "$readme" | sed 's/^](//' |
	while IFS='#' read -r file anchor; do
		grep -iqx "${anchor//-/ }" "$TOP/$file" ||
			echo "$file has no heading like $anchor"
	done >"$work/anchors"
check "anchors are headings" diff /dev/null "$work/anchors"

# Words after "make" in code; -C names another Makefile.
grep -oE '(^|`)make( [-A-Za-z= /]+)?' "$readme" | tr -d '`' |
	while read -r _ words; do
		dir=.
		# shellcheck disable=SC2086
		set -- $words
		[[ ${1-} != -C ]] || { dir=$2; shift 2; }
		for target; do
			[[ $target == *=* ]] || echo "$dir $target"
		done
	done | sort -u >"$work/targets"
check "it names targets of make" test -s "$work/targets"
while read -r dir target; do
	check "make -C $dir $target is a target" bash -c "
		grep -qE '(^| )$target( |:|\$)' '$TOP/$dir/Makefile'"
done <"$work/targets"

tap_end
