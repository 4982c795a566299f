# SPDX-License-Identifier: Apache-2.0
"""GenericVIFDriver: the registry, the host, plans and their application, as one API.

The one driver of the LibvirtVIFDrivers blueprint: driven by vif_type, nothing to choose.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vifplug import fields
from vifplug.daemon import locks
from vifplug.errors import (
    InUse,
    InvalidVIF,
    SwitchError,
    UnknownVIFType,
    VifplugError,
    shown,
)
from vifplug.guest.interface import Interface
from vifplug.model.host import BATCH, Host
from vifplug.model.snapshot import Unread
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan, is_there
from vifplug.plan.owners import owners, types_of
from vifplug.plan.removal import lost_marks, removal
from vifplug.plan.usage import held_by_guest
from vifplug.plan.wired import Ready, Wired
from vifplug.planner import Pair, Planner, View, plugin_failed
from vifplug.plugin import VIFPlugin
from vifplug.query import libvirt
from vifplug.registry import kinds_of
from vifplug.result import Outcomes, Result
from vifplug.switch import Departure

# What only a plug, an unplug or a list needs is imported there: other commands start sooner.
if TYPE_CHECKING:
    from vifplug.calls import Leaving
    from vifplug.daemon.request import Reply
    from vifplug.plan.plugged import Plugged

__all__ = ["GenericVIFDriver", "Outcomes", "Pair", "Result", "View"]

LOG = logging.getLogger(__name__)


class GenericVIFDriver(Planner):
    """Plugs VIFs of every type that an installed plugin claims. Safe to share between threads."""

    # The API (docs/api.md).

    def get_config(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, host: Host | None = None
    ) -> Interface:
        """Return the guest's side of the VIF, without touching anything.

        ``host`` plans for another host, without this one's facts and marks. Raises InvalidVIF,
        UnknownVIFType, PluginFailed, Conflict.
        """
        ready = self.ready(instance, vif)
        view = self.look([ready], host=host, everywhere=False)
        return self.wire(ready, view.host).wiring.interface

    def plan(
        self,
        instance: Mapping[str, Any] | None,
        vif: VIF,
        *,
        host: Host | None = None,
        move: bool = False,
    ) -> Plan:
        """Return what :meth:`plug` would do. Raises as :meth:`get_config`."""
        outcome = self.plan_all([(instance, vif)], host=host, move=move)[0]
        if isinstance(outcome, VifplugError):
            raise outcome
        return outcome

    def check(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, host: Host | None = None
    ) -> Plan:
        """Return what differs from "plugged as asked"; an empty plan is false in a condition.

        Where the VIF's guest runs and libvirt answers, its live interface is compared too.
        """
        vifs = self.all_ready([(instance, vif)])
        view = self.look(_good(vifs), host=host)
        (outcome,) = self.checks(self.all_wired(vifs, view.host), view)
        if isinstance(outcome, VifplugError):
            raise outcome
        return outcome

    def plug(
        self,
        instance: Mapping[str, Any] | None,
        vif: VIF,
        *,
        timeout: float | None = None,
        move: bool = False,
    ) -> Result:
        """Make the host connect the VIF; a VIF that is connected already is left alone.

        ``timeout`` in seconds replaces the configured one. ``move`` brings over a VIF that is
        plugged by another vif_type or on another bridge; without it that is a Conflict. Raises
        InvalidVIF, UnknownVIFType, PluginFailed, Conflict before any change; PlugFailed,
        DeadlineExceeded, PrivilegeError.
        """
        return _only(self.plug_all([(instance, vif)], timeout=timeout, move=move))

    def unplug(
        self,
        instance: Mapping[str, Any] | None,
        vif: VIF,
        *,
        timeout: float | None = None,
        force: bool = False,
    ) -> Result:
        """Remove all that the host has of the VIF; what is gone already is no error.

        A VIF that its guest holds is only removed by ``force``. Raises InUse before any change,
        UnplugFailed where something is left, DeadlineExceeded, PrivilegeError.
        """
        return _only(self.unplug_all([(instance, vif)], timeout=timeout, force=force))

    def plan_all(
        self, pairs: Sequence[Pair], *, host: Host | None = None, move: bool = False
    ) -> list[Plan | VifplugError]:
        """Return a plan for each VIF, in order, each with what those before it will have made."""
        vifs = self.all_ready(pairs)
        view = self.look(_good(vifs), host=host)
        return self.plans(self.all_wired(vifs, view.host), view, move=move)

    def plug_all(
        self, pairs: Sequence[Pair], *, timeout: float | None = None, move: bool = False
    ) -> Outcomes:
        """Plug VIFs in one privileged call a plugin; one that fails hurts no other.

        Returns, in order, a Result or the error for each.
        """
        deadline = self.deadline(timeout)
        vifs = self.all_ready(pairs)
        view = self.look(_good(vifs), deadline=deadline)
        return self.plug_wired(self.all_wired(vifs, view.host), view, deadline, move=move)

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

    def list(self) -> list[Plugged]:
        """Return what this host has plugged, as its marks, claims and switches tell.

        Raises SwitchError where there is a switch that can't be read.
        """
        vifs, failures = self.listing()
        if failures:
            raise failures[0]
        return [*vifs]

    def listing(
        self, *, timeout: float | None = None
    ) -> tuple[Sequence[Plugged], Sequence[SwitchError]]:
        """Return what this host has plugged, and the switches that can't be read.

        Of a VIF on such a switch, only the devices of the kernel are known.
        """
        from vifplug.plan.plugged import plugged

        plugins = self._all_plugins()
        host = self.reader.devices(batch=True)
        host = self._with_switches(host, None, plugins, self.deadline(timeout))
        unbridged = {plugin.vif_type for plugin in plugins if plugin.unbridged}
        vifs = plugged(host, kinds_of(plugins), unbridged=unbridged)
        self.reader.warn_of_claims(host)
        return vifs, _failures(host)

    # Plugging.

    def plug_wired(
        self,
        vifs: Sequence[Wired | VifplugError],
        view: View,
        deadline: float,
        *,
        move: bool = False,
    ) -> Outcomes:
        """Plug VIFs that are wired for the host of this view."""
        outcomes: list[Result | VifplugError | None] = [None] * len(vifs)
        to_plug: dict[int, Wired] = {}
        for position, vif in enumerate(vifs):
            try:
                if isinstance(vif, VifplugError):
                    raise vif
                placed = self._placed(vif, view.host, move)
                if not placed.move and self._is_plugged(placed, view):
                    outcomes[position] = _unchanged(placed)
                else:
                    to_plug[position] = placed
            except VifplugError as error:
                outcomes[position] = error
            except Exception as error:
                assert isinstance(vif, Wired)  # noqa: S101 - an error was raised as it is
                outcomes[position] = plugin_failed(vif, error)
        self._warn(tuple(to_plug.values()), wait=deadline - time.monotonic())
        for module, group in _by_module(to_plug):
            from vifplug import calls

            replies = calls.plug(module, tuple(group.values()), deadline)
            for chain in replies[0].dropping:
                LOG.warning("%s drops bridged packets that no rule of it accepts", chain)
            for (position, vif), reply in zip(group.items(), replies, strict=True):
                outcomes[position] = reply.error or _result(vif, reply)
        return [outcome for outcome in outcomes if outcome is not None]

    def _is_plugged(self, vif: Wired, view: View) -> bool:
        """Whether a VIF is plugged as asked, and no other caller is at work on it.

        Then no privilege is needed to say so. Raises Conflict.
        """
        if not is_there(vif.owner, vif.wiring, view.host):
            return False
        names = locks.names(vif.vif.id, vif.shared)
        return locks.idle(self.reader.folder(), names, since=view.since)

    def close(self) -> None:
        """End the privileged daemons that this process started."""
        for plugin in self.registry.loaded:
            module = sys.modules.get(plugin.privileged())
            if module is not None:
                module.context.stop()

    # Privileged calls.

    def _warn(self, vifs: Sequence[Wired], *, wait: float) -> None:
        """Log what a person should know before a guest starts, each VIF named."""
        for vif in vifs:
            # No warning, because another system's model always has such fields.
            for note in vif.wiring.passed_over:
                LOG.info("VIF %s: %s", vif.vif.id, note)
            for note in vif.wiring.notes:
                LOG.warning("VIF %s: %s", vif.vif.id, note)
        filters = {v.vif.id: f.name for v in vifs if (f := v.wiring.interface.filterref)}
        if not filters:
            return
        names = tuple(set(filters.values()))
        missing = libvirt.missing_filters(self._group.libvirt_uri, names, wait=wait)
        for vif_id, name in filters.items():
            if name in missing:
                LOG.warning(
                    "VIF %s: libvirt does not know the filter %s: the guest won't start until "
                    "it is defined (virsh nwfilter-define)",
                    vif_id,
                    name,
                )

    def _unplug(
        self, vifs: Sequence[tuple[str, VIF | None]], timeout: float | None, *, force: bool
    ) -> Outcomes:
        """Unplug VIFs: each plugin that has something of one is asked, those with a switch first.

        With each VIF's id comes the VIF itself, where the caller knows it.
        """
        from vifplug import calls

        deadline = self.deadline(timeout)
        since = locks.stamp(self.reader.folder())
        host = self.reader.devices(batch=len(vifs) >= BATCH)
        by_id = any(vif is None for _, vif in vifs)
        if by_id:
            host = replace(host, asked=tuple(vif_id for vif_id, _ in vifs))
        known = [vif for _, vif in vifs if vif]
        types = dict.fromkeys((*(vif.vif_type for vif in known), *self.registry.switches_here()))
        plugins = self._all_plugins() if by_id else self.registry.some(types)
        # A switch that hangs leaves time for the VIFs of others.
        until = (deadline + time.monotonic()) / 2
        expected = _types_of_all(vifs, host) if by_id else None
        host = self._with_switches(
            host, None if by_id else known, plugins, until, expected=expected
        )
        for failure in _failures(host) if by_id else ():
            LOG.warning("%s: what it has of these VIFs is not known", failure)
        leaving = [self._leaving(*vif, host, plugins, since, force=force) for vif in vifs]
        for module in dict.fromkeys(module for each in leaving for module in each.modules):
            asked = [each for each in leaving if module in each.modules and not each.in_use]
            calls.unplug(module, asked, deadline)
        return [_with_holder(each.outcome) for each in leaving]

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
            marked = [self.registry.plugin(each, vif_id=vif_id) for each in types]
            own, unusable = self._plugin_of(vif)
            own = own or (marked[0] if marked and vif is None else None)
            asked = owners(departure, host, [*marked, *plugins], own=own)
            kinds = kinds_of([*marked, *plugins])
            nothing = not asked and not removal(vif_id, host, kinds, remove_unused=False)
            nothing = nothing and not self.reader.left_over(vif_id, host)
            nothing = nothing and (unusable is not None or not lost_marks(host, kinds))
            if nothing and locks.idle(self.reader.folder(), locks.names(vif_id), since=since):
                return leaving
            # Before any daemon is asked, because the first of several would change something.
            held = None if force else held_by_guest(departure, host, kinds)
            if held and held[1]:
                raise InUse(vif_id, held[0])
            if unusable:
                raise unusable
            if not asked:
                some = [*([own] if own else []), *plugins]
                asked = [each for each in some if lost_marks(host, each.kinds)][:1] or some[:1]
            if not asked:
                raise UnknownVIFType(vif_id, "", "no plugin is installed that works")
            leaving.modules = tuple(plugin.privileged() for plugin in asked)
        except VifplugError as error:
            leaving.errors.append(error)
        return leaving

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


def _with_holder(outcome: Result | VifplugError) -> Result | VifplugError:
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


def _failures(host: Host) -> Sequence[SwitchError]:
    """Return the errors of a host's switches that can't be read.

    A plugin that fails has been warned of; it hides no other's VIFs.
    """
    read = (s for s in host.switches.values() if not s.absent and not isinstance(s, Unread))
    return [snapshot.failure for snapshot in read if snapshot.failure]


def _good(vifs: Iterable[Ready | VifplugError]) -> list[Ready]:
    return [vif for vif in vifs if isinstance(vif, Ready)]


def _only(outcomes: Outcomes) -> Result:
    if isinstance(outcomes[0], VifplugError):
        raise outcomes[0]
    return outcomes[0]


def _result(vif: Wired, reply: Reply) -> Result:
    return Result(
        id=vif.vif.id,
        vif_type=vif.vif.vif_type,
        process=vif.wiring.process or None,
        changed=reply.changed,
        devices=reply.devices,
        made=reply.made,
        removed=reply.removed,
    )


def _unchanged(vif: Wired) -> Result:
    return Result(
        id=vif.vif.id,
        vif_type=vif.vif.vif_type,
        process=vif.wiring.process or None,
        changed=False,
        devices=vif.wiring.devices,
    )


def _by_module(vifs: Mapping[int, Wired]) -> Iterable[tuple[str, dict[int, Wired]]]:
    groups: dict[str, dict[int, Wired]] = {}
    for position, vif in vifs.items():
        groups.setdefault(vif.module, {})[position] = vif
    return groups.items()


def _uuid(text: str) -> str:
    try:
        return str(fields.UUID.check(text, lenient=False))
    except fields.NotAllowed:
        raise InvalidVIF(shown(text), "id", shown(text), fields.UUID.allowed) from None
