#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs the Node that package-lock.json pins, or otherwise a Node >= 24 on PATH, with the arguments.
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd) || exit 1
# ip, bpftool and servers are in these directories, which are not on every PATH
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
export PATH

# The compiled sources are cached, which halves the CPU time of a start and saves 20 MB of memory.
# The cache is keyed by content, so it is never stale.
export NODE_COMPILE_CACHE="${NODE_COMPILE_CACHE-$root/build/compile-cache}"

case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) arch=none ;;
esac
# in the source tree, or beside the package if it is installed
for packages in "$root/node_modules" "$root/.."; do
	node=$packages/node-linux-$arch/bin/node
	if [ -x "$node" ]; then
		exec "$node" "$@"
	fi
done
major=$(node -p 'process.versions.node.split(".")[0]' 2>/dev/null)
if [ "${major:-0}" -ge 24 ]; then
	exec node "$@"
fi
echo 'toascope: Node 24 or later is not installed. In the source tree, "npm run setup" installs it for x64 and arm64.' >&2
exit 3
