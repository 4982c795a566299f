# SPDX-License-Identifier: Apache-2.0
"""Makes a planning case's host.json true in a network namespace, with ip(8) and sysctls."""

from __future__ import annotations

import time
from pathlib import Path

from oslo_config import cfg
from oslo_config.fixture import Config

from tests.planning import PLUGINS, Case
from vifplug import GenericVIFDriver
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, perform
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.operations import AddClaim
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug_ovs.snapshot import Ovs

FIREWALL = "nova.virt.libvirt.firewall.IptablesFirewallDriver"
CONF = Path("/proc/sys/net")
_ON_ANOTHER = ("vlan", "macvtap")


def prepare(case: Case, conf: Config, namespace: NetworkNamespace) -> GenericVIFDriver:
    """Make a case's host real and its options and facts configured; return a driver for it."""
    make_real(case.host, namespace)
    group = PLUGINS[case.vif.vif_type].group
    for name, value in (case.read("options.json") or {}).items():  # type: ignore[attr-defined]
        conf.config(group=group, **{name: value})
    host = case.host
    rings = {f"{way}_queue_size": int(size) if size else None
             for way, size in (("rx", host.rx_queue_size), ("tx", host.tx_queue_size))}  # fmt: skip
    conf.config(group="vifplug", libvirt_version=host.libvirt_version, virt_type=host.virt_type)
    conf.config(group="vifplug", mtu=host.mtu, **rings)
    conf.config(group="vifplug", firewall_driver=FIREWALL if host.firewall else None)
    return GenericVIFDriver()


def make_real(host: Host, namespace: NetworkNamespace) -> None:
    """Make every device of the host; the calling thread is in the namespace."""
    for name, link in sorted(host.links.items(), key=lambda one: one[1].kind in _ON_ANOTHER):
        if name != "lo":
            _make(name, link, namespace)
    for name, link in host.links.items():
        if link.master and link.master in host.links:
            namespace.ip("link", "set", name, "master", link.master)


def _make(name: str, link: Link, namespace: NetworkNamespace) -> None:
    match link.kind:
        case "bridge":
            namespace.ip("link", "add", name, "address", "02:00:00:00:00:01", "type", "bridge")
            stp, delay = int(link.stp or 0), link.forward_delay
            settings = ["stp_state", str(stp)]
            settings += ["forward_delay", str(delay)] if delay is not None else []
            ageing, snooping = link.ageing_time, link.multicast_snooping
            settings += ["ageing_time", str(ageing)] if ageing is not None else []
            settings += ["mcast_snooping", str(int(snooping))] if snooping is not None else []
            namespace.ip("link", "set", name, "type", "bridge", *settings)
        case "tap":
            more = ["multi_queue"] if link.multi_queue else []
            namespace.ip("tuntap", "add", name, "mode", "tap", "vnet_hdr", *more)
            if link.address:
                namespace.ip("link", "set", name, "address", link.address)
        case "veth" if link.lower:
            if name not in {one["ifname"] for one in namespace.ip_json("link")}:
                namespace.ip("link", "add", name, "type", "veth", "peer", "name", link.lower)
        case "macvtap":
            mode = "passthru" if link.mode == "passthrough" else str(link.mode)
            more = ["address", str(link.address), "type", "macvtap", "mode", mode]
            namespace.ip("link", "add", "link", str(link.lower), "name", name, *more)
        case "physical" | "veth":
            namespace.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}-p"[:15])
        case "vlan":
            more = ["type", "vlan", "id", str(link.vlan)]
            namespace.ip("link", "add", "link", str(link.lower), "name", name, *more)
        case other:
            raise NotImplementedError(other)
    for path, value in (
        ("ipv6/conf/{}/disable_ipv6", None if link.ipv6 is None else int(not link.ipv6)),
        ("ipv4/conf/{}/arp_ignore", link.arp_ignore),
        ("ipv4/conf/{}/arp_announce", link.arp_announce),
    ):
        if value is not None:
            (CONF / path.format(name)).write_text(f"{value}\n")
    namespace.ip("link", "set", name, "mtu", str(link.mtu))
    for altname in link.altnames:
        namespace.ip("link", "property", "add", "dev", name, "altname", altname)
    if link.claims:
        _claim(name, link.claims)
    if link.up:
        namespace.ip("link", "set", name, "up")
    for address in link.addresses:
        namespace.ip("addr", "add", address, "dev", name)


def _claim(name: str, claims: tuple[str, ...]) -> None:
    """Claim a device as a privileged daemon would."""
    with Netlink() as netlink:
        kernel = Kernel(netlink, ClaimsFolder(cfg.CONF.vifplug.lock_path))
        for claim in claims:
            perform(AddClaim(device=name, claim=claim), kernel)


def make_ovs_real(host: Host, ovs: OpenVSwitch) -> None:
    """Make every OVS bridge of the host with its ports and claims; the datapath is userspace's."""
    snapshot = host.switch(Ovs)
    for name, bridge in snapshot.bridges.items() if snapshot else ():
        ovs.add_bridge(name)
        # Else it follows the smallest of its ports, in its own time.
        ovs.vsctl("set", "Interface", name, "mtu_request=1400")
        for key, value in bridge.marks.items():
            ovs.vsctl("set", "Bridge", name, f'external_ids:{key}="{value}"')
        for claim, interface_id in bridge.claims.items():
            ovs.vsctl("set", "Bridge", name, f'external_ids:"{claim}"={interface_id}')
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
    ovs.vsctl("show")


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
