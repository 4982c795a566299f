# SPDX-License-Identifier: Apache-2.0
"""A guest that is a network namespace: its NIC is joined to the guest's end of a tap."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence

from vifplug.testing import NetworkNamespace, TapEnd
from vifplug.testing.fixture import PlainFixture

NIC = "eth0"
_PAUSE = 0.1


class GuestNamespace(PlainFixture):
    """A guest with addresses and gateways, whose NIC is behind a tap of a host's."""

    def __init__(
        self,
        host: NetworkNamespace,
        tap: str,
        mac: str,
        addresses: Sequence[str],
        gateways: Sequence[str],
    ) -> None:
        super().__init__()
        self._host, self._tap, self._mac = host, tap, mac
        self._addresses, self._gateways = addresses, gateways
        self.namespace = NetworkNamespace(name=f"the guest of {tap}")

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        inside = self.useFixture(self.namespace)
        inside.ip("tuntap", "add", NIC, "mode", "tap")
        inside.ip("link", "set", NIC, "address", self._mac, "up")
        ends = (
            self.useFixture(TapEnd(self._host, self._tap)),
            self.useFixture(TapEnd(inside, NIC)),
        )
        ended = threading.Event()
        for source, target in (ends, ends[::-1]):
            thread = threading.Thread(target=_pass, args=(source, target, ended))
            thread.start()
            self.addCleanup(thread.join)
        self.addCleanup(ended.set)
        for address in self._addresses:
            self.add(address)
        for gateway in self._gateways:
            inside.ip("route", "add", "default", "via", gateway, "dev", NIC)

    def add(self, address: str) -> None:
        """Give the guest another address."""
        self.namespace.ip(
            "addr", "add", address, "dev", NIC, *(["nodad"] if ":" in address else [])
        )

    def pings(self, address: str, *words: str) -> bool:
        """Whether an address answers the guest."""
        return pings(self.namespace, address, *words)


def pings(namespace: NetworkNamespace, address: str, *words: str) -> bool:
    """Whether an address answers, at least once in some seconds."""
    command = ("ping", "-n", "-c", "1", "-w", "15", *words, address)
    return namespace.run(*command, check=False).returncode == 0


def _pass(source: TapEnd, target: TapEnd, ended: threading.Event) -> None:
    while not ended.is_set():
        with contextlib.suppress(TimeoutError, OSError):
            target.send(source.receive(_PAUSE))
