#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# initramfs.sh IMAGE RELEASE FILE [BUSYBOX]: creates the first root of a guest: a static busybox,
# and the modules that are required to mount this machine's / over 9p, read-only, with an overlay in
# memory for what the guest writes. With toascope.root=PATH on the kernel's command line, that
# directory is the root instead; toascope.tree=PATH is mounted at toascope.at=PATH, and the share
# `layer`, if there is one, above it. At the end it runs the script toascope.script=PATH. BUSYBOX is
# one for the guest's architecture.
set -eu

image=$1 release=$2 file=$3 busybox=${4:-$(command -v busybox)}
base=$image
[ -d "$base/lib/modules" ] || base=$image/usr
depmod -b "$base" "$release"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bin" "$work/modules" "$work/newroot"
cp "$busybox" "$work/bin/busybox"

order=
for module in virtio_pci 9p 9pnet_virtio veth overlay tun; do
	order="$order $(modprobe -d "$base" -S "$release" --show-depends "$module" | awk '$1 == "insmod" { print $2 }')"
done
cat >"$work/init" <<-'END'
	#!/bin/busybox sh
	b=/bin/busybox
	$b mkdir -p /proc /sys /dev
	$b mount -t proc proc /proc
	$b mount -t sysfs sys /sys
	$b mount -t devtmpfs dev /dev
END
for path in $(printf '%s\n' "$order" | tr ' ' '\n' | awk '!seen[$0]++'); do
	name=$(basename "$path")
	case $name in
	*.xz) xz -dc "$path" >"$work/modules/${name%.xz}" ;;
	*.zst) zstd -qdc "$path" >"$work/modules/${name%.zst}" ;;
	*) cp "$path" "$work/modules/$name" ;;
	esac
	# shellcheck disable=SC2016
	printf '$b insmod /modules/%s\n' "$(printf %s "$name" | sed 's/\.xz$//; s/\.zst$//')" >>"$work/init"
done
cat >>"$work/init" <<-'END'
	nine=trans=virtio,version=9p2000.L,msize=524288
	$b mkdir /host /writes
	$b mount -t 9p -o "$nine,cache=loose,ro" hostroot /host
	$b mount -t tmpfs -o size=50% writes /writes
	$b mkdir /writes/upper /writes/work
	value() { $b sed -n "s/.*toascope\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
	$b mount -t overlay -o "lowerdir=/host$(value root),upperdir=/writes/upper,workdir=/writes/work" root /newroot
	if [ -n "$(value root)" ]; then
		at=/newroot$(value at) layers=/host$(value tree)
		$b mkdir -p "$at" /layer /writes/tree /writes/tree-work
		$b mount -t 9p -o "$nine,cache=loose,ro" layer /layer 2>/dev/null && layers=/layer:$layers
		$b mount -t overlay -o "lowerdir=$layers,upperdir=/writes/tree,workdir=/writes/tree-work" tree "$at"
	fi
	modules=lib/modules/$($b uname -r)
	$b mkdir -p "/newroot/$modules"
	$b mount -o bind "/host$(value modules)/$($b uname -r)" "/newroot/$modules"
	script=$(value script)
	for name in proc sys dev; do $b mount --move /$name /newroot/$name; done
	$b mkdir -p /newroot/dev/net /newroot/dev/shm /newroot/dev/pts
	$b mount -t tmpfs tmpfs /newroot/run
	$b mkdir -p /newroot/run/toascope-node
	$b mount -t 9p -o "$nine" node /newroot/run/toascope-node
	$b mount -t tmpfs tmpfs /newroot/dev/shm
	$b mount -t devpts devpts /newroot/dev/pts
	$b mount -t cgroup2 cgroup /newroot/sys/fs/cgroup
	$b mount -t bpf -o mode=0700 bpf /newroot/sys/fs/bpf
	$b mount -t debugfs debugfs /newroot/sys/kernel/debug
	$b mount -t tracefs tracefs /newroot/sys/kernel/tracing
	$b mount -t securityfs securityfs /newroot/sys/kernel/security
	[ -e /newroot/dev/net/tun ] || $b mknod /newroot/dev/net/tun c 10 200
	exec $b switch_root /newroot /bin/sh "$script"
END
chmod +x "$work/init"
(cd "$work" && find . | cpio -o -H newc 2>/dev/null | gzip -1) >"$file"
