# SPDX-License-Identifier: Apache-2.0
"""Reads the running host: its facts, its devices, and the switches of some plugins."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vifplug.errors import PLUGIN_ERRORS, shown
from vifplug.kernel import namespace
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.notes import NotesFolder
from vifplug.model.host import Host
from vifplug.model.snapshot import Snapshot, Unread
from vifplug.model.vif import VIF
from vifplug.query import facts, libvirt
from vifplug.query.cards import RunningFunctions
from vifplug.query.links import RunningLinks

LOG = logging.getLogger(__name__)

_FORGET = 10.0
"""Seconds after which the host's facts (libvirt's, the options') are looked up again."""

_OTHERS_WAIT = 1.0
"""Seconds that a switch may take to tell of VIFs of another plugin's types."""


@dataclass(frozen=True, kw_only=True)
class SwitchReader:
    """A switch to be read: the module that reads it, its key, the plugin's options, and the VIFs.

    ``vifs`` None stands for all that the switch has. ``own``: some VIF is of its plugin's types.
    ``alone``: all VIFs of the call are, so that no other VIF waits for this switch.
    """

    module: str
    key: str
    options: Mapping[str, Any]
    vifs: Sequence[VIF] | None
    own: bool = True
    alone: bool = False


class HostReader:
    """Reads the host of this network namespace. Its facts are kept for a while."""

    def __init__(self, group: Any, *, sysfs: Path, told: Callable[[], Mapping[str, Any]]) -> None:
        """``group`` are the options of ``[vifplug]``; facts that are ``told()`` replace others."""
        self._group, self._told = group, told
        self._functions = RunningFunctions(sysfs)  # it reads each when it is asked for
        self._facts: Host | None = None
        self._facts_until = 0.0

    def links(self) -> RunningLinks:
        """Return the devices of this network namespace, none of which is read yet."""
        return RunningLinks(ClaimsFolder(self._group.lock_path))

    def devices(self, *, batch: bool = False) -> Host:
        """Return the host's devices alone, without facts; in a ``batch`` all are read at once."""
        links = self.links()
        if batch:
            links.read_all()
        return Host(links=links)

    def read(
        self,
        *,
        batch: bool = False,
        names: Iterable[str] = (),
        told: Mapping[str, Any] | None = None,
        wait: float = libvirt.LIBVIRT_WAIT,
    ) -> Host:
        """Return the running host.

        ``batch`` reads all devices in one dump, else those of some ``names`` come in one go;
        ``wait`` is how many seconds libvirt may take to answer. Raises InvalidHost.
        """
        links = self.links()
        if batch:
            links.read_all()
        links.expect(names)
        return dataclasses.replace(self._known(told, wait), links=links, pci=self._functions)

    def _known(self, told: Mapping[str, Any] | None, wait: float) -> Host:
        if told:
            return facts.find(self._group, {**self._told(), **told}, wait=wait)
        if self._facts is None or time.monotonic() > self._facts_until:
            self._facts = facts.find(self._group, self._told(), wait=wait)
            self._facts_until = time.monotonic() + _FORGET
        return self._facts

    def fresh(self, host: Host) -> Host:
        """Return a host with its devices read again; what is known of switches is dropped."""
        return dataclasses.replace(host, links=self.links(), switches={})

    def with_switches(
        self, host: Host, readers: Iterable[SwitchReader], *, deadline: float
    ) -> Host:
        """Return the running host with the snapshots of some switches.

        A host that somebody has described is left as it is.
        """
        if not self.is_running(host):
            return host
        for reader in readers:
            if reader.vifs is not None and not reader.vifs:
                continue
            snapshot = _read(reader, host, _until(reader, deadline))
            if reader.key in host.switches:
                also = f"another plugin has a switch {reader.key!r} too: uninstall one of them"
                snapshot = Unread(reader.key, f"{reader.module}: {also}")
            if snapshot is not None:
                switches = {**host.switches, snapshot.key: snapshot}
                host = dataclasses.replace(host, switches=switches)
        return host

    @staticmethod
    def is_running(host: Host) -> bool:
        """Whether a host is the one that runs here, and none that somebody has described."""
        return isinstance(host.links, RunningLinks)

    @staticmethod
    def warn_of_claims(host: Host) -> None:
        """Log which claims could not be read so far, and why; each once for this host."""
        if isinstance(host.links, RunningLinks):
            for path, why in host.links.new_problems().items():
                LOG.warning("claims %s: %s", path, why)

    def left_over(self, vif_id: str, host: Host) -> bool:
        """Whether a VIF has a note, claims that can't be read, or claims on a lost device."""
        if not isinstance(host.links, RunningLinks):
            return False
        return host.links.left_over(vif_id) or self.notes().has(vif_id)

    def notes(self) -> NotesFolder:
        """Return the notes on the VIFs of this network namespace."""
        return NotesFolder(self._group.lock_path)

    def folder(self) -> Path:
        """Return the folder of this network namespace's locks."""
        return namespace.folder(self._group.lock_path)


def _until(reader: SwitchReader, deadline: float) -> float:
    """Return until when a switch is waited for: one that hangs leaves time for other VIFs."""
    if reader.alone:
        return deadline
    now = time.monotonic()
    half = (now + deadline) / 2
    return half if reader.own else min(half, now + _OTHERS_WAIT)


def _read(reader: SwitchReader, host: Host, deadline: float) -> Snapshot | None:
    """Return a switch's snapshot; one that stands for it where its plugin fails."""
    try:
        module = importlib.import_module(reader.module)
        snapshot = module.read(reader.options, reader.vifs, host, deadline=deadline)
        if snapshot is None:
            return None
        if isinstance(snapshot, Snapshot) and snapshot.key == reader.key:
            # Asked once here, because a snapshot that can't say what it has would fail every call.
            tuple(snapshot.planning().traces(reader.vifs[0].id if reader.vifs else None))
            return snapshot
        why = f"read() returned {shown(snapshot)}, not its snapshot {reader.key!r}"
    except PLUGIN_ERRORS as error:
        why = f"{type(error).__name__}: {error}"
    LOG.warning("the switch %s can't be read by %s: %s", reader.key, reader.module, why)
    return Unread(reader.key, f"{reader.module}: {why}")
