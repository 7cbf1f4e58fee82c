#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# build.sh [RELEASE]: builds toa.ko for that kernel (the running one, which a container has from its host) to /out/RELEASE/toa.ko.
# With a key in /keys (toa.key, PEM) and its certificate (toa.der) it is signed.
set -eu

release=${1:-$(uname -r)}
sources=${TOA_SOURCES:-/toa/kernel} out=${TOA_OUT:-/out} keys=${TOA_KEYS:-/keys}

# 6.4.0-150600.23.47-default: SUSE has the flavour last
version=${release%-*} flavour=${release##*-}
for headers in "/lib/modules/$release/build" "/usr/src/kernels/$release" "/usr/src/linux-headers-$release" \
	"/usr/src/linux-$version-obj/$(uname -m)/$flavour" none; do
	[ -e "$headers/Makefile" ] && break
done
if [ "$headers" = none ]; then
	echo "build.sh: no headers of kernel $release: mount /lib/modules and /usr/src of the host, or name their package in PACKAGES" >&2
	exit 1
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$sources/." "$work"
make -C "$work" "KDIR=$headers"
if [ -e "$keys/toa.key" ]; then
	"$headers/scripts/sign-file" sha512 "$keys/toa.key" "$keys/toa.der" "$work/toa.ko"
fi
mkdir -p "$out/$release"
cp "$work/toa.ko" "$out/$release/toa.ko"
modinfo --field vermagic "$out/$release/toa.ko"
