# SPDX-License-Identifier: Apache-2.0
"""The daemon: its entrypoints, the switch, and how the operation of our own is performed."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vifplug import privileged
from vifplug.errors import NO_VIF, DeadlineExceeded
from vifplug.fields import dump
from vifplug.operations import SwitchOperation
from vifplug.switch import Departure, Switch, Wanted
from vifplug_acme.operations import AddPort, RemovePort, SetProxyArp
from vifplug_acme.parts import KINDS, removal
from vifplug_acme.plugin import GROUP, OPTS
from vifplug_acme.snapshot import Acme, load

context = privileged.Context(__name__)


class AcmeSwitch(Switch):
    """The switch for one call, until a deadline."""

    def __init__(self, deadline: float) -> None:
        cfg.CONF.register_opts(OPTS, group=GROUP)
        self._path, self._deadline = cfg.CONF[GROUP].database, deadline
        self._seen = Acme()

    def seek(self, wanted: Sequence[Wanted], *, meanwhile: Callable[[], object]) -> Acme:
        return load(self._path)

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[SwitchOperation]]:
        self._seen = load(self._path)
        return [removal(vif.vif_id, self._seen) for vif in vifs]

    def seen(self) -> Acme:
        return self._seen

    def send(self, groups: Sequence[Sequence[SwitchOperation]]) -> None:
        with Path(f"{self._path}.lock").open("w") as lock:
            self._wait_for(lock.fileno())
            ports = load(self._path).ports
            for operation in (each for group in groups for each in group):
                if isinstance(operation, AddPort):
                    ports[operation.device] = operation.row
                elif isinstance(operation, RemovePort):
                    ports.pop(operation.device, None)
            new = Path(f"{self._path}.new")
            new.write_text(json.dumps({"ports": {name: dump(row) for name, row in ports.items()}}))
            new.replace(self._path)

    def _wait_for(self, lock: int) -> None:
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > self._deadline:
                    raise DeadlineExceeded(NO_VIF, "acme's lock", "failed") from None
                time.sleep(0.005)

    def take_back(self, operation: SwitchOperation) -> None:
        self.send([[operation]])

    def close(self) -> None:
        """Between two changes, nothing is open."""


@context.entrypoint
def plug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Plug the VIFs of a request."""
    return privileged.plug(request, kinds=KINDS, switch=AcmeSwitch)


@context.entrypoint
def unplug(request: Mapping[str, Any]) -> list[privileged.Reply]:
    """Unplug the VIFs of a request."""
    return privileged.unplug(request, kinds=KINDS, switch=AcmeSwitch)


@privileged.perform.register
def _set_proxy_arp(operation: SetProxyArp, kernel: privileged.Kernel) -> None:
    kernel.required(operation.device)
    setting = Path("/proc/sys/net/ipv4/conf") / operation.device / "proxy_arp"
    setting.write_text(f"{int(operation.value)}\n")
