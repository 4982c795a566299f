# SPDX-License-Identifier: Apache-2.0
"""A VIF in each of the places between which it can move, with its guest's end of the tap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from oslo_config.fixture import Config

from tests.libvirts_tap import LibvirtsTap
from tests.ovs.vifs import IDS
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import NetworkNamespace, OpenVSwitch, TapEnd
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import forked
from vifplug_bridge import opts as bridge_opts
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin

ID = IDS[0]
TAP, QBR, QVB, QVO = (f"{prefix}{ID[:11]}" for prefix in ("tap", "qbr", "qvb", "qvo"))
BRIDGES = ("brq-a", "brq-b")
"""Linux bridges of the host."""


@contextmanager
def both_daemons(conf: Config, *, create_tap: bool) -> Iterator[GenericVIFDriver]:
    """Have a driver with the daemons of both plugins; ``create_tap`` is that of vif_type bridge."""
    conf.register_opts(bridge_opts.OPTS, group=bridge_opts.GROUP)
    conf.config(group=bridge_opts.GROUP, create_tap=create_tap)
    with forked(OvsPlugin, BridgePlugin) as both:
        yield both


@dataclass(frozen=True)
class Spot:
    """One way to plug the VIF, on one bridge."""

    name: str
    vif_type: str
    bridge: str
    process: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def vif(self) -> VIF:
        pins = {"manual": {"ovs_create_tap": True}, "hybrid": {"ovs_hybrid_plug": True}}
        data = {
            "id": ID,
            "vif_type": self.vif_type,
            "address": "fa:16:3e:11:22:33",
            "network": {"bridge": self.bridge, "mtu": 1450},
            "details": pins.get(self.process, {}),
        }
        return VIF.from_dict(data)

    def master(self, datapath: str) -> str | None:
        """Return the master that the tap has here."""
        if self.process == "hybrid":
            return QBR
        if self.vif_type == "bridge":
            return self.bridge
        return "ovs-system" if datapath == "system" else None

    def shown(self, datapath: str) -> dict[str, Any]:
        """Return what :func:`found` says of a VIF that is here and nowhere else."""
        return {
            "devices": self.devices,
            "master": self.master(datapath),
            "ports": self.ports,
            "owners": {(self.process, self.vif_type)},
        }

    @property
    def devices(self) -> set[str]:
        """The devices that bear the VIF's id here."""
        return {TAP, QBR, QVB, QVO} if self.process == "hybrid" else {TAP}

    @property
    def ports(self) -> dict[str, str]:
        """The VIF's port in Open vSwitch, and its bridge."""
        if self.vif_type != "ovs":
            return {}
        return {QVO if self.process == "hybrid" else TAP: self.bridge}


BRIDGE = Spot("bridge", "bridge", "brq-a")
OTHER_BRIDGE = Spot("another bridge", "bridge", "brq-b")
MANUAL = Spot("manual", "ovs", "br-int", "manual")
HYBRID = Spot("hybrid", "ovs", "br-int", "hybrid")
AUTOMATIC = Spot("automatic", "ovs", "br-int", "automatic")
OTHER_MANUAL = Spot("manual on another bridge", "ovs", "br-two", "manual")
SPOTS = (BRIDGE, OTHER_BRIDGE, MANUAL, HYBRID)


def make_bridges(namespace: NetworkNamespace) -> None:
    """Make the Linux bridges of the host."""
    for name in BRIDGES:
        # With an address of its own, or else it has its ports'.
        address = ("address", f"02:00:00:00:00:{ord(name[-1]):x}")
        namespace.ip("link", "add", name, *address, "type", "bridge", "forward_delay", "0")
        namespace.ip("link", "set", name, "up")


@contextmanager
def running(
    spot: Spot, driver: GenericVIFDriver, namespace: NetworkNamespace, *, ours: bool
) -> Iterator[TapEnd]:
    """Plug the VIF, and have its guest run on a tap that is ``ours``, or else libvirt's.

    A tap of ours is made beforehand where the VIF is on a bridge; of a hybrid it is one that was
    manual before.
    """
    if ours and spot.process == "hybrid":
        driver.plug(None, MANUAL.vif)
    else:
        driver.plug(None, spot.vif)
    with ExitStack() as stack:
        libvirts = not ours and spot.process != "manual"
        end = stack.enter_context((LibvirtsTap if libvirts else TapEnd)(namespace, TAP))
        if libvirts:
            namespace.ip("link", "set", TAP, "mtu", "1450", "up", "master", str(spot.master("")))
        if ours and spot.process == "hybrid":
            driver.plug(None, spot.vif, move=True)
        yield end


def as_neutron_does(ovs: OpenVSwitch, spot: Spot) -> None:
    """Give the VIF's port, where it has one, what Neutron's agent and others write there."""
    for port in spot.ports:
        tag = ("set", "Port", port, "tag=7", "other_config:net_uuid=n1", "other_config:tag=7")
        note = ("external_ids:note=of-others",)
        ovs.vsctl(*tag, *note, "--", "set", "Interface", port, *note, "other_config:more=1")


def index(namespace: NetworkNamespace) -> int:
    """Return the index of the VIF's tap."""
    return int(namespace.ip_json("link", "show", "dev", TAP)[0]["ifindex"])


def found(namespace: NetworkNamespace, ovs: OpenVSwitch) -> dict[str, Any]:
    """Return where the host has the VIF, by all that bears its id."""
    links = {link["ifname"]: link for link in namespace.ip_json("-d", "link")}
    own = {name: link for name, link in links.items() if ID[:11] in name}
    names = [alt for link in links.values() for alt in link.get("altnames", ())]
    claims = [claim for claims in every_claim().values() for claim in claims]
    table = ovs.everything()
    ports = {row["_uuid"]: name for name, row in table["Port"].items()}
    on = {ports[uuid]: name for name, row in table["Bridge"].items() for uuid in _set(row["ports"])}
    rows = [row for kind in table.values() for row in kind.values()]
    ids = [f"{k}" for row in rows for pair in row["external_ids"].items() for k in pair]
    marks = {text for text in (*names, *claims, *ids) if text.startswith(f"vifplug:{ID}:")}
    return {
        "devices": set(own),
        "master": own[TAP].get("master") if TAP in own else None,
        "ports": {name: bridge for name, bridge in on.items() if ID[:11] in name},
        "owners": {(text.split(":")[2], text.split(":")[4]) for text in marks},
    }


def _set(cell: Any) -> list[Any]:
    """Return a set of the database, of which ovs-vsctl prints one member as itself."""
    return cell if isinstance(cell, list) else [cell]
