# SPDX-License-Identifier: Apache-2.0
"""Makes a planning case's host.json true in a network namespace, with ip(8) and sysctls.

A switch of a plugin's is for its own tests to make real, beside this.
"""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg
from oslo_config.fixture import Config

from vifplug import GenericVIFDriver
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, perform
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.operations import AddClaim
from vifplug.testing.cases import Case
from vifplug.testing.namespace import NetworkNamespace

__all__ = ["can_be_real", "make_real", "prepare"]

_FIREWALL = "nova.virt.libvirt.firewall.IptablesFirewallDriver"
_SYSCTLS = Path("/proc/sys/net")
_ON_ANOTHER = ("vlan", "macvtap")
_KINDS = ("bridge", "tap", "physical", "veth", *_ON_ANOTHER)


def can_be_real(host: Host) -> bool:
    """Whether a namespace can show a host.

    A network service that manages a device is no state of a namespace, nor is a read-only
    /proc/sys, nor what else names an uplink. A card's functions are none either.
    """
    links = host.links.items()
    known = all(link.kind in _KINDS or name == "lo" for name, link in links)
    alone = all(link.manager is None and not link.naming for _, link in links)
    return known and alone and host.fixed is None and not host.pci


def prepare(case: Case, conf: Config, namespace: NetworkNamespace) -> GenericVIFDriver:
    """Make a case's host real and its options and facts configured; return a driver for it.

    The calling thread is in the namespace. ``conf`` has the plugin's options already: see
    :func:`vifplug.testing.configured.configured`.
    """
    make_real(case.host, namespace)
    for name, value in case.options.items():
        conf.config(group=case.plugin.group, **{name: value})
    host = case.host
    rings = {f"{way}_queue_size": int(size) if size else None
             for way, size in (("rx", host.rx_queue_size), ("tx", host.tx_queue_size))}  # fmt: skip
    conf.config(group="vifplug", libvirt_version=host.libvirt_version, virt_type=host.virt_type)
    conf.config(group="vifplug", mtu=host.mtu, **rings)
    conf.config(group="vifplug", firewall_driver=_FIREWALL if host.firewall else None)
    return GenericVIFDriver()


def make_real(host: Host, namespace: NetworkNamespace) -> None:
    """Make every device of the host; the calling thread is in the namespace.

    Raises NotImplementedError with the kind of a device that a namespace can't have.
    """
    for name, link in sorted(host.links.items(), key=lambda one: one[1].kind in _ON_ANOTHER):
        if name != "lo":
            _make(name, link, namespace)
        else:
            _add_addresses(name, link, namespace)
    for name, link in host.links.items():
        for neighbour in link.neighbours:
            address, mac = neighbour.split()
            namespace.ip("neigh", "add", address, "lladdr", mac, "nud", "permanent", "dev", name)
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
            if link.vlan_filtering:
                settings += ["vlan_filtering", "1", "vlan_default_pvid", str(link.default_pvid)]
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
            more = ["type", "vlan", "protocol", link.protocol, "id", str(link.vlan)]
            namespace.ip("link", "add", "link", str(link.lower), "name", name, *more)
        case other:
            raise NotImplementedError(other)
    for path, value in (
        ("ipv6/conf/{}/disable_ipv6", None if link.ipv6 is None else int(not link.ipv6)),
        ("ipv4/conf/{}/arp_ignore", link.arp_ignore),
        ("ipv4/conf/{}/arp_announce", link.arp_announce),
    ):
        if value is not None:
            (_SYSCTLS / path.format(name)).write_text(f"{value}\n")
    namespace.ip("link", "set", name, "mtu", str(link.mtu))
    for altname in link.altnames:
        namespace.ip("link", "property", "add", "dev", name, "altname", altname)
    if link.claims:
        _claim(name, link.claims)
    if link.up:
        namespace.ip("link", "set", name, "up")
    _add_addresses(name, link, namespace)


def _add_addresses(name: str, link: Link, namespace: NetworkNamespace) -> None:
    for address in link.addresses:
        namespace.ip("addr", "add", address, "dev", name)


def _claim(name: str, claims: tuple[str, ...]) -> None:
    """Claim a device as a privileged daemon would."""
    with Netlink() as netlink:
        kernel = Kernel(netlink, ClaimsFolder(cfg.CONF.vifplug.lock_path))
        for claim in claims:
            perform(AddClaim(device=name, claim=claim), kernel)
