# SPDX-License-Identifier: Apache-2.0
"""Who made a part, and who uses a shared one: the names that the host itself keeps for us.

A mark or a claim is an alternative interface name (ip-link(8), Linux >= 5.5, at most 127
characters), unique in a network namespace by the kernel's own rule:

    vifplug:<vif id>:<process>:<role>:<vif_type>          a mark: this VIF's part, we made it
    vifplug:<vif id>:<process>:uses-<role>:<vif_type>     a claim: this VIF uses a shared part
    vifplug:<vif id>:<process>:uses-<role>.<a>.<b>:<...>  a claim with values that unplug needs
    vifplug:shared::<role>:<device>                       a mark: a shared part, we made it

``process`` is empty for a vif_type that has only one.
"""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "vifplug:"
SHARED = "shared"
_USES = "uses-"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One mark or claim, read from an alternative name."""

    vif_id: str
    process: str
    role: str
    vif_type: str
    claim: bool
    data: tuple[str, ...] = ()

    def __str__(self) -> str:
        uses = _USES if self.claim else ""
        role = ".".join((self.role, *self.data))
        return f"{PREFIX}{self.vif_id}:{self.process}:{uses}{role}:{self.vif_type}"

    @property
    def shared(self) -> bool:
        """Whether this marks a shared part; then ``vif_type`` holds the device's name."""
        return self.vif_id == SHARED

    @classmethod
    def parse(cls, altname: str) -> Mark | None:
        """Return the mark that an alternative name is, or None for a stranger's name."""
        if not altname.startswith(PREFIX):
            return None
        words = altname.split(":")
        if len(words) != 5:
            return None
        _, vif_id, process, role, vif_type = words
        claim = role.startswith(_USES)
        role, *data = role.removeprefix(_USES).split(".")
        return cls(
            vif_id=vif_id,
            process=process,
            role=role,
            vif_type=vif_type,
            claim=claim,
            data=tuple(data),
        )


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The VIF for which parts are made; gives them their marks."""

    vif_id: str
    vif_type: str
    process: str = ""

    def mark(self, role: str) -> str:
        """Return the mark of a part that only this VIF uses."""
        return str(self._mark(role, claim=False))

    def claim(self, role: str, *data: str) -> str:
        """Return this VIF's claim on a shared part, with values for whoever unplugs it."""
        return str(self._mark(role, *data, claim=True))

    def _mark(self, role: str, *data: str, claim: bool) -> Mark:
        return Mark(
            vif_id=self.vif_id,
            process=self.process,
            role=role,
            vif_type=self.vif_type,
            claim=claim,
            data=data,
        )


def shared_mark(role: str, device: str) -> str:
    """Return the mark of a shared part that some plug made."""
    return f"{PREFIX}{SHARED}::{role}:{device}"


def derived_name(prefix: str, vif_id: str) -> str:
    """Return the device name that Neutron's agents look for: prefix and id, cut to 14."""
    return (prefix + vif_id)[:14]


DERIVED: dict[str, str] = {"tap": "tap", "qbr": "bridge", "qvb": "veth", "qvo": "veth"}
"""The prefixes of derived names and the kind of device that bears them (Nova, os-vif, vifplug)."""
