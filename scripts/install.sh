#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the npm packages of package-lock.json, including a pinned Node. scripts/setup.sh runs it.
#
# npm skips optional packages that require a newer Node than the one it runs on. With Debian's Node
# 18, and with 20 before 20.19, these include parts of the tests and of the build. In that case, a
# second run on the pinned Node installs them.
# Exit codes: 0 all packages are installed, 1 some are missing.
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

# attempt COMMAND...: tries the command up to three times, because it uses the network.
attempt() {
	for pause in 2 5 0; do
		"$@" && return 0
		sleep $pause
	done
	return 1
}

all_installed() { sh scripts/node.sh -e 'import("rolldown")' 2>/dev/null; }

# Runs npm on a copy of the pinned Node, outside of the directory that npm clears.
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
		# npm is a wrapper script, which finds this Node first on PATH
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
all_installed && exit 0
echo "npm on Node $(node --version) skipped packages that require a newer Node; running it again on $(sh scripts/node.sh --version)"
install_again || exit 1
all_installed && exit 0
echo "npm skipped packages that the tests and the build require. Install Node 20.19, 22.12 or later, and run this again."
exit 1
