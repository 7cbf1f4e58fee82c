# SPDX-License-Identifier: Apache-2.0
"""python server.py PORT: answers every request; written without regard to OpenTelemetry or TOA."""
import sys

from flask import Flask

app = Flask(__name__)


@app.get("/<path:_path>")
def answer(_path):
    return "ok\n"


print("ready", flush=True)
app.run("0.0.0.0", int(sys.argv[1]))
