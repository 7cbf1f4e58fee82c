#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# peers_guest.sh HEADERS ARGUMENT...: runs in a guest. Puts the unpacked headers of the guest's
# kernel where tools that compile against it expect them, then runs peers_guest.ts with the
# arguments.
set -eu

headers=$1
shift
release=$(uname -r)
mkdir -p /usr/src
for folder in "$headers"/usr/src/*; do
	[ -e "/usr/src/$(basename "$folder")" ] || ln -s "$folder" /usr/src/
done
mount -t overlay -o "lowerdir=$headers/lib/modules/$release:/lib/modules/$release" headers "/lib/modules/$release"
here=$(dirname "$0")
exec sh "$here/../scripts/node.sh" "$here/peers_guest.ts" "$@"
