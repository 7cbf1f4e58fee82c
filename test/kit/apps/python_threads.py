# SPDX-License-Identifier: Apache-2.0
"""A plain server: python_threads.py HOST PORT LOG.

It logs the peer's address and port, and its own pid.
"""
import os
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

host, port, log = sys.argv[1:]


class Server(ThreadingHTTPServer):
    address_family = socket.AF_INET6 if ':' in host else socket.AF_INET


class Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_GET(self):
        self.send_response(200)
        self.send_header('Content-Length', '3')
        self.end_headers()
        self.wfile.write(b'ok\n')

    def log_message(self, *_):
        address, port = self.client_address[:2]
        with open(log, 'a') as file:
            file.write(f'{address} {port} {os.getpid()}\n')


Server((host, int(port)), Handler).serve_forever()
