#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The manual pages are clean: to mandoc, and to groff as man(1) runs it; and
# what a page refers to exists.  Environment: SRC.

# Functions are called by name.
# shellcheck disable=SC2317
# shellcheck source=userlib/tests/tap.sh
. "${0%/*}/tap.sh"

cd "$SRC/man" || exit 1
for page in *.[37]; do
	if command -v mandoc >/dev/null; then
		ok "$page: mandoc" silent mandoc -Tlint -Wwarning "$page"
	else
		skip "$page: mandoc" "no mandoc"
	fi
	if command -v groff >/dev/null; then
		ok "$page: groff" silent groff -mdoc -Tutf8 -Kutf8 -ww -z \
			-rLL=78n "$page"
	else
		skip "$page: groff" "no groff"
	fi
done

# Prints the references to pages of ours that do not exist.
lost() {
	local name section

	sed -n 's/^\.\(It \)*Xr \([^ ]*\) \([37]\).*/\2 \3/p' ./*.[37] |
		sort -u | while read -r name section; do
		[[ $name == *kvbm* && ! -e $name.$section ]] || continue
		./aliases ./*.3 | grep -q "^$name\.3 " || echo "$name($section)"
	done
}
ok "references lead to pages" silent lost

tap_end
