#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Reads commands on the second serial port, a line of base64 each, and answers each with its exit code and all that it said,
# as base64.
exec </dev/ttyS1 >/dev/ttyS1
stty raw -echo
echo ready
while read -r line; do
	printf %s "$line" | base64 -d >/run/test-command
	sh /run/test-command >/run/test-said 2>&1 </dev/null
	echo "$? $(base64 -w 0 /run/test-said)"
done
