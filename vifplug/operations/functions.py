# SPDX-License-Identifier: Apache-2.0
"""Changes of a virtual function of a network card."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from vifplug.model.host import Host
from vifplug.model.link import Vf
from vifplug.operations.operation import WORDS, LinkOperation, Operation, in_words


@dataclass(frozen=True, kw_only=True)
class SetVf(LinkOperation):
    """Set one attribute of a virtual function through ``device``, its physical one.

    The attributes are those of ``vifplug.host.Vf``; that of vlan is a pair with qos.
    """

    vf: int
    attribute: str
    value: Any
    before: Any = None

    def __str__(self) -> str:
        return f"set {self.device} VF {self.vf} {self.words}"

    @property
    def words(self) -> str:
        """What is set, in words, as "VLAN 100"."""
        if self.attribute == "vlan":
            vlan, qos = self.value
            return f"VLAN {vlan or 'none'}" + (f" qos {qos}" if qos else "")
        return f"{WORDS.get(self.attribute, self.attribute)} {in_words(self.value)}"

    def foresee(self, host: Host) -> None:
        now = host.vf(self.device, self.vf) or Vf()
        host.planned_links.put_vf(self.device, self.vf, self.made_of(now))

    def made_of(self, vf: Vf) -> Vf:
        """Return the virtual function as this makes it."""
        if self.attribute == "vlan":
            vlan, qos = self.value
            return dataclasses.replace(vf, vlan=vlan, qos=qos)
        return dataclasses.replace(vf, **{self.attribute: self.value})

    def undo(self) -> Operation:
        return dataclasses.replace(self, value=self.before, before=self.value)


def set_vf(device: str, number: int, now: Vf, wanted: Vf) -> tuple[Operation, ...]:
    """Return what makes one of a virtual function the other; what is None stays as it is."""
    pairs = [
        ("address", now.address, wanted.address),
        ("vlan", (now.vlan, now.qos), (wanted.vlan, wanted.qos)),
        ("spoofchk", now.spoofchk, wanted.spoofchk),
        ("trust", now.trust, wanted.trust),
    ]
    return tuple(
        SetVf(device=device, vf=number, attribute=name, value=value, before=before)
        for name, before, value in pairs
        if value is not None and value != before
    )
