# SPDX-License-Identifier: Apache-2.0
"""Devices that are a VIF's by their names, as Nova, os-vif and libvirt make them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import derived_name
from vifplug.parts import CORE, Part

Kinds = Sequence[type[Part]]
"""Kinds of part, in the order in which they are un-made."""


def with_core(kinds: Kinds) -> Kinds:
    """Return kinds of part and the core's: a VIF that moves may have devices of these too.

    The core's come first. A bridge must go before its uplink, a VLAN device, which a plugin may
    know without knowing bridges.
    """
    return (*(kind for kind in CORE if kind not in kinds), *kinds)


def named_after(vif_id: str, host: Host, kinds: Kinds) -> dict[str, Link]:
    """Return the devices that are a VIF's by name and kind, and that bear no mark."""
    host.expect(derived_name(prefix, vif_id) for kind in kinds for prefix in kind.derived)
    found = {}
    for kind in kinds:
        for prefix in kind.derived:
            name = derived_name(prefix, vif_id)
            link = host.link(name)
            if link and is_named_after(name, link, vif_id, kinds):
                found[name] = link
    if found and _has_namesake(vif_id, found, host):
        return {}
    return found


def is_named_after(name: str, link: Link, vif_id: str, kinds: Kinds) -> bool:
    """Whether a device is a VIF's by its name and kind, and bears no mark."""
    if link.marks or link.shared_marks:
        return False
    return any(
        link.kind == kernel_kind and name == derived_name(prefix, vif_id)
        for kind in kinds
        for prefix, kernel_kind in kind.derived.items()
    )


def _has_namesake(vif_id: str, found: dict[str, Link], host: Host) -> bool:
    """Whether another VIF of this host may have the same names: they are cut to 14 characters.

    It has a claim, or the device is a port of its bridge.
    """
    masters = (host.link(link.master) for link in found.values() if link.master)
    marks = (mark for master in masters if master for mark in master.marks)
    return bool(host.namesakes(vif_id)) or any(mark.vif_id != vif_id for mark in marks)
