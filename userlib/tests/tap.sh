# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# Sourced by the test scripts: TAP from commands.  Each test is a command that
# succeeds; what it said is shown when it does not.

set -u

tap_n=0 tap_bad=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# ok DESCRIPTION COMMAND...
ok() {
	local what=$1

	shift
	tap_n=$((tap_n + 1))
	if "$@" >"$work/log" 2>&1; then
		echo "ok $tap_n - $what"
	else
		echo "not ok $tap_n - $what"
		sed 's/^/# /' "$work/log"
		tap_bad=1
	fi
}

# skip DESCRIPTION REASON
skip() {
	tap_n=$((tap_n + 1))
	echo "ok $tap_n - $1 # SKIP $2"
}

# silent COMMAND...: succeeds when the command does and says nothing.
silent() {
	local said

	said=$("$@" 2>&1) && [[ -z $said ]] && return
	echo "$said"
	return 1
}

tap_end() {
	echo "1..$tap_n"
	exit $tap_bad
}
