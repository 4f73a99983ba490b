# shellcheck shell=sh
# SPDX-License-Identifier: MIT
#
# Results of a test script as KTAP, for bash and busybox. Sourced:
#
#	tap_begin [N]			the version, and the plan if it is known
#	check NAME COMMAND...		a test: the command succeeds
#	tap_result STATUS NAME [FILE...]	passed if STATUS is 0, else files say why
#	tap_skip NAME REASON
#	tap_end				the plan unless it was told, and totals;
#					fails if a test did, or if there was none
#	silent COMMAND...		succeeds if the command does and says nothing
#	$work				a directory for the script; check leaves
#					what its command printed in out and err
#	$tap_also			a file that a failed check shows, too

set -u
tap_count=0 tap_failed=0 tap_skipped=0 tap_planned= tap_also=
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# shellcheck disable=SC2120 # the plan may be left out
tap_begin() {
	tap_planned=${1-}
	echo "KTAP version 1"
	[ -z "$tap_planned" ] || echo "1..$tap_planned"
}

tap_result() {
	tap_status=$1 tap_name=$2
	shift 2
	tap_count=$((tap_count + 1))
	if [ "$tap_status" = 0 ]; then
		echo "ok $tap_count $tap_name"
		return
	fi
	tap_failed=$((tap_failed + 1))
	[ $# = 0 ] || sed 's/^/# /' "$@"
	echo "not ok $tap_count $tap_name"
}

check() {
	tap_what=$1 tap_ended=0
	shift
	"$@" >"$work/out" 2>"$work/err" </dev/null || tap_ended=$?
	tap_result "$tap_ended" "$tap_what" "$work/out" "$work/err" \
		${tap_also:+"$tap_also"}
}

tap_skip() {
	tap_count=$((tap_count + 1))
	tap_skipped=$((tap_skipped + 1))
	echo "ok $tap_count $1 # SKIP $2"
}

tap_end() {
	[ -n "$tap_planned" ] || echo "1..$tap_count"
	echo "# Totals: pass:$((tap_count - tap_failed - tap_skipped))" \
		"fail:$tap_failed xfail:0 xpass:0 skip:$tap_skipped error:0"
	[ "$tap_failed" -eq 0 ] && [ "$tap_count" -gt 0 ]
}

silent() {
	tap_said=$("$@" 2>&1) && [ -z "$tap_said" ] && return
	echo "$tap_said"
	return 1
}
