# SPDX-License-Identifier: Apache-2.0
"""A ClickHouse engine (chDB, which runs inside this process) behind as much of the HTTP interface of
ClickHouse as the Collector's exporter uses. Prints its port when it listens."""

import http.server
import os
import re
import struct
import tempfile
import threading
import urllib.parse

import chdb.session

session = chdb.session.Session()
# the engine serves one query at a time
lock = threading.Lock()


def run(query, body):
    with lock:
        if not body:
            return session.query(query, 'Native').bytes()
        with tempfile.NamedTemporaryFile(suffix='.native') as file:
            file.write(body)
            file.flush()
            target = re.sub(r'(VALUES|FORMAT\s+Native)\s*$', '', query.strip(), flags=re.I)
            session.query(f"{target} SELECT * FROM file('{file.name}', 'Native')")
        return b''


def string(text):
    raw = text.encode()
    assert len(raw) < 128
    return bytes([len(raw)]) + raw


def hello():
    """The answer to the query with which a client begins, in the revision that it asks for: the
    later answers are then in revision 0, which is the format of files."""
    version = session.query('SELECT version()', 'TSV').data().strip()
    columns = [
        ('displayName()', 'String', string('chDB')),
        ('version()', 'String', string(version)),
        ('revision()', 'UInt32', struct.pack('<I', 0)),
        ('timezone()', 'String', string('UTC')),
    ]
    # block info: not an overflow block, no bucket
    block = b'\x01\x00\x02' + struct.pack('<i', -1) + b'\x00' + bytes([len(columns), 1])
    for name, kind, value in columns:
        # the byte: no custom serialization
        block += string(name) + string(kind) + b'\x00' + value
    return block


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    def do_POST(self):
        parameters = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
        body = self.read_body()
        query = parameters.get('query', [''])[0]
        if not query:
            query, body = body.decode(), b''
        try:
            if parameters.get('default_format', ['']) == ['Native']:
                self.answer(200, hello() if 'displayName()' in query else run(query, body))
            else:
                with lock:
                    self.answer(200, session.query(query, 'JSONEachRow').bytes())
        except Exception as error:
            self.answer(500, str(error).encode())

    def read_body(self):
        if self.headers.get('transfer-encoding') != 'chunked':
            return self.rfile.read(int(self.headers.get('content-length', 0)))
        body = b''
        while True:
            size = int(self.rfile.readline(), 16)
            body += self.rfile.read(size)
            self.rfile.readline()
            if size == 0:
                return body

    def answer(self, status, body):
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler)
print(f'listening on {server.server_address[1]}', flush=True)
# ends with the test, which holds the other end
threading.Thread(target=lambda: (os.read(0, 1), os._exit(0)), daemon=True).start()
server.serve_forever()
