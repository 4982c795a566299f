# SPDX-License-Identifier: Apache-2.0
"""Ports that os-vif, Nova or libvirt left, and that nothing uses: told by exact shapes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vifplug.fields import UUID
from vifplug.model.host import Host
from vifplug.model.mark import derived_name
from vifplug.switch import Trace
from vifplug_ovs.index import IFACE_ID
from vifplug_ovs.names import INTEGRATION_PATCH, VHOST_USER

if TYPE_CHECKING:
    from vifplug_ovs.snapshot import Ovs, OvsPort

_PATCH = "patch"


def left(ovs: Ovs, host: Host) -> Iterator[Trace]:
    """Yield the ports without a mark whose guest is gone, as far as database and kernel tell.

    An id of which one port has another shape is left out: it may be Neutron's own.
    """
    ids = {port.external_ids.get(IFACE_ID, "") for _, _, port in ovs.ports()}
    ours = frozenset(ovs.ours())
    for vif_id in sorted(ids - ours):
        if not UUID.pattern.fullmatch(vif_id) or ovs.other_holder(vif_id, vif_id):
            continue
        ports = ovs.bearing(vif_id)
        if all(_is_left(vif_id, name, port, ovs, host) for name, (_, port) in ports.items()):
            for name, (bridge, port) in ports.items():
                every = {name: port, **(_on_own_bridge(vif_id, ovs) if port.type == _PATCH else {})}
                yield Trace(
                    vif_id=vif_id,
                    bridge=bridge,
                    devices=tuple(each for each, one in every.items() if one.type == ""),
                    ports=tuple(each for each, one in every.items() if one.type != ""),
                    address=port.external_ids.get("attached-mac"),
                    instance=port.instance,
                )


def _on_own_bridge(vif_id: str, ovs: Ovs) -> dict[str, OvsPort]:
    """Return the ports of a VIF's own bridge, if it has one, without the bridge's device.

    A switch in user space holds that device, as a guest holds its tap.
    """
    own = ovs.own_bridge(vif_id)
    ports = ovs.bridges[own].ports if own else {}
    return {name: port for name, port in ports.items() if name != own}


def _is_left(vif_id: str, name: str, port: OvsPort, ovs: Ovs, host: Host) -> bool:
    if port.marks or port.instance is None or "attached-mac" not in port.external_ids:
        return False
    link = host.link(name)
    if name == derived_name("tap", vif_id) and port.type == "":
        return bool(port.error) if link is None else link.kind == "tap" and not link.carrier
    if name == derived_name("qvo", vif_id) and port.type == "":
        return bool(port.error) if link is None else link.kind == "veth"
    if name == derived_name(VHOST_USER, vif_id) and port.vhost_user:
        return port.link_state != "up"
    if name == derived_name(INTEGRATION_PATCH, vif_id) and port.type == _PATCH:
        own = ovs.own_bridge(vif_id)
        tap = host.link(derived_name("tap", vif_id))
        own_is_theirs = own is None or not ovs.bridges[own].marks
        return own_is_theirs and not (tap and tap.carrier)
    return False
