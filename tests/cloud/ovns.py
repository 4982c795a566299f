# SPDX-License-Identifier: Apache-2.0
"""A Neutron with OVN, and two hosts of it with vifplug."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cloud.agents import Host
from tests.cloud.neutrons import Neutron, Programs, made, write_conf
from tests.ovs.ovn import NB, SB, Central, OvnHost, two_hosts
from vifplug.testing import NetworkNamespace


@dataclass
class OvnCloud:
    """A Neutron whose network is an OVN with two hosts."""

    neutron: Neutron
    central: Central
    ovn: tuple[OvnHost, OvnHost]
    hosts: tuple[Host, Host]
    network: dict[str, Any]

    @contextlib.contextmanager
    def plugged(self, host: Host, *ports: dict[str, Any], active: bool = True) -> Iterator[None]:
        """Have ports plugged on a host, and wired by OVN, for the length of a block."""
        host.done("plug", *ports, networks=(self.network,))
        try:
            if active:
                self.neutron.wait_for("ACTIVE", *ports)
            yield
        finally:
            host.done("unplug", *ports)

    def column(self, port: dict[str, Any], name: str) -> str:
        """Return a column of the port's Port_Binding; of a chassis, its name."""
        found = self.central.sbctl(
            "--bare", f"--columns={name}", "find", "Port_Binding", f"logical_port={port['id']}"
        ).strip()
        if name.endswith("chassis") and found:
            return self.central.sbctl("--bare", "--columns=name", "list", "Chassis", found).strip()
        return found


@contextlib.contextmanager
def ovn_cloud() -> Iterator[OvnCloud]:
    """Have a Neutron with OVN for the length of a block."""
    packages = made("29")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="neutron-")))
        central, first, second = stack.enter_context(two_hosts())
        at = stack.enter_context(NetworkNamespace(name="controller"))
        programs = Programs("29", packages, folder)
        stack.callback(programs.end_all)
        conf = write_conf(
            programs, "neutron.conf",
            "[ml2_type_geneve]", "vni_ranges = 1:1000", "max_header_size = 38",
            "[ovn]", f"ovn_nb_connection = {central.remote(NB)}",
            f"ovn_sb_connection = {central.remote(SB)}", "ovn_metadata_enabled = false",
            "neutron_sync_mode = off", "ovsdb_connection_timeout = 60",
            bus="fake://", drivers="ovn", tenant="geneve",
        )  # fmt: skip
        neutron = Neutron(programs, at)
        neutron.start(conf)
        hosts = []
        for host in (first, second):
            own = folder / host.name
            own.mkdir()
            hosts.append(Host.of(host.namespace, host.ovs, own, "isolate = true"))
        network = neutron.network("one", "10.7.0.0/24")
        yield OvnCloud(neutron, central, (first, second), (hosts[0], hosts[1]), network)
