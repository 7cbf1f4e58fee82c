#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# packages.sh [PACKAGE...]: installs what building toa.ko requires besides the headers, and
# PACKAGEs, with the package manager of this system.
set -eu

has() { command -v "$1" >/dev/null; }

# Programs among the headers are linked with libelf, and sign-file with the library of openssl.
if has apt-get; then
	apt-get update
	DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends make gcc binutils kmod libelf1 openssl "$@"
	rm -rf /var/lib/apt/lists/*
elif has dnf; then
	dnf install -y make gcc binutils kmod elfutils-libelf openssl "$@"
	dnf clean all
elif has zypper; then
	zypper --non-interactive install make gcc binutils kmod libelf1 openssl "$@"
	zypper clean --all
else
	echo "packages.sh: this system has no apt-get, dnf or zypper" >&2
	exit 1
fi
