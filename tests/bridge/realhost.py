# SPDX-License-Identifier: Apache-2.0
"""Makes a planning case's host.json true in a network namespace, with ip(8) and sysctls."""

from __future__ import annotations

from pathlib import Path

from oslo_config.fixture import Config

from tests.bridge.planning import Case
from vifplug import GenericVIFDriver
from vifplug.host import Host, Link
from vifplug.testing import NetworkNamespace

FIREWALL = "nova.virt.libvirt.firewall.IptablesFirewallDriver"
CONF = Path("/proc/sys/net")


def prepare(case: Case, conf: Config, namespace: NetworkNamespace) -> GenericVIFDriver:
    """Make a case's host real and its options and facts configured; return a driver for it."""
    make_real(case.host, namespace)
    for name, value in (case.read("options.json") or {}).items():  # type: ignore[attr-defined]
        conf.config(group="vifplug_bridge", **{name: value})
    host = case.host
    ring = int(host.rx_queue_size) if host.rx_queue_size else None
    conf.config(group="vifplug", libvirt_version=host.libvirt_version, virt_type=host.virt_type)
    conf.config(group="vifplug", mtu=host.mtu, rx_queue_size=ring)
    conf.config(group="vifplug", firewall_driver=FIREWALL if host.firewall else None)
    return GenericVIFDriver()


def make_real(host: Host, namespace: NetworkNamespace) -> None:
    """Make every device of the host; the calling thread is in the namespace."""
    for name, link in sorted(host.links.items(), key=lambda one: one[1].kind == "vlan"):
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
            namespace.ip("link", "set", name, "type", "bridge", *settings)
        case "tap":
            more = ["multi_queue"] if link.multi_queue else []
            namespace.ip("tuntap", "add", name, "mode", "tap", "vnet_hdr", *more)
            if link.address:
                namespace.ip("link", "set", name, "address", link.address)
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
    if link.up:
        namespace.ip("link", "set", name, "up")
    for address in link.addresses:
        namespace.ip("addr", "add", address, "dev", name)
