# SPDX-License-Identifier: Apache-2.0
"""Which ports and claims of Open vSwitch are whose: by the VIF, or by an interface id. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from vifplug.model.mark import Mark, derived_name
from vifplug_ovs.names import VHOST_USER

if TYPE_CHECKING:
    from vifplug_ovs.snapshot import OvsBridge, OvsPort

MARK, VIF_ID = "vifplug", "vifplug-id"
"""The keys in the external_ids of our rows: the mark, and the id by which a VIF's are found."""

IFACE_ID = "iface-id"


def interface_id_in(claim: Mark) -> str:
    """Return the interface id that a claim on a bridge notes."""
    return ".".join(claim.data) or claim.vif_id


def _names_of(vif_id: str) -> tuple[str, ...]:
    return tuple(derived_name(prefix, vif_id) for prefix in ("tap", "qvo", VHOST_USER))


class Index:
    """The ports and claims of each VIF: a batch need not go over all ports for each of its VIFs."""

    def __init__(self, bridges: Mapping[str, OvsBridge]) -> None:
        self.marked: dict[str, dict[str, tuple[str, OvsPort]]] = {}
        self.bearing: dict[str, dict[str, tuple[str, OvsPort]]] = {}
        self.claims: dict[str, dict[tuple[str, Mark], None]] = {}
        self.noted: dict[str, dict[tuple[str, Mark], None]] = {}
        for name, bridge in bridges.items():
            self.put_bridge(name, None, bridge)

    def put_bridge(self, name: str, before: OvsBridge | None, after: OvsBridge | None) -> None:
        """Replace a bridge with all that is on it."""
        for port_name, port in before.ports.items() if before else ():
            self.put_port(name, port_name, port, None)
        for claim in before.claimed if before else ():
            self.put_claim(name, claim, False)
        for port_name, port in after.ports.items() if after else ():
            self.put_port(name, port_name, None, port)
        for claim in after.claimed if after else ():
            self.put_claim(name, claim, True)

    def put_port(
        self, bridge: str, name: str, before: OvsPort | None, after: OvsPort | None
    ) -> None:
        """Replace a port of a bridge."""
        if before:
            self.marked.get(before.marks.get(VIF_ID, ""), {}).pop(name, None)
            self.bearing.get(before.external_ids.get(IFACE_ID, ""), {}).pop(name, None)
        if after and VIF_ID in after.marks:
            self.marked.setdefault(after.marks[VIF_ID], {})[name] = bridge, after
        if after and IFACE_ID in after.external_ids:
            self.bearing.setdefault(after.external_ids[IFACE_ID], {})[name] = bridge, after

    def put_claim(self, bridge: str, claim: Mark, there: bool) -> None:
        """Note a claim on a bridge as there, or as gone."""
        noted = self.noted.setdefault(interface_id_in(claim), {})
        for claims in (self.claims.setdefault(claim.vif_id, {}), noted):
            if there:
                claims[bridge, claim] = None
            else:
                claims.pop((bridge, claim), None)

    def other_holder(self, interface_id: str, vif_id: str) -> str | None:
        """Return the other VIF of which a claim, or else a marked port, notes an interface id.

        Else it is the id of the VIF whose port another program made, unless that is named after
        this VIF.
        """
        holder = self._noted_by(interface_id)
        ports = self.bearing.get(interface_id, {})
        if holder is None and any(name not in _names_of(vif_id) for name in ports):
            holder = interface_id
        return None if holder == vif_id else holder

    def _noted_by(self, interface_id: str) -> str | None:
        """Return the VIF of which a claim, or else a marked port, notes an interface id."""
        for _, claim in self.noted.get(interface_id, ()):
            return claim.vif_id
        ports = self.bearing.get(interface_id, {}).values()
        return next((port.marks[VIF_ID] for _, port in ports if VIF_ID in port.marks), None)
