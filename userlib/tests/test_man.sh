#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The manual pages, made from the headers or written, are clean to mandoc and to
# groff as man(1) runs it, and what a page refers to exists.  Environment: SRC, O.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=scripts/tap.sh
. "${0%/*}/../../scripts/tap.sh"

for page in "$SRC"/man/*.7 "$O"/man/*.3; do
	name=${page##*/}
	# An alias.
	[[ $(head -c 3 "$page") != .so ]] || continue
	if command -v mandoc >/dev/null; then
		check "$name: mandoc" silent mandoc -Tlint -Wwarning "$page"
	else
		tap_skip "$name: mandoc" "no mandoc"
	fi
	if command -v groff >/dev/null; then
		check "$name: groff" silent groff -man -mdoc -Tutf8 -Kutf8 -ww -z \
			-rLL=78n "$page"
	else
		tap_skip "$name: groff" "no groff"
	fi
done

# Prints the references to pages of ours that do not exist.
lost() {
	sed -n 's/^\.\(It \)*Xr \([^ ]*\) \([37]\).*/\2.\3/p' "$SRC"/man/*.7 |
		sort -u | while read -r page; do
		[[ $page != *kvbm* || -e $O/man/$page || -e $SRC/man/$page ]] ||
			echo "$page"
	done
}
check "references lead to pages" silent lost

tap_end
