#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The manual pages are clean: to mandoc, and to groff as man(1) runs it; and
# what a page refers to exists.  Environment: SRC.

set -u

n=0 bad=0

check() {
	n=$((n + 1))
	if [[ -z $2 ]]; then
		echo "ok $n - $1"
	else
		echo "not ok $n - $1"
		sed 's/^/# /' <<<"$2"
		bad=1
	fi
}

skip() {
	n=$((n + 1))
	echo "ok $n - $1 # SKIP $2"
}

cd "$SRC/man" || exit 1
for page in *.[37]; do
	if command -v mandoc >/dev/null; then
		check "$page: mandoc" "$(mandoc -Tlint -Wwarning "$page" 2>&1)"
	else
		skip "$page: mandoc" "no mandoc"
	fi
	if command -v groff >/dev/null; then
		check "$page: groff" "$(groff -mdoc -Tutf8 -Kutf8 -ww -z \
			-rLL=78n "$page" 2>&1)"
	else
		skip "$page: groff" "no groff"
	fi
done

lost=
while read -r name section; do
	[[ $name == *kvbm* ]] || continue
	[[ -e $name.$section ]] || ./aliases *.3 | grep -q "^$name\.3 " ||
		lost+="$name($section) "
done < <(sed -n 's/^\.\(It \)*Xr \([^ ]*\) \([37]\).*/\2 \3/p' *.[37] | sort -u)
check "references to pages that do not exist" "$lost"

echo "1..$n"
exit $bad
