#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the npm packages of package-lock.json, a pinned Node among them. Run by scripts/setup.sh.
#
# npm leaves out optional packages that the Node it runs on is too old for (Debian's 18, and 20 before 20.19: parts of the tests and
# of the build). Then a second run, on the pinned Node, brings them.
# Exit codes: 0 all are there, 1 not.
set -u
cd -- "$(dirname -- "$0")/.." || exit 1

# npm must not run on the Node that it is about to replace
PATH=$(printf %s "$PATH" | tr ':' '\n' | grep -v '/node_modules/' | tr '\n' ':')
PATH=${PATH%:}
if [ ! -w "${HOME:-/nonexistent}" ]; then
	npm_config_cache=$(pwd)/build/npm-cache
	export npm_config_cache
fi

options='ci --include=dev --include=optional --ignore-scripts --no-engine-strict --no-audit --no-fund'

# attempt COMMAND...: three tries, for what goes over a network.
attempt() {
	for pause in 2 5 0; do
		"$@" && return 0
		sleep $pause
	done
	return 1
}

complete() { sh scripts/node.sh -e 'import("rolldown")' 2>/dev/null; }

# On the pinned Node, from a place that npm does not clear.
install_again() {
	pinned=build/tools/npm-node
	rm -rf "$pinned"
	mkdir -p "$pinned" || return 1
	cp "$(sh scripts/node.sh -p process.execPath)" "$pinned/node" || return 1
	cli=$(readlink -f "$(command -v npm)")
	case $cli in
	*.js)
		# shellcheck disable=SC2086  # one word for each option
		attempt "$pinned/node" "$cli" $options
		;;
	*)
		# a wrapper: what it starts finds this Node first
		# shellcheck disable=SC2086
		PATH=$(pwd)/$pinned:$PATH attempt npm $options
		;;
	esac
	code=$?
	rm -rf "$pinned"
	return $code
}

# shellcheck disable=SC2086
attempt npm $options || exit 1
sh scripts/node.sh --version || exit 1
complete && exit 0
echo "npm runs on Node $(node --version), and left packages out that need a newer one: once more, on $(sh scripts/node.sh --version)"
install_again || exit 1
complete && exit 0
echo "npm has left packages out that the tests and the build need. Install Node 20.19, 22.12 or later, and run this again."
exit 1
