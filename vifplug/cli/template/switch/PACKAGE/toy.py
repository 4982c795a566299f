# SPDX-License-Identifier: Apache-2.0
"""A toy switch, so that the plugin can be tested from the first minute. Put yours in its place.

``python -m << package >>.toy SOCKET DATABASE``: its ports outlive it, in a file.
"""

from __future__ import annotations

import contextlib
import json
import socketserver
import sys
from pathlib import Path
from typing import Any


class Answer(socketserver.StreamRequestHandler):
    """Answers one question."""

    def handle(self) -> None:
        """Read a line of JSON, and answer by one."""
        line = self.rfile.readline()
        answer = self.answer(json.loads(line)) if line else {}
        with contextlib.suppress(OSError):  # who asked has waited long enough
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    @staticmethod
    def answer(question: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked."""
        path = Path(sys.argv[2])
        ports = json.loads(path.read_text())
        match question["do"]:
            case "list":
                return {"ports": ports}
            case "add":
                ports[question["name"]] = question["port"]
            case "remove":
                ports.pop(question["name"], None)
            case other:
                return {"error": f"what is {other}?"}
        path.write_text(json.dumps(ports))
        return {}


if __name__ == "__main__":
    Path(sys.argv[1]).unlink(missing_ok=True)
    with socketserver.UnixStreamServer(sys.argv[1], Answer) as server:
        Path(sys.argv[1]).chmod(0o666)
        print("ready", flush=True)
        server.serve_forever()
