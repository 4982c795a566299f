# SPDX-License-Identifier: Apache-2.0
"""Makes the Open vSwitch of a planning case's host.json true, beside vifplug.testing.realhost."""

from __future__ import annotations

import time

from oslo_config import cfg

from tests.ovs.databases import token_of
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, perform
from vifplug.model.host import Host
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug_ovs.operations import ClaimBridge
from vifplug_ovs.snapshot import Ovs


def make_ovs_real(host: Host, ovs: OpenVSwitch) -> None:
    """Make every OVS bridge of the host with its ports and claims; the datapath is userspace's."""
    snapshot = host.switch(Ovs)
    if snapshot and snapshot.ovn:
        ids = {"ovn-remote": snapshot.ovn.remote, "ovn-bridge": snapshot.ovn.bridge}
        words = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
        ovs.vsctl("set", "Open_vSwitch", ".", *words)
    for name, bridge in snapshot.bridges.items() if snapshot else ():
        ovs.add_bridge(name)
        # Else it follows the smallest of its ports, in its own time.
        ovs.vsctl("set", "Interface", name, "mtu_request=1400")
        for key, value in bridge.marks.items():
            ovs.vsctl("set", "Bridge", name, f'external_ids:{key}="{value}"')
        for claim in bridge.claimed:
            add = ClaimBridge(device=name, claim=str(claim), token=token_of(name, ovs))
            with Netlink() as netlink:
                perform(add, Kernel(netlink, ClaimsFolder(cfg.CONF.vifplug.lock_path)))
        for port_name, port in bridge.ports.items():
            ids = [f"external_ids:{key}={value}" for key, value in port.external_ids.items()]
            marks = [f'external_ids:{key}="{value}"' for key, value in port.marks.items()]
            mtu = [f"mtu_request={port.mtu_request}"] if port.mtu_request else []
            ids += [f"options:{key}={value}" for key, value in port.options.items()]
            ids += [f"type={port.type}"] if port.type else []
            words = ["--", "set", "Interface", port_name, *ids, *mtu] if ids or mtu else []
            words += ["--", "set", "Port", port_name, *marks] if marks else []
            # A port whose device is not there is no failure of the host's that is made.
            wait = [] if port.type else ["--no-wait"]
            ovs.vsctl(*wait, "add-port", name, port_name, *words)
            # vswitchd gives it a number in its own time, or says that it can't.
            ovs.vsctl("--no-wait", "wait-until", "Interface", port_name, "ofport!=[]")


def wait_for_bridges(namespace: NetworkNamespace, ovs: OpenVSwitch) -> None:
    """Wait until vswitchd has taken away the own devices of bridges that are gone.

    It does so in its own time, after it has acknowledged the change, and with the last bridge of
    the userspace datapath takes away that one's own device.
    """
    # An undo waits for nobody: first, what was asked of vswitchd until now.
    asked = f"external_ids:asked={time.monotonic_ns()}"
    bridges = set(ovs.vsctl("set", "Open_vSwitch", ".", asked, "--", "list-br").split())
    datapath = set() if bridges else {"ovs-netdev"}
    until = time.monotonic() + 10
    while time.monotonic() < until:
        names = {link["ifname"] for link in namespace.ip_json("link")}
        outlived = {name for name in names - bridges if name.startswith(("br-", "pb"))}
        if not outlived | (names & datapath):
            return
        time.sleep(0.01)
    raise AssertionError(f"bridges' devices are left: {names - bridges}")
