# SPDX-License-Identifier: Apache-2.0
"""The steps from a VIF to its plan: ready, looked for, wired, placed, planned. Changes nothing."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vifplug import fields, opts
from vifplug.daemon import locks
from vifplug.errors import (
    PLUGIN_ERRORS,
    Conflict,
    InvalidVIF,
    PluginFailed,
    VifplugError,
)
from vifplug.model.host import BATCH, Host
from vifplug.model.mark import UPLINK, shared_mark
from vifplug.model.snapshot import Unread, traces_of
from vifplug.model.vif import VIF, Instance
from vifplug.plan.compare import Plan, plan
from vifplug.plan.move import Leave, leave
from vifplug.plan.others import Others
from vifplug.plan.place import elsewhere, leaves, places, require_one_place
from vifplug.plan.sound import require_sound
from vifplug.plan.wired import Ready, Wired
from vifplug.plugin import VIFPlugin
from vifplug.query import libvirt
from vifplug.query.cards import SYSFS
from vifplug.query.host import HostReader, SwitchReader
from vifplug.registry import Registry
from vifplug.switch import Departure, Wanted

LOG = logging.getLogger(__name__)

_Plans = list[Plan | VifplugError]
_Plugins = list[VIFPlugin]
_Ready = list[Ready | VifplugError]
_Wired = list[Wired | VifplugError]

Pair = tuple[Mapping[str, Any] | None, VIF]
"""An instance (a mapping with uuid and name, or None for the VIF's own) and its VIF."""


@dataclass(frozen=True, kw_only=True)
class View:
    """The host as it was read, and the stamp of its locks from just before (see ``locks.idle``).

    ``others`` are the plugins of switches that this host may have: they may have any VIF.
    """

    host: Host
    since: int | None
    others: Others


class Planner:
    """Plans VIFs of every type that an installed plugin claims. Safe to share between threads."""

    def __init__(
        self,
        conf: Any = None,
        *,
        registry: Registry | None = None,
        sysfs: Path = SYSFS,
        asks_libvirt: bool = True,
    ) -> None:
        """``conf`` is an oslo.config configuration; the process' own where not given.

        ``sysfs`` is where that is mounted, which tells of PCI functions. Without ``asks_libvirt``
        libvirt is not asked for its filters; a caller that libvirt waits for must also tell
        libvirt's facts (:meth:`look`).
        """
        self._asks_libvirt = asks_libvirt
        self._conf = cfg.CONF if conf is None else conf
        self._group = opts.register(self._conf)
        self.registry = registry or Registry(
            options=self._options, pinned=lambda: self._group.claims or {}
        )
        self._others: dict[tuple[VIFPlugin, ...], Others] = {}
        self.reader = HostReader(self._group, sysfs=sysfs, told=self._told)

    # The steps, for callers that show each.

    def ready(self, instance: Mapping[str, Any] | None, vif: VIF) -> Ready:
        """Return the VIF completed and checked by its plugin. Raises as :meth:`get_config`."""
        taken = self._taken(instance, vif)
        plugin = self.registry.plugin(taken.vif_type, vif_id=taken.id)
        try:
            completed = plugin.completed(taken)
            plugin.check(completed)
        except VifplugError:
            raise
        except PLUGIN_ERRORS as error:
            raise plugin_failed(Ready(vif=taken, plugin=plugin), error) from error
        return Ready(vif=completed, plugin=plugin)

    def all_ready(self, pairs: Sequence[Pair]) -> _Ready:
        """Return each VIF as :meth:`ready` returns it, or the error."""
        return [_or_error(partial(self.ready, *pair)) for pair in pairs]

    def look(
        self,
        vifs: Sequence[Ready],
        *,
        host: Host | None = None,
        told: Mapping[str, Any] | None = None,
        deadline: float | None = None,
        everywhere: bool = True,
    ) -> View:
        """Return the host as these VIFs must know it; ``host`` is one that somebody described.

        ``everywhere``: also what other plugins' switches have of them, which a plan must know.
        """
        until = self.deadline(None) if deadline is None else deadline
        since = locks.stamp(self.reader.folder())
        here = self.registry.switches_here() if everywhere else ()
        others = self._others_at(here) if everywhere else Others()
        if host is None:
            asked = (name for vif in vifs for name in _asked_for(vif, others))
            names = asked if everywhere else ()
            wait = (until - time.monotonic()) / 2  # the switches need the rest
            host = self.reader.read(batch=len(vifs) >= BATCH, names=names, told=told, wait=wait)
        plugins = [*(vif.plugin for vif in vifs), *others.plugins]
        every = [vif.vif for vif in vifs]
        host = self._with_switches(host, every, plugins, until, here=here)
        return View(host=host, since=since, others=others)

    def look_again(self, vifs: Sequence[Ready], view: View, *, deadline: float) -> View:
        """Return a view whose devices and switches are read again."""
        return self.look(vifs, host=self.reader.fresh(view.host), deadline=deadline)

    def wire(self, ready: Ready, host: Host) -> Wired:
        """Return what a VIF needs on a host. Raises InvalidVIF, Conflict, PluginFailed."""
        vif, plugin = ready.vif, ready.plugin
        switch = host.switches.get(plugin.snapshot.key) if plugin.snapshot else None
        if isinstance(switch, Unread):
            raise PluginFailed(vif.id, vif.vif_type, source_of(plugin), switch.error)
        try:
            passed_over = plugin.passed_over(vif)
            wiring = plugin.wire(vif, host)
            require_sound(wiring, plugin)
        except VifplugError:
            raise
        except PLUGIN_ERRORS as error:
            raise plugin_failed(ready, error) from error
        if passed_over:
            every = (*passed_over, *wiring.passed_over)
            wiring = dataclasses.replace(wiring, passed_over=every)
        return Wired(vif=vif, plugin=plugin, wiring=wiring)

    def all_wired(self, vifs: Sequence[Ready | VifplugError], host: Host) -> _Wired:
        """Return each VIF as :meth:`wire` returns it, or the error."""
        return [
            vif if isinstance(vif, VifplugError) else _or_error(partial(self.wire, vif, host))
            for vif in vifs
        ]

    def plans(
        self, vifs: Sequence[Wired | VifplugError], view: View, *, move: bool = False
    ) -> _Plans:
        """Return a plan for each VIF, or the error."""
        planning = dataclasses.replace(view, host=view.host.planning())
        plans = [
            vif
            if isinstance(vif, VifplugError)
            else _or_error(partial(self._plan, vif, planning, move))
            for vif in vifs
        ]
        self.reader.warn_of_claims(view.host)
        return plans

    def checks(self, vifs: Sequence[Wired | VifplugError], view: View) -> _Plans:
        """Return what differs from "plugged as asked", for each VIF on its own, or the error.

        Where libvirt answers, the interface of the VIF's guest is compared too: as it runs, or as
        it will start.
        """
        plans = [self.plans([vif], view)[0] for vif in vifs]
        if not self.reader.is_running(view.host):
            return plans
        compared = {
            position: (vif, checked)
            for position, (vif, checked) in enumerate(zip(vifs, plans, strict=True))
            if isinstance(vif, Wired) and isinstance(checked, Plan)
        }
        if not compared:
            return plans
        from vifplug.guest import live
        from vifplug.query import guests

        found = guests.known(self._group.libvirt_uri).interfaces
        for position, (vif, checked) in compared.items():
            wanted = vif.wiring.interface
            if attached := live.of_vif(wanted, found):
                stale = (*checked.stale, *live.differences(wanted, attached))
                plans[position] = dataclasses.replace(checked, stale=stale)
        return plans

    def _plan(self, vif: Wired, view: View, move: bool) -> Plan:
        try:
            vif = self._placed(vif, view, move)
            return plan(vif.owner, vif.wiring, view.host, leaving=vif.leaving)
        except VifplugError:
            raise
        except PLUGIN_ERRORS as error:
            raise plugin_failed(vif, error) from error

    def _placed(self, vif: Wired, view: View, move: bool) -> Wired:
        """Return a VIF as it is to be plugged; one that is elsewhere as it is to be moved.

        A host that is being planned then has it no more where it was. Raises Conflict, unless it
        may ``move``.
        """
        host, others = view.host, view.others
        kinds = others.kinds(vif.plugin)
        vif = dataclasses.replace(vif, elsewhere=others.names(vif.plugin, vif.vif.id))
        dead = not vif.plugin.switch
        if not move:
            require_one_place(vif.wanted, host, kinds, vif.elsewhere, dead=dead)
            return vif
        place = elsewhere(vif.wanted, host, kinds, vif.elsewhere, dead=dead)
        if place is None and not vif.wiring.today:
            return vif
        fresh = self._anew(vif, host.trial(), others)
        if fresh is None or not leaves(fresh.wanted, host, kinds, vif.elsewhere):
            return dataclasses.replace(vif, move=True) if place else vif
        mover = _mover(fresh, host, others)
        leaving = _leave(vif, host.planning(), others, wanted=fresh.wanted).operations
        return dataclasses.replace(fresh, move=True, mover=mover, leaving=leaving)

    def _anew(self, vif: Wired, host: Host, others: Others) -> Wired | None:
        """Return a VIF wired for a host that has it no more, which this notes on the host.

        None where the host has it nowhere.
        """
        kinds = others.kinds(vif.plugin)
        ids, dead = (vif.vif.id, vif.vif.interface_id), not vif.plugin.switch
        found = [*places(*ids, host, kinds, vif.elsewhere, dead=dead)]
        if not found:
            return None
        where = max(found, key=lambda place: (place.vif_type != "", place.bridge is not None))
        _leave(vif, host, others)
        anew = self.wire(vif.ready, host)
        notes = (f"moves from {where.bridge or where.device} ({where.way})", *anew.wiring.notes)
        wiring = dataclasses.replace(anew.wiring, notes=notes)
        return dataclasses.replace(anew, wiring=wiring, elsewhere=vif.elsewhere)

    # The host.

    def libvirt(self, *, wait: float = libvirt.LIBVIRT_WAIT) -> libvirt.Libvirt:
        """Return what libvirt says of itself within some seconds, or has said just before."""
        return libvirt.libvirt(self._group.libvirt_uri, wait=wait)

    def whole_host(self, *, deadline: float | None = None) -> Host:
        """Return the host with everything that the switches of all plugins have."""
        until = self.deadline(None) if deadline is None else deadline
        host = self.reader.read(wait=until - time.monotonic())
        return self._with_switches(host, None, self._all_plugins(), until)

    def deadline(self, timeout: float | None) -> float:
        """Return when a call of so many seconds must have ended, as CLOCK_MONOTONIC tells it."""
        return time.monotonic() + (self._group.timeout if timeout is None else timeout)

    # What the legacy drivers change.

    def _options(self, plugin: type[VIFPlugin]) -> Mapping[str, Any]:
        """Return the configured values of a plugin's options."""
        return opts.of(plugin, self._conf)

    def _told(self) -> Mapping[str, Any]:
        """Return facts of the host that replace what would be looked up."""
        return {}

    def _taken(self, instance: Mapping[str, Any] | None, vif: VIF) -> VIF:
        """Return a caller's VIF with its instance; the legacy drivers take older kinds too."""
        return _with_instance(instance, vif)

    # Plugins and their switches.

    def _others_at(self, here: tuple[str, ...]) -> Others:
        """Return the plugins of the switches that this host may have, and that may have any VIF."""
        plugins = tuple(self.registry.some(here))
        if plugins not in self._others:
            self._others[plugins] = Others(plugins, vif_types=self.registry.vif_types)
        return self._others[plugins]

    def _all_plugins(self) -> _Plugins:
        """Return every plugin that works."""
        return self.registry.some(self.registry.vif_types)

    def _with_switches(
        self,
        host: Host,
        vifs: Sequence[VIF] | None,
        plugins: Sequence[VIFPlugin],
        deadline: float,
        *,
        here: Collection[str] = (),
        expected: Set[str] | None = None,
    ) -> Host:
        """Return the host with the switches of these plugins, as far as some VIFs need them.

        Those of the vif_types ``here`` may have any VIF, whatever its type. Without ``vifs`` it is
        all that they have; ``expected`` are then the vif_types for which they are waited for,
        where that is not every one.
        """
        readers: dict[str, SwitchReader] = {}
        for plugin in plugins:
            module = plugin.reader()
            if module is None or module in readers:
                continue
            sharing = {p.vif_type for p in plugins if p.reader() == module}
            own = None if vifs is None else [vif for vif in vifs if vif.vif_type in sharing]
            readers[module] = SwitchReader(
                module=module,
                key=plugin.snapshot.key if plugin.snapshot else module,
                options=plugin.options,
                vifs=vifs if not sharing.isdisjoint(here) else own,
                own=bool(own) or (own is None and (expected is None or bool(sharing & expected))),
                alone=vifs is not None and own == [*vifs],
            )
        return self.reader.with_switches(host, readers.values(), deadline=deadline)


def plugin_failed(vif: Ready | Wired, error: BaseException) -> PluginFailed:
    """Return the error of a VIF whose plugin raised what no plugin should."""
    why = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return PluginFailed(vif.vif.id, vif.vif.vif_type, source_of(vif.plugin), why)


def _asked_for(vif: Ready, others: Others) -> Iterable[str]:
    """Return the names that a plug of a VIF will ask for: one look finds all these devices."""
    yield from others.names(vif.plugin, vif.vif.id)
    # A switch's bridge is no device that a plan asks for.
    bridge = None if vif.plugin.switch else vif.vif.network.bridge
    uplink = shared_mark(UPLINK, bridge) if bridge else None
    yield from (name for name in (vif.vif.devname, bridge, uplink) if name)


def _leave(vif: Wired, host: Host, others: Others, *, wanted: Wanted | None = None) -> Leave:
    """Return how a VIF leaves its place, and note it on a host that is being planned."""
    departure = Departure(vif_id=vif.vif.id, interface_id=vif.vif.interface_id)
    in_switch = [
        operation
        for plugin in others.at_switches(vif.plugin)
        for operation in plugin.leave(departure, host)
    ]
    return leave(departure, host, others.kinds(vif.plugin), in_switch, wanted=wanted)


def _mover(vif: Wired, host: Host, others: Others) -> VIFPlugin:
    """Return the plugin that brings a VIF over: it must know the old place and the new one.

    Raises Conflict where none does.
    """
    leaving = [
        plugin
        for plugin in others.at_switches(vif.plugin)
        if plugin.snapshot
        and (snapshot := host.switches.get(plugin.snapshot.key))
        and traces_of(snapshot, vif.vif.id, vif.vif.interface_id)
    ]
    mover = leaving[0] if leaving else vif.plugin
    strange = [part.kind for part in vif.wiring.parts if type(part) not in mover.kinds]
    if strange or len(leaving) > 1:
        needed = "unplug it there first: these two can't be moved in one plug"
        found = f"is where {mover.vif_type} has put it"
        raise Conflict(vif.vif.id, vif.vif.vif_type, found, needed)
    return mover


def source_of(plugin: VIFPlugin) -> str:
    """Return the package of a plugin."""
    return type(plugin).__module__.partition(".")[0]


def _or_error(do: partial[Any]) -> Any:
    """Return what a call returns, or the error that it raises."""
    try:
        return do()
    except VifplugError as error:
        return error


def _with_instance(instance: Mapping[str, Any] | None, vif: VIF) -> VIF:
    if instance is None:
        return vif
    known = {name: instance[name] for name in ("uuid", "name") if name in instance}
    loaded = fields.load(Instance, known, partial(InvalidVIF, vif.id), at="instance")
    return dataclasses.replace(vif, instance=loaded)
