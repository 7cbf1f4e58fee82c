#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The first program of a guest in which systemd is init: adds a unit that does what a test says on the second serial port, and
# becomes systemd. See systemd_guest.ts.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

units=/etc/systemd/system
cat >$units/test-agent.service <<'END'
[Unit]
Description=Runs the commands of a test

[Service]
ExecStart=/bin/sh /opt/toascope/test/vm/systemd_agent.sh
# A test may stop and start what it likes.
OOMScoreAdjust=-1000
END
mkdir -p $units/multi-user.target.wants
ln -s ../test-agent.service $units/multi-user.target.wants/
# nobody logs in, and the first serial port is the log
ln -s /dev/null $units/serial-getty@.service
ln -sf /lib/systemd/system/multi-user.target $units/default.target
echo guest >/etc/hostname
exec /lib/systemd/systemd
