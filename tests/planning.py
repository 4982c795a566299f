# SPDX-License-Identifier: Apache-2.0
"""Planning cases: folders of vif.json, host.json and what comes of them.

plan.txt and interface.xml are what ``vifplug plan`` and ``vifplug xml`` print; a case that must be
refused has error.txt instead. Where that is only because the VIF is elsewhere, move.txt is what
``vifplug plan --move`` prints. ``python -m tests.planning`` writes all of them anew, for
review.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from vifplug import GenericVIFDriver
from vifplug.errors import Conflict, VifplugError
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan, plan
from vifplug.plan.place import Lookup, require_one_place
from vifplug.switch import Wanted
from vifplug.wiring import Wiring
from vifplug_bridge.plugin import BridgePlugin, TapPlugin
from vifplug_ovs.plugin import OvsPlugin
from vifplug_ovs.snapshot import Ovs
from vifplug_ovs.vhostuser import VhostUserPlugin
from vifplug_vepa.hostdev import HostdevPlugin
from vifplug_vepa.hw_veb import HwVebPlugin
from vifplug_vepa.macvtap import MacvtapPlugin
from vifplug_vepa.qbg import QbgPlugin
from vifplug_vepa.qbh import QbhPlugin

TESTS = Path(__file__).parent
PLUGINS = {
    "802.1qbg": QbgPlugin,
    "802.1qbh": QbhPlugin,
    "bridge": BridgePlugin,
    "hostdev_physical": HostdevPlugin,
    "hw_veb": HwVebPlugin,
    "macvtap": MacvtapPlugin,
    "ovs": OvsPlugin,
    "tap": TapPlugin,
    "vhostuser": VhostUserPlugin,
}

KINDS = tuple(dict.fromkeys(kind for plugin in PLUGINS.values() for kind in plugin.kinds))
SNAPSHOTS = tuple({plugin.snapshot for plugin in PLUGINS.values() if plugin.snapshot})


LOOKUP = Lookup.of(
    KINDS, [(vif_type, p) for vif_type, plugin in PLUGINS.items() for p in plugin.processes]
)


@dataclass(frozen=True)
class Case:
    """One folder."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    def read(self, name: str) -> object:
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def vif(self) -> VIF:
        return VIF.from_dict(self.read("vif.json"))

    @property
    def host(self) -> Host:
        return Host.from_dict(self.read("host.json"), SNAPSHOTS)

    @property
    def wiring(self) -> Wiring:
        plugin = PLUGINS[self.vif.vif_type](self.read("options.json"))
        plugin.check(self.vif)
        return plugin.wire(self.vif, self.host)

    @property
    def owner(self) -> Owner:
        return Owner(vif_id=self.vif.id, vif_type=self.vif.vif_type, process=self.wiring.process)

    def plan(self) -> Plan:
        wiring, host = self.wiring, self.host
        wanted = Wanted(owner=self.owner, parts=wiring.parts, interface_id=self.vif.interface_id)
        require_one_place(wanted, host, KINDS, LOOKUP.names(self.vif.id))
        return plan(self.owner, wiring, host)

    def moved(self) -> Plan:
        """Return the plan of a plug that may move the VIF."""
        conf, plugin = cfg.ConfigOpts(), PLUGINS[self.vif.vif_type]
        conf([], default_config_files=[])
        options = self.read("options.json") or {}
        if plugin.opts:
            conf.register_opts(plugin.opts, group=plugin.group)
        for name, value in options.items():  # type: ignore[attr-defined]
            conf.set_override(name, value, group=plugin.group)
        return GenericVIFDriver(conf).plan(None, self.vif, host=self.host, move=True)

    def expected(self) -> dict[str, str]:
        names = ("plan.txt", "interface.xml", "error.txt", "move.txt")
        paths = {name: self.folder / name for name in names}
        return {name: path.read_text() for name, path in paths.items() if path.exists()}

    def actual(self) -> dict[str, str]:
        try:
            text = f"{self.plan()}\n"
        except VifplugError as error:
            found = {"error.txt": f"{type(error).__name__}: {error}\n"}
            if "plug with --move" in str(error):
                found["move.txt"] = f"{self.moved()}\n"
            return found
        return {"plan.txt": text, "interface.xml": f"{self.wiring.interface.to_xml()}\n"}


def cases(plugin: str) -> list[Case]:
    """Return the cases of a plugin, by the name of its folder here."""
    return [Case(folder) for folder in sorted((TESTS / plugin / "cases").iterdir())]


def by_socket(case: Case) -> bool:
    """Whether a case's guest is attached by a socket, for which a switch must have DPDK."""
    return case.vif.vif_type == "vhostuser"


def on_the_userspace_datapath() -> list[Case]:
    """Return the cases that a kernel without its own datapath for OVS can show.

    Left out are those where a guest runs, and those in which nothing is to be done here.
    """
    return [
        case
        for case in good("ovs")
        if (ovs := case.host.switch(Ovs))
        and all(bridge.datapath_type == "netdev" for bridge in ovs.bridges.values())
        and not any(link.carrier for link in case.host.links.values())
        and not case.host.pci
        and case.wiring.parts
    ]


def on_the_kernels_datapath() -> list[Case]:
    """Return the cases whose bridges are all the kernel's, where no network card is needed."""
    return [
        case
        for case in good("ovs")
        if datapath_of(case) == "system" and not case.host.pci and case.wiring.parts
    ]


def datapath_of(case: Case) -> str:
    """Return the one datapath that a case's bridges have; "" if it is not one."""
    ovs = case.host.switch(Ovs)
    found = {bridge.datapath_type for bridge in ovs.bridges.values()} if ovs else set()
    return found.pop() if len(found) == 1 else ""


def good(plugin: str) -> list[Case]:
    """Return the cases of a plugin that can be plugged."""
    return [case for case in cases(plugin) if "error.txt" not in case.expected()]


def moving(plugin: str) -> list[Any]:
    """Return the cases of a plugin whose VIF is elsewhere, as parameters."""
    found = (case for case in cases(plugin) if "move.txt" in case.expected())
    return [pytest.param(case, id=case.name) for case in found]


def moves_as_planned(case: Case, driver: GenericVIFDriver) -> None:
    """Require that a plug moves a case's VIF as planned, on a host that is made real."""
    for call in (driver.plan, driver.plug):
        with pytest.raises(Conflict, match="plug with --move"):
            call(None, case.vif)
    assert f"{driver.plan(None, case.vif, move=True)}\n" == case.expected()["move.txt"]
    assert driver.plug(None, case.vif, move=True).changed
    assert not driver.check(None, case.vif)
    assert [one.id for one in driver.list()] == [case.vif.id]
    assert not driver.plug(None, case.vif, move=True).changed
    assert driver.unplug(None, case.vif).changed
    assert driver.list() == []


def distinct_interfaces(plugin: str) -> list[Case]:
    """Return a case for each interface that a plugin's cases lead to; many have an equal one."""
    found = {case.expected()["interface.xml"]: case for case in reversed(good(plugin))}
    return sorted(found.values(), key=lambda case: case.name)


def on_a_kernel(cases: list[Case]) -> list[Any]:
    """Return those that a network namespace can show, as parameters, marked for what they need.

    A network service that manages a device is no state of a namespace: tests/bridge has it apart.
    """
    shown = [case for case in cases if all(k.manager is None for k in case.host.links.values())]
    vlan = pytest.mark.kernel("8021q")
    marks = {case.name: [vlan] if case.vif.network.should_create_vlan else [] for case in shown}
    return [pytest.param(case, id=case.name, marks=marks[case.name]) for case in shown]


if __name__ == "__main__":
    for case in (*cases("bridge"), *cases("ovs"), *cases("vepa")):
        for name in case.expected():
            (case.folder / name).unlink()
        for name, text in case.actual().items():
            (case.folder / name).write_text(text)
