#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Reads commands from the second serial port, one line of base64 each, and answers each with its
# exit code and its output, as base64.
exec </dev/ttyS1 >/dev/ttyS1
stty raw -echo
echo ready
while read -r line; do
	printf %s "$line" | base64 -d >/run/test-command
	sh /run/test-command >/run/test-output 2>&1 </dev/null
	echo "$? $(base64 -w 0 /run/test-output)"
done
