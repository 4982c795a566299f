# SPDX-License-Identifier: Apache-2.0
"""vif_type 802.1qbg: a macvtap that lldpad associates with the switch. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from vifplug.fields import BOOLEAN, declared
from vifplug.guest.interface import VirtualPort
from vifplug.model.host import Host
from vifplug.model.use import Uses
from vifplug.model.vif import VIF
from vifplug.plugin import Check
from vifplug.wiring import Wiring
from vifplug_vepa.direct import (
    MACVTAP,
    MADE_VLAN,
    MODE,
    DirectPlugin,
    macvtap,
    source_of,
    trusts,
)
from vifplug_vepa.parts import Edge
from vifplug_vepa.snapshot import Lldpad


@dataclass(frozen=True, kw_only=True)
class QbgDetails:
    """The details of vif_type 802.1qbg; the standard's own mode is vepa."""

    macvtap_mode: str = declared(MODE, default="vepa")
    trusted: bool | None = declared(BOOLEAN, default=None)


class QbgPlugin(DirectPlugin):
    """vif_type ``802.1qbg``: a macvtap that lldpad associates with a port of the switch."""

    details = QbgDetails
    vnic_types = ("normal", "macvtap")
    required = (
        "network.interface",
        "manager_id",
        "type_id",
        "type_id_version",
        "instance_id",
    )
    uses: ClassVar[Mapping[str, Uses]] = {
        "": (*MACVTAP, *MADE_VLAN, *required, "details.macvtap_mode", "details.trusted")
    }
    switch = "reader"
    snapshot = Lldpad

    def wire(self, vif: VIF, host: Host) -> Wiring:
        details = self.details_of(vif)
        mode, trusted = details.macvtap_mode, trusts(vif, details.trusted)
        assert vif.network.interface is not None  # noqa: S101 - required
        uplink = vif.network.interface
        source, below = source_of(vif, host, uplink)
        edge = Edge(device=_card(uplink, host), source=source if not below else uplink)
        parameters = {
            "managerid": vif.manager_id,
            "typeid": vif.type_id,
            "typeidversion": vif.type_id_version,
            "instanceid": vif.instance_id,
        }
        port = VirtualPort(
            type="802.1Qbg",
            parameters=tuple((name, str(value)) for name, value in parameters.items()),
        )
        parts = (edge, *below)
        return macvtap(vif, host, source, mode, parts, port=port, trusted=trusted)

    def doctor(self, host: Host) -> Iterable[Check]:
        lldpad = host.switch(Lldpad)
        # Always ok, because a host without lldpad, or a card on an ordinary switch, is no fault.
        cards = [name for name, link in host.links.items() if link.kind == "physical" and link.up]
        for device in cards or ["lo"]:
            edge = lldpad.edges.get(device) if lldpad else None
            why = edge.why if edge else "lldpad was not asked"
            if why.startswith("no lldpad"):
                yield Check(check="802.1Qbg", ok=True, detail=why)
                return
            detail = "EVB with reflective relay" if edge and edge.evb else why
            yield Check(check=f"802.1Qbg on {device}", ok=True, detail=detail)


def _card(device: str, host: Host) -> str:
    """Return the network card below a device, through any VLAN devices: lldpad speaks there."""
    seen: set[str] = set()
    while (link := host.link(device)) and link.kind == "vlan" and link.lower:
        if device in seen:
            break
        seen.add(device)
        device = link.lower
    return device
