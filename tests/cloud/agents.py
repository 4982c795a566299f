# SPDX-License-Identifier: Apache-2.0
"""A compute host with Neutron's Open vSwitch agent, and vifplug on it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cloud.neutrons import BUS_PORT, Neutron, Programs, eventually, made, write_conf
from vifplug.testing import NetworkNamespace, OpenVSwitch

_VIFPLUG = str(Path(sys.executable).with_name("vifplug"))
AGENT = "openvswitch-agent"
Done = subprocess.CompletedProcess[str]


@dataclass
class Host:
    """A host whose vifplug and Open vSwitch are in a namespace."""

    namespace: NetworkNamespace
    ovs: OpenVSwitch
    conf: Path

    @classmethod
    def of(cls, namespace: NetworkNamespace, ovs: OpenVSwitch, folder: Path, *more: str) -> Host:
        """Return a host with a configuration of vifplug in a folder."""
        conf = folder / "vifplug.conf"
        lines = ("[vifplug]", f"lock_path = {folder}/vifplug", "libvirt_version = 9.0.0",
                 "virt_type = qemu", "[vifplug_ovs]", f"ovsdb_connection = {ovs.endpoint}",
                 "datapath_type = netdev", *more)  # fmt: skip
        conf.write_text("".join(f"{line}\n" for line in lines))
        return cls(namespace, ovs, conf)

    def vifplug(self, command: str, *ports: dict[str, Any], source: str = "neutron",
                networks: tuple[dict[str, Any], ...] = ()) -> Done:  # fmt: skip
        """Run a command of vifplug on ports as Neutron's API shows them."""
        data = json.dumps({"ports": list(ports), "networks": list(networks)})
        words = (_VIFPLUG, "--config-file", str(self.conf), command, "--from", source)
        return self.namespace.run(*words, "-", "-f", "json", input=data, check=False, timeout=300)

    def done(self, command: str, *ports: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        """Run a command, which must succeed; return what it says of each VIF."""
        ran = self.vifplug(command, *ports, **more)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        found: list[dict[str, Any]] = json.loads(ran.stdout)
        return found

    def listed(self) -> dict[str, dict[str, Any]]:
        """Return what ``vifplug list`` says, by the VIF's id."""
        words = (_VIFPLUG, "--config-file", str(self.conf), "list", "-f", "json")
        found = json.loads(self.namespace.run(*words).stdout)
        return {one["id"]: one for one in found if one["id"]}

    def row(self, port: dict[str, Any], *, prefix: str = "tap") -> tuple[Any, Any, Any] | None:
        """Return tag, vlan_mode and trunks of a port of the switch; None if there is none."""
        name = f"{prefix}{port['id'][:11]}"
        for row in self.ovs.rows("Port"):
            if row["name"] == name:
                return row["tag"], row["vlan_mode"], row["trunks"]
        return None

    def devices(self) -> set[str]:
        """Return the names of the devices of the host, and of the ports of its switch."""
        links = {link["ifname"] for link in self.namespace.ip_json("link")}
        return links | {row["name"] for row in self.ovs.rows("Port")}


@dataclass
class AgentCloud:
    """A Neutron, and a host with its Open vSwitch agent and two networks."""

    neutron: Neutron
    host: Host
    agent_conf: Path
    one: dict[str, Any]
    two: dict[str, Any]
    firewall: str = ""

    def run_agent(self, firewall: str) -> None:
        """Have the agent run with a firewall; start it again only where it has another."""
        if self.firewall != firewall:
            self.kill_agent()
            self.start_agent(firewall=firewall)

    def start_agent(self, *, firewall: str = "openvswitch") -> None:
        """Start the agent with a firewall and wait until Neutron knows that it is alive."""
        programs = self.neutron.programs
        conf = self.agent_conf.with_name(f"firewall-{firewall}.conf")
        conf.write_text(f"[securitygroup]\nfirewall_driver = {firewall}\n")
        programs.said(AGENT).write_bytes(b"")
        # It also calls ovs-vsctl without a name of the database.
        env = self.host.ovs.environment
        programs.start_agent(AGENT, self.agent_conf, conf, at=self.host.namespace, env=env)
        said = programs.said(AGENT)
        programs.wait_for(AGENT, lambda: b"Agent initialized successfully" in said.read_bytes())
        path = "/agents?agent_type=Open%20vSwitch%20agent"

        def knows() -> bool:
            found = self.neutron.call("GET", path)["agents"]
            hybrid = firewall == "iptables_hybrid"
            return any(one["configurations"].get("ovs_hybrid_plug") is hybrid for one in found)

        programs.wait_for(AGENT, knows)
        self.firewall = firewall

    def kill_agent(self) -> None:
        """Kill the agent."""
        self.neutron.programs.kill(AGENT)

    @contextlib.contextmanager
    def agent_paused(self) -> Iterator[None]:
        """Have the agent do nothing for the length of a block."""
        self.neutron.programs.signal(AGENT, signal.SIGSTOP)
        try:
            yield
        finally:
            self.neutron.programs.signal(AGENT, signal.SIGCONT)

    @contextlib.contextmanager
    def plugged(self, *ports: dict[str, Any], active: bool = True) -> Iterator[None]:
        """Have ports plugged, and wired by the agent, for the length of a block."""
        self.host.done("plug", *ports, networks=(self.one, self.two))
        try:
            if active:
                self.neutron.wait_for("ACTIVE", *ports)
            yield
        finally:
            self.host.done("unplug", *ports)


@contextlib.contextmanager
def agent_cloud() -> Iterator[AgentCloud]:
    """Have a Neutron with its Open vSwitch agent for the length of a block."""
    packages = made("29")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neutron-")))
        namespace = stack.enter_context(NetworkNamespace(name="host1"))
        ovs = stack.enter_context(OpenVSwitch(namespace))
        ovs.add_bridge("br-int")
        ovs.add_bridge("br-phys")
        programs = Programs("29", packages, folder)
        stack.callback(programs.end_all)
        start_bus(programs, namespace)
        conf = write_conf(
            programs, "neutron.conf",
            "[ml2_type_vlan]", "network_vlan_ranges = physnet1:100:199",
            "[ovs]", "bridge_mappings = physnet1:br-phys", "datapath_type = netdev",
            f"ovsdb_connection = {ovs.endpoint}", extensions="dhcp",
        )  # fmt: skip
        neutron = Neutron(programs, namespace)
        host = Host.of(namespace, ovs, folder)
        found = AgentCloud(neutron, host, conf, {}, {})
        neutron.start(conf)
        found.start_agent()
        found.one = neutron.network("one", "10.7.0.0/24")
        found.two = neutron.network("two", "10.8.0.0/24")
        yield found


def start_bus(programs: Programs, at: NetworkNamespace, address: str = "127.0.0.1") -> None:
    """Start redis, which carries the messages of Neutron's programs."""
    words = ("--bind", address, "--port", str(BUS_PORT), "--save", "", "--appendonly", "no",
             "--protected-mode", "no", "--dir", str(programs.folder))  # fmt: skip
    programs.start("redis-server", "redis-server", *words, at=at)
    said = programs.said("redis-server")
    programs.wait_for("redis-server", lambda: b"Ready to accept" in said.read_bytes())


__all__ = ["AGENT", "AgentCloud", "Host", "agent_cloud", "eventually", "start_bus"]
