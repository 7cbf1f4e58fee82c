# SPDX-License-Identifier: Apache-2.0
"""An MPTCP server: mptcp_server.py PORT.

It prints {"ready":true}, then for each connection what accept(), getpeername() and
getsockopt(IPPROTO_IP, 4096) return, and at the end of the connection how many bytes it received.
"""
import json
import socket
import sys


def emit(**fields):
    print(json.dumps(fields), flush=True)


listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
listener.bind(("", int(sys.argv[1])))
listener.listen()
emit(ready=True)
while True:
    connection, accepted = listener.accept()
    received = len(connection.recv(5))
    try:
        option = connection.getsockopt(socket.IPPROTO_IP, 4096, 20).hex()
    except OSError as error:
        option = error.errno
    emit(accepted=accepted, peer=connection.getpeername(), option=option)
    while data := connection.recv(65536):
        received += len(data)
    emit(received=received)
    connection.close()
