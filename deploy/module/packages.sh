#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# packages.sh [PACKAGE...]: installs what building toa.ko takes beside the headers, and PACKAGEs, with what this system
# installs packages by.
set -eu

has() { command -v "$1" >/dev/null; }

# libelf and libcrypto: programs among the headers are linked with them
if has apt-get; then
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends make gcc binutils kmod libelf1 libssl3 "$@"
	rm -rf /var/lib/apt/lists/*
elif has dnf; then
	dnf install -y make gcc binutils kmod elfutils-libelf openssl-libs "$@"
	dnf clean all
elif has zypper; then
	zypper --non-interactive install make gcc binutils kmod libelf1 libopenssl3 "$@"
	zypper clean --all
else
	echo "packages.sh: no apt-get, dnf or zypper here" >&2
	exit 1
fi
