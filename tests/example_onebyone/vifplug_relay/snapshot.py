# SPDX-License-Identifier: Apache-2.0
"""What the switch has, and how its daemon is asked: one line of JSON each way, over a socket."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

from vifplug import VIF, Host
from vifplug.errors import NO_VIF, SwitchError
from vifplug.fields import LINE, UUID, WORD, Boolean, Choice, Record, Table, declared
from vifplug.switch import Snapshot, Trace

ATTACHED = ("tap", "socket")
"""How a port is attached: to a device of the kernel, or to a guest's vhost-user socket."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A port of the switch."""

    vif_id: str = declared(UUID)
    segment: str = declared(WORD)
    attached: str = declared(Choice(*ATTACHED), default="tap")


@dataclass(frozen=True, kw_only=True)
class Relay(Snapshot):
    """The switch's ports, by their names."""

    key: ClassVar[str] = "relay"
    ports: dict[str, Row] = declared(Table(Record(Row)), default_factory=dict)
    error: str | None = declared(LINE, default=None)
    absent: bool = declared(Boolean(), default=False)

    def planning(self) -> Relay:
        return replace(self, ports=dict(self.ports))

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterable[Trace]:
        for name, row in self.ports.items():
            if vif_id in (None, row.vif_id):
                trace = Trace(vif_id=row.vif_id, vif_type="relay", bridge=row.segment)
                if row.attached == "tap":
                    yield replace(trace, devices=(name,))
                else:
                    yield replace(trace, ports=(name,))


def ask(path: str, question: Mapping[str, Any], *, until: float) -> Any:
    """Return what the switch's daemon answers. Raises SwitchError."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, connection.makefile("rwb") as lines:
            connection.settimeout(max(until - time.monotonic(), 0.01))
            connection.connect(path)
            lines.write(json.dumps(question).encode() + b"\n")
            lines.flush()
            answer = json.loads(lines.readline())
    except (OSError, ValueError) as error:
        raise SwitchError(NO_VIF, path, str(error) or type(error).__name__) from error
    return answer


def load(path: str, *, until: float) -> Relay:
    """Return what the switch has. Raises SwitchError."""
    answer = ask(path, {"do": "list"}, until=until)
    return Relay.from_dict(answer, lambda *words: SwitchError(NO_VIF, path, " ".join(words)))


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Relay:
    """Return what the switch has. This module is the plugin's ``vifplug.switch.Reader``."""
    path = options["socket"]
    try:
        return load(path, until=deadline)
    except SwitchError as error:
        # A daemon that is down is an error: its ports outlive it. Its folder shows that it is here.
        return Relay(error=error.why, absent=not Path(path).parent.exists())
