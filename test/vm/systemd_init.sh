#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# The first program of a guest in which systemd is init: adds a unit that runs the commands that a
# test sends over the second serial port, and then becomes systemd. See systemd_guest.ts.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

units=/etc/systemd/system
cat >$units/test-agent.service <<'END'
[Unit]
Description=Runs the commands of a test

[Service]
ExecStart=/bin/sh /opt/toascope/test/vm/systemd_agent.sh
# Whatever a test stops and starts, the agent keeps running.
OOMScoreAdjust=-1000
END
mkdir -p $units/multi-user.target.wants
ln -s ../test-agent.service $units/multi-user.target.wants/
# there is no login on the first serial port, which is the log
ln -s /dev/null $units/serial-getty@.service
ln -sf /lib/systemd/system/multi-user.target $units/default.target
echo guest >/etc/hostname
exec /lib/systemd/systemd
