# SPDX-License-Identifier: Apache-2.0
"""Where an OVSDB server listens, as ovsdb-server(1) and the configuration write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

ALLOWED = "unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT"
_ADDRESS = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<host>[^\[\]:\s]+)):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server's socket or address."""

    text: str
    kind: str
    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Return the endpoint that a text names. Raises ValueError, which says what is allowed."""
        kind, _, rest = text.partition(":")
        if kind == "unix" and rest.startswith("/") and "\0" not in rest and len(rest) < 108:
            return cls(text=text, kind=kind, path=rest)
        address = _ADDRESS.fullmatch(rest)
        if kind not in ("tcp", "ssl") or not address or not 0 < int(address["port"]) < 65536:
            raise ValueError(f"{text!r} is no endpoint; allowed: {ALLOWED}")
        host = address["six"] or address["host"]
        return cls(text=text, kind=kind, host=host, port=int(address["port"]))


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Files of a TLS connection: our private key and certificate, and the CA that we trust."""

    private_key: str | None = None
    certificate: str | None = None
    ca_certificate: str | None = None
