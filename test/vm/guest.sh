#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The init of a guest: runs the steps that the harness wrote for it, and prints on the serial line
# that they passed, with the proof of this very run. A guest that panics, hangs or ends early does
# not print it.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/run LC_ALL=C
# Node's compile cache is kept for the next guest. Emulated processors are some twenty times slower.
NODE_COMPILE_CACHE=/run/toascope-node TOA_TEST_TIMEOUT_FACTOR=5
export PATH HOME LC_ALL NODE_COMPILE_CACHE TOA_TEST_TIMEOUT_FACTOR

# value NAME: toascope.NAME=VALUE of the command line
value() { sed -n "s/.*toascope\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

failed=0
# messages that a test must not leave in the kernel log
kernel_errors='WARNING:|BUG:|Oops|Call Trace|general protection|INFO:|still has objects|refcount_t|leaked|UBSAN|KASAN'

# step NAME COMMAND...
step() {
	name=$1
	shift
	began=$(cut -d. -f1 /proc/uptime)
	dmesg -C
	echo "step $name"
	if "$@"; then
		:
	else
		echo "not ok $name: ended with $?"
		failed=1
	fi
	if dmesg | grep -Eq "$kernel_errors"; then
		failed=1
		dmesg | grep -Ev 'TOA: |toa: '
		echo "not ok $name: errors in the kernel log"
	fi
	echo "step $name took $(($(cut -d. -f1 /proc/uptime) - began)) s"
}

dmesg -n 1
# as udev creates it: bash needs it for <(...), and so does dkms
ln -s /proc/self/fd /dev/fd
ip link set lo up
mount --make-rshared /
echo "toascope: kernel $(uname -r)"
# shellcheck disable=SC1090  # the harness writes it
. "$(value steps)"
if [ -s /sys/kernel/debug/kprobes/list ]; then
	failed=1
	echo "not ok probes are left: $(cat /sys/kernel/debug/kprobes/list)"
fi
[ $failed = 0 ] && echo "toascope: all passed $(value proof)"
/bin/busybox poweroff -f
