# SPDX-License-Identifier: Apache-2.0
"""How VIFs are unplugged: each plugin that has something of one is asked. Part of the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from vifplug import fields
from vifplug.daemon import locks
from vifplug.errors import (
    PLUGIN_ERRORS,
    InUse,
    InvalidVIF,
    PluginFailed,
    SwitchError,
    UnknownVIFType,
    VifplugError,
    shown,
)
from vifplug.model.host import BATCH, Host
from vifplug.model.snapshot import Unread
from vifplug.model.vif import VIF
from vifplug.operations.operation import Operation
from vifplug.parts import CORE
from vifplug.parts.roles import require_own_id
from vifplug.plan.owners import owners, types_of
from vifplug.plan.removal import Removal, lost_marks, removal
from vifplug.plan.usage import held_by_guest
from vifplug.planner import Pair, Planner
from vifplug.plugin import VIFPlugin
from vifplug.registry import kinds_of
from vifplug.result import Outcomes, Result
from vifplug.switch import Departure

# Only an unplug needs it: other commands start sooner.
if TYPE_CHECKING:
    from vifplug.calls import Leaving

LOG = logging.getLogger(__name__)

Outcome = TypeVar("Outcome", bound=Result | VifplugError)


class Departures(Planner):
    """The part of the driver that unplugs."""

    def unplug_all(
        self, pairs: Sequence[Pair], *, timeout: float | None = None, force: bool = False
    ) -> Outcomes:
        """Unplug VIFs in one privileged call a plugin; one that fails hurts no other."""
        vifs = [self._taken(None, vif) for _, vif in pairs]
        return self._unplug([(vif.id, vif) for vif in vifs], timeout, force=force)

    def unplug_ids(
        self, ids: Iterable[str], *, timeout: float | None = None, force: bool = False
    ) -> Outcomes:
        """Unplug VIFs of which only the ids are known, by what the host carries.

        A result's vif_type is empty where no mark tells it. Raises InvalidVIF for an id that is
        not a UUID.
        """
        return self._unplug([(_uuid(given), None) for given in ids], timeout, force=force)

    def plan_unplug(
        self, vifs: Iterable[VIF | str], *, timeout: float | None = None, force: bool = False
    ) -> Sequence[Removal | VifplugError]:
        """Return what an unplug of each VIF, or of each id, would remove. Changes nothing."""
        pairs: list[tuple[str, VIF | None]] = [
            (_uuid(vif), None) if isinstance(vif, str) else (vif.id, vif) for vif in vifs
        ]
        return self._plan_unplug(pairs, self.deadline(timeout), force=force)[0]

    def _plan_unplug(
        self, vifs: Sequence[tuple[str, VIF | None]], deadline: float, *, force: bool
    ) -> tuple[Sequence[Removal | VifplugError], Host]:
        """Return what an unplug of each VIF would remove, and the host as it would be then."""
        leaving, host = self._all_leaving(vifs, deadline, force=force)
        host = host.planning()
        return [self._removal(each, host) for each in leaving], host

    def _unplug(
        self, vifs: Sequence[tuple[str, VIF | None]], timeout: float | None, *, force: bool
    ) -> Outcomes:
        """Unplug VIFs: each plugin that has something of one is asked, those with a switch first.

        With each VIF's id comes the VIF itself, where the caller knows it.
        """
        from vifplug import calls

        deadline = self.deadline(timeout)
        leaving, _ = self._all_leaving(vifs, deadline, force=force)
        modules = [*dict.fromkeys(module for each in leaving for module in each.modules)]
        switched = {plugin.privileged() for plugin in self.registry.loaded if plugin.switch}
        for module in modules:
            asked = [each for each in leaving if module in each.modules and not each.in_use]
            # A switch that hangs leaves time for the VIFs of others.
            waits = module in switched and module != modules[-1]
            until = (deadline + time.monotonic()) / 2 if waits else deadline
            calls.unplug(module, asked, until)
        return [_with_holder(each.outcome) for each in leaving]

    def _all_leaving(
        self, vifs: Sequence[tuple[str, VIF | None]], deadline: float, *, force: bool
    ) -> tuple[list[Leaving], Host]:
        """Return whom to ask about each VIF, and the host as it was read for that."""
        since = locks.stamp(self.reader.folder())
        host = self.reader.devices(batch=len(vifs) >= BATCH)
        by_id = any(vif is None for _, vif in vifs)
        if by_id:
            host = replace(host, asked=tuple(vif_id for vif_id, _ in vifs))
        known = [vif for _, vif in vifs if vif]
        here = self.registry.switches_here()
        types = dict.fromkeys((*(vif.vif_type for vif in known), *here))
        plugins = self._all_plugins() if by_id else self.registry.some(types)
        # A switch that hangs leaves time for the VIFs of others.
        until = (deadline + time.monotonic()) / 2
        expected = _types_of_all(vifs, host) if by_id else None
        host = self._with_switches(
            host, None if by_id else known, plugins, until, here=here, expected=expected
        )
        for failure in failures(host) if by_id else ():
            LOG.warning("%s: what it has of these VIFs is not known", failure)
        leaving = [self._leaving(*vif, host, plugins, since, force=force) for vif in vifs]
        return leaving, host

    def _removal(self, leaving: Leaving, host: Host) -> Removal | VifplugError:
        """Return what an unplug would do for a VIF on a host that is being planned."""
        if leaving.errors:
            return _with_holder(leaving.errors[0])
        departure = leaving.departure
        # Of all that are loaded, because another vif_type's plugin may have plugged the VIF.
        asked = [each for each in self.registry.loaded if each.privileged() in leaving.modules]
        # Several plugins may share a switch, and only one may know how a VIF leaves it.
        in_switch: dict[str | None, Sequence[Operation]] = {}
        for plugin in (each for each in asked if each.switch):
            if removed := plugin.remove(departure, host):
                in_switch.setdefault(plugin.reader(), removed)
        operations = [operation for each in in_switch.values() for operation in each]
        unused = any(plugin.options.get("remove_unused") for plugin in asked)
        units = removal(departure.vif_id, host, kinds_of(asked), remove_unused=unused)
        operations += [operation for unit in units for operation in unit if asked]
        for operation in operations:
            operation.foresee(host)
        return Removal(
            vif_id=departure.vif_id, vif_type=leaving.vif_type, operations=tuple(operations)
        )

    def _leaving(
        self,
        vif_id: str,
        vif: VIF | None,
        host: Host,
        plugins: Sequence[VIFPlugin],
        since: int | None,
        *,
        force: bool,
    ) -> Leaving:
        """Return whom to ask about a VIF that is to be unplugged, or why nothing can be asked."""
        from vifplug.calls import Leaving

        departure = Departure(
            vif_id=vif_id, interface_id=vif.interface_id if vif else None, force=force
        )
        types = types_of(departure, host)
        vif_type = vif.vif_type if vif else next(iter(types), "")
        leaving = Leaving(departure=departure, vif_type=vif_type, vif=vif)
        try:
            require_own_id(vif_id, departure.interface_id, host)
            marked = self._installed(types, vif_id)
            own, unusable = self._plugin_of(vif)
            own = own or (marked[0] if marked and vif is None else None)
            asked = owners(departure, host, [*marked, *plugins], own=own)
            kinds = kinds_of([*marked, *plugins]) or CORE
            nothing = not asked and not removal(vif_id, host, kinds, remove_unused=False)
            nothing = nothing and not self.reader.left_over(vif_id, host)
            nothing = nothing and (unusable is not None or not lost_marks(host, kinds))
            if nothing and self._is_idle(vif_id, since):
                return leaving
            # Before any daemon is asked, because the first of several would change something.
            held = None if force else held_by_guest(departure, host, kinds)
            # A plug at work holds the tap as a guest does: then the daemon decides, under the lock.
            if held and held[1] and self._is_idle(vif_id, since):
                raise InUse(vif_id, held[0])
            if unusable and not isinstance(unusable, UnknownVIFType):
                raise unusable
            if not asked:
                some = [*([own] if own else []), *plugins]
                asked = [each for each in some if lost_marks(host, each.kinds)][:1] or some[:1]
            asked = asked or self._of_the_kernel()
            if not asked:
                raise UnknownVIFType(vif_id, "", "no plugin is installed that works")
            leaving.modules = tuple(plugin.privileged() for plugin in asked)
        except VifplugError as error:
            leaving.errors.append(error)
        except PLUGIN_ERRORS as error:
            from vifplug.apply import words

            source, _, why = words(error).partition(": ")
            leaving.errors.append(PluginFailed(vif_id, vif_type, source, why))
        return leaving

    def _installed(self, types: Iterable[str], vif_id: str) -> list[VIFPlugin]:
        """Return the plugins of some vif_types. Raises PluginFailed for one that can't be used.

        Of a VIF whose plugin is uninstalled, any other removes the devices of the kernel.
        """
        found = []
        for vif_type in types:
            try:
                found.append(self.registry.plugin(vif_type, vif_id=vif_id))
            except UnknownVIFType:
                LOG.warning(
                    "VIF %s: the plugin for vif_type %s is not installed: its switch, if it has "
                    "one, may keep a port, and what a claim notes is not given back",
                    vif_id,
                    vif_type,
                )
        return found

    def _of_the_kernel(self) -> list[VIFPlugin]:
        """Return a plugin whose daemon removes devices of the kernel, of whatever vif_type."""
        able = (plugin for plugin in self._all_plugins() if {*CORE} <= {*plugin.kinds})
        return sorted(able, key=lambda plugin: (plugin.switch, len(plugin.kinds)))[:1]

    def _is_idle(self, vif_id: str, since: int | None) -> bool:
        """Whether no call works on a VIF, or has since the host was read."""
        return locks.idle(self.reader.folder(), locks.names(vif_id), since=since)

    def _plugin_of(self, vif: VIF | None) -> tuple[VIFPlugin | None, VifplugError | None]:
        """Return the plugin of a VIF that the caller knows, or why it can't be used.

        That is no error of an unplug that finds nothing: the plug has failed for the same reason.
        """
        if vif is None:
            return None, None
        try:
            return self.registry.plugin(vif.vif_type, vif_id=vif.id), None
        except VifplugError as error:
            return None, error


def _with_holder(outcome: Outcome) -> Outcome | InUse:
    """Return an outcome; where a guest holds the VIF, with the guest's name if we may see it."""
    if not isinstance(outcome, InUse):
        return outcome
    from vifplug.kernel import holders

    holder = holders.name_of_holder(outcome.device)
    return InUse(outcome.vif_id, outcome.device, holder, outcome.certain or bool(holder))


def _types_of_all(vifs: Sequence[tuple[str, VIF | None]], host: Host) -> set[str] | None:
    """Return the vif_types that the kernel tells of these VIFs; None if it tells none of one."""
    found: set[str] = set()
    for vif_id, vif in vifs:
        types = types_of(Departure(vif_id=vif_id, interface_id=None), host)
        if not types and vif is None:
            return None
        found.update(types, [vif.vif_type] if vif else [])
    return found


def failures(host: Host) -> Sequence[SwitchError]:
    """Return the errors of a host's switches that can't be read.

    A plugin that fails has been warned of; it hides no other's VIFs.
    """
    read = (s for s in host.switches.values() if not s.absent and not isinstance(s, Unread))
    return [snapshot.failure for snapshot in read if snapshot.failure]


def _uuid(text: str) -> str:
    try:
        return str(fields.UUID.check(text, lenient=False))
    except fields.NotAllowed:
        raise InvalidVIF(shown(text), "id", shown(text), fields.UUID.allowed) from None
