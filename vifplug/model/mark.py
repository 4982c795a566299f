# SPDX-License-Identifier: Apache-2.0
"""Who made a device, and who uses a shared one: marks and claims, as text and as values. Pure.

A mark is an alternative interface name (ip-link(8), Linux >= 5.5, at most 127 characters). The
kernel keeps it unique in a network namespace:

    vifplug:<vif id>:<process>:<role>:<vif_type>          this VIF's device, which we made
    vifplug:shared::<role>:<device>                       a shared device, which we made or changed
    vifplug:claims:<token>                                a shared device that VIFs claim

A claim says that a VIF uses a shared device, or a bridge of a switch. Claims are never alternative
names: one device may have thousands of users, and the C library can't read a device that has many
names. They are files (``vifplug.kernel.claims``):

    vifplug:<vif id>:<process>:uses-<role>:<vif_type>     a claim
    vifplug:<vif id>:<process>:uses-<role>.<a>.<b>:<...>  a claim with values that unplug gives back

``process`` is empty for a vif_type that has only one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

PREFIX = "vifplug:"
SHARED = "shared"
UPLINK, VLAN_DEVICE = "uplink", "vlan"
"""Roles in the marks of shared devices."""

CLAIMS = "vifplug:claims:"
"""How the alternative name begins that leads from a shared device to its claims."""

_USES = "uses-"


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One VIF's mark, or its claim on a shared device."""

    vif_id: str
    process: str
    role: str
    vif_type: str
    claim: bool = False
    data: tuple[str, ...] = ()

    def __str__(self) -> str:
        role = ".".join((self.role, *self.data))
        return _text(self.vif_id, self.process, f"{_USES}{role}" if self.claim else role,
                     self.vif_type)  # fmt: skip

    @classmethod
    def parse(cls, text: str) -> Mark | None:
        """Return the mark or claim that a text is; None for a shared mark or a stranger's text."""
        if not text.startswith(PREFIX):
            return None
        words = text.split(":")
        if len(words) != 5 or words[1] == SHARED:
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
class SharedMark:
    """The mark of a shared device that some plug made or changed; ``of`` names what it is for."""

    role: str
    of: str

    @classmethod
    def parse(cls, altname: str) -> SharedMark | None:
        """Return the shared mark that an alternative name is, or None."""
        words = altname.split(":")
        if len(words) != 5 or words[:3] != ["vifplug", SHARED, ""]:
            return None
        return cls(role=words[3], of=words[4])


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The VIF for which parts are made; gives them their marks."""

    vif_id: str
    vif_type: str
    process: str = ""

    def mark(self, role: str) -> str:
        """Return the mark of a device that only this VIF uses."""
        return _text(self.vif_id, self.process, role, self.vif_type)

    def claim(self, role: str, *data: str) -> str:
        """Return this VIF's claim on a shared device, with values for the unplug."""
        return self.mark(_USES + ".".join((role, *data)))


def _text(vif_id: str, process: str, role: str, vif_type: str) -> str:
    return f"{PREFIX}{vif_id}:{process}:{role}:{vif_type}"


def shared_mark(role: str, device: str) -> str:
    """Return the mark of a shared device that some plug made."""
    return f"{PREFIX}{SHARED}::{role}:{device}"


def token_in(altnames: Iterable[str]) -> str | None:
    """Return the token of the claims on a device that has these names, if it has one."""
    for name in altnames:
        token = name.removeprefix(CLAIMS)
        if token != name and is_token(token):
            return token
    return None


def is_token(text: str, switch: str | None = None) -> bool:
    """Whether a text is the token of a device, or of a bridge of a switch.

    ``switch`` is the key of the switch's snapshot. With "", those of all switches are meant.
    Nothing else becomes the name of a claims' folder.
    """
    found = _TOKEN.fullmatch(text)
    if found is None or switch is None:
        return found is not None and found["switch"] is None
    return bool(found["switch"]) and switch in ("", found["switch"])


_TOKEN = re.compile(r"[0-9a-f]{1,64}|(?P<switch>[a-z][a-z0-9_]{0,31})-[0-9a-f-]{1,100}")


def derived_name(prefix: str, vif_id: str) -> str:
    """Return the device name that Neutron's agents look for: prefix and id, cut to 14."""
    return (prefix + vif_id)[:14]


def is_namesake(other: str, vif_id: str) -> bool:
    """Whether another VIF's id gives its devices the same names as this one's."""
    return other != vif_id and other[:_CUT] == vif_id[:_CUT]


PREFIXES = ("tap", "qbr", "qvb", "qvo")
"""The prefixes of derived names that devices of the kernel have."""

_CUT = 11
"""Characters of an id in a derived name: the prefix has three."""


def is_derived(name: str, vif_id: str) -> bool:
    """Whether a name is derived from the id of this VIF."""
    start = _start_of_id(name)
    return start is not None and vif_id.startswith(start)


def is_anothers_name(name: str, vif_id: str) -> bool:
    """Whether a name is derived from the id of another VIF than this one.

    Neutron derives the names of its Linux bridges (brq) from the ids of networks.
    """
    start = _start_of_id(name)
    return start is not None and not vif_id.startswith(start)


def _start_of_id(name: str) -> str | None:
    """Return the part of a VIF's id that a derived name has; None for any other name."""
    found = _DERIVED.fullmatch(name) if len(name) == 14 else None
    return found["id"] if found else None


_DERIVED = re.compile(r"(?!brq)[a-z]{2,5}?(?P<id>[0-9a-f]{8}-[0-9a-f]{0,4})")
