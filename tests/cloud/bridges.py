# SPDX-License-Identifier: Apache-2.0
"""A compute host with the linuxbridge and the macvtap agent of the last Neutron that has them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cloud.agents import Host, start_bus
from tests.cloud.neutrons import Neutron, Programs, made, write_conf
from vifplug.testing import IndexRange, NetworkNamespace, OpenVSwitch, veth

LINUXBRIDGE, MACVTAP = "linuxbridge-agent", "macvtap-agent"
_MAPPED = {LINUXBRIDGE: "physnet1:uplink", MACVTAP: "flat1:uplink2"}
_SECTIONS = {LINUXBRIDGE: "linux_bridge", MACVTAP: "macvtap"}
_FIREWALLS = {LINUXBRIDGE: "iptables", MACVTAP: "noop"}


@dataclass
class BridgeCloud:
    """A Neutron, and a host with both agents; the far side has the other ends of the uplinks."""

    neutron: Neutron
    host: Host
    conf: Path
    bridged: dict[str, Any]
    direct: dict[str, Any]

    def start_agent(self, name: str) -> None:
        """Start an agent and wait until Neutron knows that it is alive."""
        programs = self.neutron.programs
        own = self.conf.with_name(f"{name}.conf")
        mapped = f"physical_interface_mappings = {_MAPPED[name]}"
        firewall = f"firewall_driver = {_FIREWALLS[name]}"
        own.write_text(f"[{_SECTIONS[name]}]\n{mapped}\n[securitygroup]\n{firewall}\n")
        programs.start_agent(name, self.conf, own, at=self.host.namespace, sysfs=True,
                             env={"KEEP_HELPERS": "1"})  # fmt: skip

        def knows() -> bool:
            agents = self.neutron.call("GET", "/agents")["agents"]
            return any(one["binary"] == f"neutron-{name}" for one in agents)

        programs.wait_for(name, knows)


@contextlib.contextmanager
def bridge_cloud() -> Iterator[BridgeCloud]:
    """Have a Neutron with both agents for the length of a block."""
    packages = made("25")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neutron-")))
        indexes = stack.enter_context(IndexRange())
        namespace = stack.enter_context(NetworkNamespace(name="host1", ifindex_from=indexes.first))
        far = stack.enter_context(NetworkNamespace(name="far"))
        for uplink in ("uplink", "uplink2"):
            veth(namespace, uplink, far, f"far-{uplink}")
        ovs = stack.enter_context(OpenVSwitch(namespace))
        programs = Programs("25", packages, folder)
        stack.callback(programs.end_all)
        start_bus(programs, namespace)
        conf = write_conf(
            programs, "neutron.conf",
            "[experimental]", "linuxbridge = true", "[vxlan]", "enable_vxlan = false",
            "[ml2_type_flat]", "flat_networks = physnet1,flat1",
            drivers="linuxbridge,macvtap", tenant="flat", types="flat", firewall="iptables",
        )  # fmt: skip
        neutron = Neutron(programs, namespace)
        found = BridgeCloud(neutron, Host.of(namespace, ovs, folder), conf, {}, {})
        neutron.start(conf)
        for agent in (LINUXBRIDGE, MACVTAP):
            found.start_agent(agent)
        flat = {"provider:network_type": "flat"}
        found.bridged = neutron.network(
            "bridged", "10.7.0.0/24", **flat, **{"provider:physical_network": "physnet1"}
        )
        found.direct = neutron.network(
            "direct", "10.8.0.0/24", **flat, **{"provider:physical_network": "flat1"}
        )
        yield found
