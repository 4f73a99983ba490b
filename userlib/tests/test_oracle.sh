#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The library's hashes against those of tests/oracle.py, on random cases.
# KVBM_CASES: how many (default: 2000); KVBM_SEED: where they begin (default:
# a new one each time, which the name of the test tells).
# Environment: CC, SRC, TOP, O.

# shellcheck source=scripts/tap.sh
. "${0%/*}/../../scripts/tap.sh"

oracle=$SRC/tests/oracle.py
cases=${KVBM_CASES:-2000}
seed=${KVBM_SEED:-$RANDOM$RANDOM}
python=
for p in "${PYTHON:-python3}" /usr/bin/python3; do
	! "$p" -c 'import xxhash' 2>/dev/null || python=$p
done

if [[ -z $python ]]; then
	tap_skip "hashes like the oracle's" "no python3-xxhash"
	tap_end
	exit
fi
check "the cases' program compiles" silent "$CC" -std=gnu11 -O1 -g -Wall -Wextra \
	-fsanitize=address,undefined -fno-sanitize-recover=all \
	-I"$TOP/uapi" -I"$SRC/include" -I"$SRC/src" -I"$TOP/module/core/evict" \
	-o "$work/hash_cases" "$SRC/tests/hash_cases.c" "$SRC/src/hash.c" \
	-lxxhash
"$python" "$oracle" cases "$seed" "$cases" >"$work/cases"
"$python" "$oracle" <"$work/cases" >"$work/wanted"
check "$cases cases" test "$(wc -l <"$work/wanted")" -eq "$cases"
"$work/hash_cases" <"$work/cases" >"$work/got" 2>"$work/err"
check "the program ends well" diff "$work/err" /dev/null
check "hashes like the oracle's (seed $seed)" bash -c "
	cmp '$work/got' '$work/wanted' || {
	diff '$work/got' '$work/wanted' | cut -c 1-200 | head -4; false; }"

tap_end
