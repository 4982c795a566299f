# SPDX-License-Identifier: Apache-2.0
"""Planning cases: folders of vif.json, host.json, perhaps options.json, and what comes of them.

plan.txt and interface.xml are what ``vifplug plan`` and ``vifplug xml`` print; a case that must be
refused has error.txt instead. Where that is only because the VIF is elsewhere, move.txt is what
``vifplug plan --move`` prints. ``python -m vifplug.testing.cases FOLDER...`` writes all of them
anew for the folders of cases, for review.

The plugins are those that are installed, or a :class:`Plugins` of a test's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg

from vifplug import GenericVIFDriver
from vifplug.errors import NO_VIF, Conflict, PluginFailed, VifplugError
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.model.snapshot import Snapshot
from vifplug.model.vif import VIF
from vifplug.parts import Part
from vifplug.plan.compare import Plan, plan
from vifplug.plan.place import Lookup, require_one_place
from vifplug.plugin import VIFPlugin
from vifplug.registry import Registry
from vifplug.switch import Wanted
from vifplug.wiring import Wiring

__all__ = [
    "Case",
    "Plugins",
    "cases_in",
    "distinct_interfaces",
    "good",
    "mended",
    "moves_as_planned",
    "moving",
    "write_anew",
]

_OUTCOMES = ("plan.txt", "interface.xml", "error.txt", "move.txt")


@dataclass(frozen=True, eq=False)
class Plugins(Mapping[str, type[VIFPlugin]]):
    """Plugins' classes, each by a vif_type that it claims."""

    by_type: Mapping[str, type[VIFPlugin]]

    @classmethod
    def installed(cls) -> Plugins:
        """Return all installed plugins. Raises PluginFailed where one of them can't be used."""
        found: dict[str, type[VIFPlugin]] = {}
        for claim in Registry().claims():
            if claim.plugin is None:
                raise PluginFailed(NO_VIF, claim.vif_type, claim.source, claim.error)
            found[claim.vif_type] = claim.plugin
        return cls(found)

    @classmethod
    def usable(cls) -> Plugins:
        """Return the installed plugins that can be used."""
        return cls({claim.vif_type: claim.plugin for claim in Registry().claims() if claim.plugin})

    def __getitem__(self, vif_type: str) -> type[VIFPlugin]:
        return self.by_type[vif_type]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_type)

    def __len__(self) -> int:
        return len(self.by_type)

    @cached_property
    def kinds(self) -> tuple[type[Part], ...]:
        """The kinds of part that they use, each once."""
        return tuple(dict.fromkeys(kind for plugin in self.values() for kind in plugin.kinds))

    @cached_property
    def snapshots(self) -> tuple[type[Snapshot], ...]:
        """The kinds of snapshot of their switches, each once."""
        found = (plugin.snapshot for plugin in self.values() if plugin.snapshot)
        return tuple(dict.fromkeys(found))

    @cached_property
    def lookup(self) -> Lookup:
        """By what the devices of their VIFs are looked for."""
        ways = ((vif_type, p) for vif_type, plugin in self.items() for p in plugin.processes)
        return Lookup.of(self.kinds, ways)


@dataclass(frozen=True)
class Case:
    """One folder, and the plugins for which it is a case."""

    folder: Path
    plugins: Plugins = field(repr=False, compare=False)

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    def read(self, name: str) -> object:
        """Return what a JSON file of the folder has, or None if it is not there."""
        path = self.folder / name
        return json.loads(path.read_text()) if path.exists() else None

    @property
    def vif(self) -> VIF:
        """The VIF of vif.json."""
        return VIF.from_dict(self.read("vif.json"))

    @property
    def host(self) -> Host:
        """The host of host.json, with the snapshots of the plugins' switches."""
        return Host.from_dict(self.read("host.json"), self.plugins.snapshots)

    @property
    def options(self) -> dict[str, Any]:
        """The values of the plugin's options in options.json."""
        found: Any = self.read("options.json")
        return dict(found or {})

    @property
    def plugin(self) -> type[VIFPlugin]:
        """The class of the plugin of the VIF."""
        return self.plugins[self.vif.vif_type]

    @property
    def wiring(self) -> Wiring:
        """What the plugin says that the VIF needs on the host. Raises as ``wire()`` does."""
        vif = self.vif
        plugin = self.plugin(self.options)
        plugin.vif_type = vif.vif_type
        plugin.check(vif)
        passed_over = plugin.passed_over(vif)
        wiring = plugin.wire(vif, self.host)
        return replace(wiring, passed_over=(*passed_over, *wiring.passed_over))

    @property
    def owner(self) -> Owner:
        """The owner of the VIF's devices, by the wiring's process."""
        return Owner(vif_id=self.vif.id, vif_type=self.vif.vif_type, process=self.wiring.process)

    def plan(self) -> Plan:
        """Return the plan of a plug that may not move the VIF. Raises Conflict if it is elsewhere.

        It depends on no configuration of the process, so tests can ask for it while pytest
        collects them.
        """
        wiring, host = self.wiring, self.host
        wanted = Wanted(owner=self.owner, parts=wiring.parts, interface_id=self.vif.interface_id)
        require_one_place(wanted, host, self.plugins.kinds, self.plugins.lookup.names(self.vif.id))
        return plan(self.owner, wiring, host)

    @property
    def steps(self) -> tuple[tuple[type[object], str], ...]:
        """What the plan does, whatever values it sets: cases with equal steps are much alike."""
        operations = self.plan().operations
        return tuple((type(one), getattr(one, "attribute", "")) for one in operations)

    def moved(self) -> Plan:
        """Return the plan of a plug that may move the VIF. The plugin must be installed."""
        conf, plugin = cfg.ConfigOpts(), self.plugin
        conf([], default_config_files=[])
        if plugin.opts:
            conf.register_opts(plugin.opts, group=plugin.group)
        for name, value in self.options.items():
            conf.set_override(name, value, group=plugin.group)
        return GenericVIFDriver(conf).plan(None, self.vif, host=self.host, move=True)

    def expected(self) -> dict[str, str]:
        """Return the files of the folder that say what must come of the case."""
        paths = {name: self.folder / name for name in _OUTCOMES}
        return {name: path.read_text() for name, path in paths.items() if path.exists()}

    def actual(self) -> dict[str, str]:
        """Return these files as they would be written now."""
        try:
            text = f"{self.plan()}\n"
        except VifplugError as error:
            found = {"error.txt": f"{type(error).__name__}: {error}\n"}
            if "plug with --move" in str(error):
                found["move.txt"] = f"{self.moved()}\n"
            return found
        return {"plan.txt": text, "interface.xml": f"{self.wiring.interface.to_xml()}\n"}


def cases_in(folder: Path, plugins: Plugins | None = None) -> list[Case]:
    """Return the cases of a folder, by their names; those of the installed plugins by default."""
    plugins = Plugins.installed() if plugins is None else plugins
    return [Case(each, plugins) for each in sorted(folder.iterdir())]


def good(cases: Iterable[Case]) -> list[Case]:
    """Return the cases that can be plugged."""
    return [case for case in cases if "error.txt" not in case.expected()]


def mended(cases: Iterable[Case]) -> list[Case]:
    """Return the cases of which a plug leaves nothing that differs."""
    return [case for case in good(cases) if not case.plan().stale]


def moving(cases: Iterable[Case]) -> list[Any]:
    """Return the cases whose VIF is elsewhere, as parameters of a test."""
    found = (case for case in cases if "move.txt" in case.expected())
    return [pytest.param(case, id=case.name) for case in found]


def distinct_interfaces(cases: Iterable[Case]) -> list[Case]:
    """Return a case for each interface that cases lead to; many have an equal one."""
    found = {case.expected()["interface.xml"]: case for case in reversed(good(cases))}
    return sorted(found.values(), key=lambda case: case.name)


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


def write_anew(cases: Sequence[Case]) -> None:
    """Write what comes of each case into its folder, in the place of what was there."""
    for case in cases:
        found = case.actual()
        for name in _OUTCOMES:
            (case.folder / name).unlink(missing_ok=True)
        for name, text in found.items():
            (case.folder / name).write_text(text)


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        write_anew(cases_in(Path(folder)))
