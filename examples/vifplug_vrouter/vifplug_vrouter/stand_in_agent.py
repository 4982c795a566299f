# SPDX-License-Identifier: Apache-2.0
"""A stand-in for OpenSDN's vRouter agent: its REST calls about ports, as its documents tell them.

It is no agent: it connects nothing. It keeps ports in memory and refuses what the agent would.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
from typing import Any

from vifplug.testing import NetworkNamespace
from vifplug.testing.fixture import PlainFixture

_PORT = re.compile(r"/port/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_NEEDED = {"id", "instance-id", "display-name", "vn-id", "ip-address", "ip6-address",
           "vm-project-id", "mac-address", "system-name", "rx-vlan-id", "tx-vlan-id", "author",
           "time", "type"}  # fmt: skip


class StandInAgent(PlainFixture):
    """The stand-in, on a TCP port of a namespace. ``ports`` are those that it knows, by their ids.

    ``paused``: it accepts connections and answers nothing. ``refusal`` is a status and words with
    which it answers every change.
    """

    def __init__(self, namespace: NetworkNamespace) -> None:
        super().__init__()
        self._namespace = namespace
        self.ports: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.refusal: tuple[int, str] | None = None
        self._go = threading.Event()
        self._go.set()
        self._number = 0
        self._server: http.server.ThreadingHTTPServer | None = None

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        self.start()
        self.addCleanup(self.stop)

    @property
    def address(self) -> str:
        """Where it is, as the plugin's option says it."""
        return f"127.0.0.1:{self._number}"

    def start(self) -> None:
        """Start it where it was before; it has its ports still, as the agent has on its disk."""
        with self._namespace.entered():
            self._server = http.server.ThreadingHTTPServer(
                ("127.0.0.1", self._number), self._handler()
            )
        self._number = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,)).start()

    def stop(self) -> None:
        """Stop it; nothing if that was done."""
        self.resume()
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def pause(self) -> None:
        """Have it hang."""
        self._go.clear()

    def resume(self) -> None:
        """Have it go on."""
        self._go.set()

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        agent = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *words: object) -> None:
                """Say nothing on standard error."""

            def handle_one_request(self) -> None:
                try:
                    super().handle_one_request()
                except ConnectionError:  # a caller whose time was over
                    self.close_connection = True

            def do_GET(self) -> None:
                self._answer(*agent._told(self.path))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(*agent._added(self.path, body))

            def do_DELETE(self) -> None:
                self._answer(*agent._deleted(self.path))

            def _answer(self, status: int, said: Any) -> None:
                agent._go.wait()
                body = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler

    def _told(self, path: str) -> tuple[int, Any]:
        found = _PORT.fullmatch(path)
        port = self.ports.get(found[1]) if found else None
        return (200, port) if port else (404, {"error": "no such port"})

    def _added(self, path: str, body: bytes) -> tuple[int, Any]:
        if not self._go.is_set():
            return 503, {}
        self.calls.append(f"POST {path}")
        if self.refusal:
            return self.refusal
        try:
            port = json.loads(body)
        except ValueError as error:
            return 400, {"error": str(error)}
        lacking = _NEEDED - port.keys()
        if path != "/port" or lacking:
            return 400, {"error": f"{path} lacks {sorted(lacking)}"}
        self.ports[port["id"]] = port
        return 200, {}

    def _deleted(self, path: str) -> tuple[int, Any]:
        if not self._go.is_set():
            return 503, {}
        self.calls.append(f"DELETE {path}")
        if self.refusal:
            return self.refusal
        found = _PORT.fullmatch(path)
        if not found or found[1] not in self.ports:
            return 404, {"error": "no such port"}
        del self.ports[found[1]]
        return 200, {}
