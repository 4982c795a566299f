# SPDX-License-Identifier: Apache-2.0
"""The switch's daemon, as far as its plugin can see it. Its ports outlive it, in a file.

``python relayd.py SOCKET DATABASE``. Its file DATABASE.refuse names a port that it refuses. With a
file DATABASE.die it ends as soon as it has added a port, before it answers.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import sys
from pathlib import Path

SOCKET, DATABASE = sys.argv[1:]


class Answer(socketserver.StreamRequestHandler):
    """Answers one question."""

    def handle(self) -> None:
        line = self.rfile.readline()
        answer = self.answer(json.loads(line)) if line else {}
        with contextlib.suppress(BrokenPipeError):  # who asked has waited long enough
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    def answer(self, question: dict[str, object]) -> dict[str, object]:
        path = Path(DATABASE)
        ports = json.loads(path.read_text())
        name = question.get("name")
        refused = Path(f"{DATABASE}.refuse")
        if refused.exists() and refused.read_text() == name:
            return {"error": f"no licence for {name}"}
        match question["do"]:
            case "add":
                ports[name] = question["port"]
            case "remove":
                ports.pop(name, None)
            case "list":
                return {"ports": ports}
        path.write_text(json.dumps(ports))
        if question["do"] == "add" and Path(f"{DATABASE}.die").exists():
            os._exit(1)
        return {}


if not Path(DATABASE).exists():
    Path(DATABASE).write_text("{}")
Path(SOCKET).unlink(missing_ok=True)
with socketserver.UnixStreamServer(SOCKET, Answer) as server:
    print("ready", flush=True)
    server.serve_forever()
