# SPDX-License-Identifier: Apache-2.0
"""An MPTCP client: mptcp_client.py ADDRESS PORT PATHS BYTES.

It sends "hello", waits for PATHS additional subflows, prints their number as {"paths":N}, and sends
BYTES bytes.
"""
import json
import socket
import struct
import sys
import time

SOL_MPTCP, MPTCP_INFO = 284, 1
address, port, paths, count = sys.argv[1], *map(int, sys.argv[2:5])
connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
connection.connect((address, port))
connection.sendall(b"hello")


def additional_subflows():
    try:
        return struct.unpack_from("B", connection.getsockopt(SOL_MPTCP, MPTCP_INFO, 64))[0]
    except OSError:
        return -1


while 0 <= additional_subflows() < paths:
    time.sleep(0.01)
print(json.dumps({"paths": additional_subflows()}), flush=True)
connection.sendall(b"x" * count)
connection.close()
