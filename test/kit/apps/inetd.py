# SPDX-License-Identifier: Apache-2.0
"""Starts a command for each connection: inetd.py PORT COMMAND...

systemd does the same for a socket with Accept=yes.
"""
import socket
import subprocess
import sys

listener = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
print('{"ready":true}', flush=True)
while True:
    connection, _ = listener.accept()
    subprocess.Popen(sys.argv[2:], stdin=connection, stdout=connection)
    connection.close()
