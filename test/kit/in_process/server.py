# SPDX-License-Identifier: Apache-2.0
"""`server.py HOST PORT`: answers each connection with the attributes of its span, in JSON."""
import json
import socket
import sys

from client import set_client
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

tracer = TracerProvider().get_tracer("server")
listener = socket.create_server((sys.argv[1], int(sys.argv[2])))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    with connection:
        connection.recv(1)
        with tracer.start_as_current_span("request", kind=trace.SpanKind.SERVER) as span:
            set_client(span, connection)
        connection.sendall(json.dumps(dict(span.attributes)).encode() + b"\n")
