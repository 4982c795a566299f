# SPDX-License-Identifier: Apache-2.0
"""The ports of Open vSwitch as a picture of the host shows them. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vifplug.switch import SwitchPort

if TYPE_CHECKING:
    from vifplug_ovs.snapshot import Ovs, OvsPort


def all_ports(ovs: Ovs) -> Iterator[SwitchPort]:
    """Yield the ports of all bridges, and each bridge's own."""
    for bridge in ovs.bridges:
        yield SwitchPort(bridge=bridge, name=bridge)
    for bridge, name, port in ovs.ports():
        if name != bridge:
            yield _switch_port(bridge, name, port)


def _switch_port(bridge: str, name: str, port: OvsPort) -> SwitchPort:
    """Return a port as a picture shows it. A tunnel names its other end."""
    remote = port.options.get("remote_ip")
    found = {
        "type": port.type,
        "VLAN": "" if port.tag is None else str(port.tag),
        "to": remote or "",
        "error": port.error or "",
    }
    return SwitchPort(
        bridge=bridge,
        name=name,
        kind=port.type or "port",
        peer=port.options.get("peer") if port.type == "patch" else None,
        out=bool(remote) or port.type == "dpdk",
        words=tuple(f"{word} {value}" for word, value in found.items() if value),
    )
