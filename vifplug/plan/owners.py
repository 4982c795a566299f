# SPDX-License-Identifier: Apache-2.0
"""Whose plugins have something of a VIF on a host: each of them is asked to remove it. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from vifplug.model.host import Host
from vifplug.model.snapshot import traces_of
from vifplug.plan.derived import named_after
from vifplug.plugin import VIFPlugin
from vifplug.switch import Departure


def types_of(vif: Departure, host: Host) -> tuple[str, ...]:
    """Return the vif_types that marks, claims and switches tell of a VIF."""
    traces = host.traces(vif.vif_id, vif.interface_id)
    marks = (mark for link in host.marked(vif.vif_id).values() for mark in link.marks)
    types = [mark.vif_type for mark in marks if mark.vif_id == vif.vif_id]
    types += [claim.vif_type for _, claim in host.claims_of(vif.vif_id)]
    types += [trace.vif_type for trace in traces]
    return tuple(dict.fromkeys(word for word in types if word))


def owners(
    vif: Departure, host: Host, plugins: Iterable[VIFPlugin], *, own: VIFPlugin | None
) -> list[VIFPlugin]:
    """Return the plugins that have, or may have, something of a VIF; those with a switch first.

    ``plugins`` are those that are loaded, the first of them those of the VIF's marks. ``own`` is
    the plugin of the VIF's vif_type, where the caller knows it. A privileged module is asked once.
    """
    known = list(plugins)
    types = set(types_of(vif, host))
    asked = [plugin for plugin in known if _switch_has(plugin, vif, host, own)]
    asked += [plugin for plugin in known if plugin.vif_type in types]
    for plugin in [*([own] if own else []), *known]:
        covered = {name for other in asked for kind in other.kinds for name in kind.derived.items()}
        kinds = [kind for kind in plugin.kinds if not covered.issuperset(kind.derived.items())]
        if named_after(vif.vif_id, host, kinds):
            asked.append(plugin)
    return list({plugin.privileged(): plugin for plugin in reversed(asked)}.values())[::-1]


def _switch_has(plugin: VIFPlugin, vif: Departure, host: Host, own: VIFPlugin | None) -> bool:
    """Whether a plugin's switch has something of a VIF; or may have it, since it can't be read."""
    snapshot = host.switches.get(plugin.snapshot.key) if plugin.snapshot else None
    if snapshot is None:
        return False
    if snapshot.error:
        # Of a VIF of another plugin's type nothing is expected there.
        its_own = own is not None and own.privileged() == plugin.privileged()
        return its_own or (own is None and not snapshot.absent)
    return bool(traces_of(snapshot, vif.vif_id, vif.interface_id))
