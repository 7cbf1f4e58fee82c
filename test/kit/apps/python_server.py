# SPDX-License-Identifier: Apache-2.0
"""A plain dual-stack server: python_server.py PORT.

It answers each connection with the peer's address.
"""
import socket
import sys

with socket.create_server(('::', int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
    print('{"ready":true}', flush=True)
    while True:
        connection, peer = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(f'{peer[0]} {peer[1]}'.encode())
