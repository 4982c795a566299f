# SPDX-License-Identifier: Apache-2.0
"""A connection to an OVSDB server: JSON-RPC requests and their answers, each within a deadline.

Source: RFC 7047, and ovsdb-server(7) for the server's extensions. This is plain I/O: the callers
know what transactions hold.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any

from vifplug.errors import NO_VIF, OVSDBError
from vifplug_ovs.ovsdb.endpoint import Endpoint, Keys
from vifplug_ovs.ovsdb.requests import Request

DATABASE = "Open_vSwitch"

PATIENCE = 3.0

_PAUSE = 0.02
_MOMENT = 0.001
_RECEIVE = 1 << 16
_MOST = 1 << 28


class Lost(ConnectionError):
    """The server went away with a request that it has not answered."""


class Unanswered(TimeoutError):
    """The server has not answered a request in time; it may yet."""


class Connection:
    """One connection to one server. Not for two threads at a time."""

    def __init__(
        self,
        endpoint: str,
        *,
        deadline: float,
        keys: Keys | None = None,
        patience: float = PATIENCE,
    ) -> None:
        """Connect; ``deadline`` is absolute CLOCK_MONOTONIC.

        ``patience`` are the seconds in which a server that is being restarted may come back.
        Raises OVSDBError, PermissionError.
        """
        self.endpoint = endpoint
        self._numbers = itertools.count(1)
        self._decoder = json.JSONDecoder()
        self._bytes = bytearray()
        self._buffer = memoryview(bytearray(_RECEIVE))
        self._answers: dict[int, Any] = {}
        self.pending: set[int] = set()
        self.notices: list[Any] = []
        self.heard = 0.0
        self._socket = _connected(endpoint, keys or Keys(), deadline, patience)

    def close(self) -> None:
        """Close the connection. The server may still carry out a request that was sent."""
        self._socket.close()

    @property
    def usable(self) -> bool:
        """Whether it is open at both ends, and owes no answer."""
        if self.pending or self._socket.fileno() < 0:
            return False
        self._socket.settimeout(0)
        try:
            return bool(self._socket.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    def echo(self, *, deadline: float) -> None:
        """Have the server show that it is alive. Raises Unanswered, Lost."""
        self.call("echo", [], deadline=deadline)

    def transact(
        self,
        operations: Sequence[Request],
        *,
        deadline: float,
        meanwhile: Callable[[], object] | None = None,
    ) -> list[Any]:
        """Do operations in one transaction; return their results, of which one may be an error.

        ``meanwhile`` is called while the server works. Raises OVSDBError, Unanswered, Lost.
        """
        number = self.send("transact", [DATABASE, *operations], deadline=deadline)
        if meanwhile:
            meanwhile()
        return self._results(self.receive(number, deadline=deadline))

    def call(self, method: str, params: list[Any], *, deadline: float) -> Any:
        """Make a request; return its result. Raises OVSDBError, Unanswered, Lost."""
        return self.receive(self.send(method, params, deadline=deadline), deadline=deadline)

    def send(self, method: str, *params: list[Any], deadline: float) -> int:
        """Send a request, or several of one method in one go; return the first's number.

        Raises Lost: then the server has nothing whole of the last one.
        """
        numbers = [next(self._numbers) for _ in params]
        requests = [
            json.dumps({"id": number, "method": method, "params": values})
            for number, values in zip(numbers, params, strict=True)
        ]
        self._send("".join(requests), deadline)
        self.pending.update(numbers)
        return numbers[0]

    def receive(self, number: int, *, deadline: float) -> Any:
        """Return a request's result. Raises OVSDBError, Unanswered, Lost."""
        while number not in self._answers:
            self._receive(deadline)
        answer = self._answers.pop(number)
        self.pending.discard(number)
        if answer.get("error") is not None:
            raise OVSDBError(NO_VIF, self.endpoint, _said(answer["error"]))
        return answer.get("result")

    def fileno(self) -> int:
        """Return the descriptor that is readable when the server has sent something."""
        return self._socket.fileno()

    def told(self) -> list[Any]:
        """Return the notifications that have come. Raises Lost, OVSDBError."""
        with contextlib.suppress(Unanswered):
            while True:  # a moment's wait, because TLS has other words for none
                self._receive(time.monotonic() + _MOMENT)
        notices, self.notices = self.notices, []
        return notices

    def answer(self, number: int) -> Any:
        """Return a request's result if it is there already; None otherwise, or for an error."""
        self.pending.discard(number)
        return self._answers.pop(number, {}).get("result")

    def _results(self, result: Any) -> list[Any]:
        if not isinstance(result, list):
            raise self._strange()
        return result

    def _send(self, text: str, deadline: float) -> None:
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._socket.sendall(text.encode())
        except OSError as error:
            self.close()  # the rest of the stream is lost
            raise Lost(str(error)) from error

    def _receive(self, deadline: float) -> None:
        # At least once, because an answer that came before the deadline may wait to be read.
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.0))
            size = self._socket.recv_into(self._buffer)
        except (TimeoutError, BlockingIOError):
            raise Unanswered("it has not answered in time") from None
        except OSError as error:
            raise Lost(error.strerror or str(error)) from error
        if not size:
            raise Lost("it closed the connection")
        data = self._buffer[:size]
        self.heard = time.monotonic()
        self._bytes += data
        if len(self._bytes) > _MOST:
            self.close()
            raise OVSDBError(NO_VIF, self.endpoint, f"its answer is larger than {_MOST >> 20} MiB")
        # Only after a brace, because each try parses a long answer from its start.
        if self._bytes.endswith((b"}", b"\n", b" ")):
            self._split(deadline)

    def _split(self, deadline: float) -> None:
        try:
            text = self._bytes.decode()
        except UnicodeDecodeError:
            raise self._strange() from None
        at = 0
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            try:
                message, at = self._decoder.raw_decode(text, at)
            except json.JSONDecodeError:
                if text[at] != "{":
                    raise self._strange() from None
                break  # the end of it is still to come
            self._take(message, deadline)
        self._bytes = bytearray(text[at:].encode())

    def _take(self, message: Any, deadline: float) -> None:
        if not isinstance(message, dict):
            raise self._strange()
        if message.get("method") == "echo":  # the server asks whether we are alive
            answer = {"id": message.get("id"), "result": message.get("params"), "error": None}
            self._send(json.dumps(answer), deadline)
        elif message.get("method") == "update2":  # what a monitor of ours has been told
            self.notices.append(message.get("params"))
        elif message.get("id") in self.pending:
            self._answers[message["id"]] = message

    def _strange(self) -> OVSDBError:
        self.close()
        return OVSDBError(NO_VIF, self.endpoint, "what answers there is no OVSDB")


def first_error(results: Sequence[Any]) -> tuple[int, str] | None:
    """Return the index of the request for which a transaction was refused, and the reason."""
    for place, result in enumerate(results):
        if isinstance(result, dict) and result.get("error") is not None:
            details = result.get("details")
            return place, f"{result['error']}: {details}" if details else str(result["error"])
    return None


def _said(error: Any) -> str:
    if isinstance(error, dict):
        return ": ".join(str(error[key]) for key in ("error", "details") if key in error)
    return str(error)


def _connected(text: str, keys: Keys, deadline: float, patience: float) -> socket.socket:
    try:
        endpoint = Endpoint.parse(text)
    except ValueError as error:
        raise OVSDBError(NO_VIF, text, str(error)) from None
    until = min(deadline, time.monotonic() + patience)
    while True:
        try:
            plain = _dial(endpoint, deadline)
            return _wrapped(plain, keys, deadline) if endpoint.kind == "ssl" else plain
        except PermissionError:
            raise
        except TimeoutError:
            raise OVSDBError(NO_VIF, text, "it did not take a connection in time") from None
        except (FileNotFoundError, ConnectionRefusedError) as error:
            if time.monotonic() + _PAUSE > until:
                why = f"{error.strerror}: is Open vSwitch running?"
                raise OVSDBError(NO_VIF, text, why) from error
            time.sleep(_PAUSE)
        except OSError as error:
            raise OVSDBError(NO_VIF, text, error.strerror or str(error)) from None


def _dial(endpoint: Endpoint, deadline: float) -> socket.socket:
    left = max(deadline - time.monotonic(), 0.001)
    if endpoint.kind != "unix":
        address = endpoint.host, endpoint.port
        remote = socket.create_connection(address, timeout=left)
        remote.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return remote
    local = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        local.settimeout(left)
        local.connect(endpoint.path)
    except BaseException:
        local.close()
        raise
    return local


def _wrapped(plain: socket.socket, keys: Keys, deadline: float) -> socket.socket:
    # OVS' certificates are for the database, not for a host's name (ovs-pki(8)).
    import ssl  # takes longer than all else here, and few hosts need it

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(keys.ca_certificate)
        if keys.certificate:
            context.load_cert_chain(keys.certificate, keys.private_key)
        plain.settimeout(max(deadline - time.monotonic(), 0.001))
        return context.wrap_socket(plain)
    except (OSError, TypeError) as error:
        plain.close()
        mend = "see ssl_ca_cert_file, ssl_cert_file and ssl_key_file"
        raise OSError(0, f"TLS: {error}; {mend}") from error
