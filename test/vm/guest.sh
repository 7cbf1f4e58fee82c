#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The init of a guest: runs the tests, and says on the serial line that they passed, with the word of this very run.
# A guest that panics, hangs or ends early says nothing.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
HOME=/run TMPDIR=/run LC_ALL=C
export PATH HOME TMPDIR LC_ALL

# value NAME: toascope.NAME=VALUE of the command line
value() { sed -n "s/.*toascope\.$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

programs=$(value programs)
module=/run/toa.ko
cp "$(value module)" "$module"
dmesg -n 1

failed=0
# what a test must not leave in the kernel log
trouble='WARNING:|BUG:|Oops|Call Trace|general protection|INFO:|still has objects|refcount_t|leaked|UBSAN|KASAN'
# test COMMAND...
test_run() {
	begun=$(cut -d. -f1 /proc/uptime)
	dmesg -C
	"$@" || failed=1
	if dmesg | grep -Eq "$trouble"; then
		failed=1
		echo "not ok: the kernel log of: $*"
		dmesg | grep -Ev 'TOA: |toa: '
	fi
	echo "$(basename "$1"): $(($(cut -d. -f1 /proc/uptime) - begun)) s"
}

echo "toascope: kernel $(uname -r)"
test_run "$programs/module_test" "$module" "$programs/vectors"
test_run "$programs/module_reload" "$module" "$(value times)"
if [ -s /sys/kernel/debug/kprobes/list ]; then
	failed=1
	echo "not ok: probes are left: $(cat /sys/kernel/debug/kprobes/list)"
fi
[ $failed = 0 ] && echo "toascope: all passed $(value proof)"
/bin/busybox poweroff -f
