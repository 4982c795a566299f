# SPDX-License-Identifier: Apache-2.0
"""What the switch's database has, and how it is read. The database is a JSON file."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from vifplug import VIF, Host
from vifplug.errors import NO_VIF, SwitchError
from vifplug.fields import BOOLEAN, LINE, UUID, WORD, Record, Table, declared
from vifplug.switch import Snapshot, Trace


class AcmeError(SwitchError):
    """The database can't be used. ``number`` is the system's errno; 0: it holds nonsense."""

    def __init__(self, vif_id: str, endpoint: str, why: str, number: int = 0) -> None:
        super().__init__(vif_id, endpoint, why, number)
        self.number = number


@dataclass(frozen=True, kw_only=True)
class Row:
    """A port of the switch. ``vif_type`` is empty where another program made it."""

    vif_id: str = declared(UUID)
    segment: str = declared(WORD)
    vif_type: str = declared(WORD, default="")


@dataclass(frozen=True, kw_only=True)
class Acme(Snapshot):
    """The switch's ports by their devices; and whether the host's devices answer ARP for others."""

    key: ClassVar[str] = "acme"
    ports: dict[str, Row] = declared(Table(Record(Row)), default_factory=dict)
    proxy_arp: dict[str, bool] = declared(Table(BOOLEAN), default_factory=dict)
    error: str | None = declared(LINE, default=None)
    absent: bool = declared(BOOLEAN, default=False)

    def planning(self) -> Acme:
        return replace(self, ports=dict(self.ports), proxy_arp=dict(self.proxy_arp))

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterable[Trace]:
        for device, row in self.ports.items():
            owner, kind = row.vif_id, row.vif_type
            if owner == vif_id or (vif_id is None and kind):
                yield Trace(vif_id=owner, vif_type=kind, bridge=row.segment, devices=(device,))


def load(path: str) -> Acme:
    """Return what the database has. Raises AcmeError."""
    try:
        data = json.loads(Path(path).read_text())
    except OSError as error:
        raise AcmeError(NO_VIF, path, str(error.strerror), error.errno or 0) from error
    except ValueError as error:
        raise AcmeError(NO_VIF, path, str(error)) from error
    found = Acme.from_dict(data, lambda *words: AcmeError(NO_VIF, path, " ".join(words)))
    settings = Path("/proc/sys/net/ipv4/conf").glob("*/proxy_arp")
    return replace(found, proxy_arp={s.parent.name: s.read_text() == "1\n" for s in settings})


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Acme:
    """Return what the switch has. This module is the plugin's ``vifplug.switch.Reader``."""
    try:
        return load(options["database"])
    except AcmeError as error:
        return Acme(error=error.why, absent=error.number == errno.ENOENT)


class AcmeWatch:
    """Hears of each new database by inotify(7): it is renamed into place."""

    def __init__(self, path: str) -> None:
        self._path, self._ports = path, load(path).ports
        libc = ctypes.CDLL(None)
        self._descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if libc.inotify_add_watch(self._descriptor, os.fsencode(Path(path).parent), 0x80) < 0:
            raise AcmeError(NO_VIF, path, "inotify can't watch its folder")

    def fileno(self) -> int:
        return self._descriptor

    def changed(self) -> set[str]:
        with contextlib.suppress(BlockingIOError):
            os.read(self._descriptor, 1 << 16)
        before, self._ports = self._ports, load(self._path).ports
        every = before.keys() | self._ports.keys()
        return {name for name in every if before.get(name) != self._ports.get(name)}

    def close(self) -> None:
        os.close(self._descriptor)


def watch(options: Mapping[str, Any], *, deadline: float) -> AcmeWatch:
    """Return what hears of changes of the switch."""
    return AcmeWatch(options["database"])
