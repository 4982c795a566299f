# SPDX-License-Identifier: Apache-2.0
"""The plugins whose switch may have something of any VIF, and how they are looked for. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from vifplug.parts.part import Part
from vifplug.plan.place import Lookup
from vifplug.plugin import VIFPlugin


class Others:
    """Some plugins with a switch that a host may have; a VIF of any type may be there."""

    def __init__(self, plugins: Sequence[VIFPlugin] = (), *, vif_types: Iterable[str] = ()) -> None:
        """``vif_types`` are all that some plugin claims."""
        self.plugins = tuple(plugins)
        self._vif_types = tuple(vif_types)
        self._known: dict[VIFPlugin, tuple[tuple[type[Part], ...], Lookup]] = {}

    def kinds(self, plugin: VIFPlugin) -> tuple[type[Part], ...]:
        """Return the kinds of part by which a plugin's VIFs may be somewhere."""
        return self._looked_for(plugin)[0]

    def names(self, plugin: VIFPlugin, vif_id: str) -> tuple[str, ...]:
        """Return the names by which another vif_type may have left a plugin's VIF somewhere."""
        return self._looked_for(plugin)[1].names(vif_id)

    def at_switches(self, plugin: VIFPlugin) -> Iterable[VIFPlugin]:
        """Return a plugin for each switch that may have a VIF: its own plugin's, and these."""
        plugins = (*self.plugins, plugin)
        return {each.reader(): each for each in reversed(plugins) if each.switch}.values()

    def _looked_for(self, plugin: VIFPlugin) -> tuple[tuple[type[Part], ...], Lookup]:
        if plugin not in self._known:
            plugins = (plugin, *self.plugins)
            processes = {each.vif_type: each.processes for each in plugins}
            ways = [
                (vif_type, process)
                for vif_type in self._vif_types
                for process in processes.get(vif_type, ("",))
            ]
            kinds = tuple(dict.fromkeys(kind for each in plugins for kind in each.kinds))
            self._known[plugin] = kinds, Lookup.of(kinds, ways)
        return self._known[plugin]
