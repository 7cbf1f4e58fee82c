#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# build.sh [RELEASE]: builds toa.ko for that kernel release (default: the running kernel, which a
# container shares with its host) and writes it to /out/RELEASE/toa.ko. The module is signed if
# /keys has a key (toa.key, PEM) and its certificate (toa.der).
set -eu

release=${1:-$(uname -r)}
sources=${TOA_SOURCES:-/toa/kernel} out=${TOA_OUT:-/out} keys=${TOA_KEYS:-/keys}

# On SUSE the last part of the release is the flavour: 6.4.0-150600.23.47-default.
version=${release%-*} flavour=${release##*-}
for headers in "/lib/modules/$release/build" "/usr/src/kernels/$release" "/usr/src/linux-headers-$release" \
	"/usr/src/linux-$version-obj/$(uname -m)/$flavour" none; do
	[ -e "$headers/Makefile" ] && break
done
if [ "$headers" = none ]; then
	echo "build.sh: the headers of kernel $release were not found: mount /lib/modules and /usr/src of the host, or add their package to PACKAGES" >&2
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
