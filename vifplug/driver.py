# SPDX-License-Identifier: Apache-2.0
"""GenericVIFDriver: the registry, the host, plans and their application, as one API.

The one driver of the LibvirtVIFDrivers blueprint: driven by vif_type, nothing to choose.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vifplug import fields, opts
from vifplug.daemon import locks
from vifplug.daemon.request import PlugVIF, Reply, Request, UnplugVIF
from vifplug.errors import (
    NO_VIF,
    Conflict,
    InvalidVIF,
    PluginFailed,
    SwitchError,
    UnknownVIFType,
    UnplugFailed,
    VifplugError,
    shown,
)
from vifplug.guest.interface import Interface
from vifplug.kernel.namespace import network_namespace
from vifplug.model.host import BATCH, Host
from vifplug.model.mark import Owner
from vifplug.model.vif import VIF, Instance
from vifplug.plan.compare import Plan, is_there, plan
from vifplug.plan.move import leave
from vifplug.plan.owners import owners, types_of
from vifplug.plan.place import elsewhere, leaves, names_of, places, require_one_place
from vifplug.plan.plugged import Plugged, plugged
from vifplug.plan.removal import removal
from vifplug.plan.wired import Ready, Wired
from vifplug.plugin import VIFPlugin
from vifplug.query import libvirt
from vifplug.query.cards import SYSFS
from vifplug.query.host import HostReader, SwitchReader
from vifplug.registry import Registry
from vifplug.result import Outcomes, Result
from vifplug.switch import Departure

__all__ = ["GenericVIFDriver", "Outcomes", "Pair", "Result", "View"]

LOG = logging.getLogger(__name__)

_Plans = list[Plan | VifplugError]
_Plugins = list[VIFPlugin]
_Ready = list[Ready | VifplugError]
_Wired = list[Wired | VifplugError]

Pair = tuple[Mapping[str, Any] | None, VIF]
"""An instance (a mapping with uuid and name, or None for the VIF's own) and its VIF."""


@dataclass(frozen=True, kw_only=True)
class View:
    """The host as it was read, and the stamp of its locks from just before (see ``locks.idle``)."""

    host: Host
    since: int | None


class GenericVIFDriver:
    """Plugs VIFs of every type that an installed plugin claims. Safe to share between threads."""

    def __init__(
        self, conf: Any = None, *, registry: Registry | None = None, sysfs: Path = SYSFS
    ) -> None:
        """``conf`` is an oslo.config configuration; the process' own where not given.

        ``sysfs`` is where that is mounted, which tells of PCI functions.
        """
        self._conf = cfg.CONF if conf is None else conf
        self._group = opts.register(self._conf)
        self.registry = registry or Registry(options=self._options)
        self.reader = HostReader(self._group, sysfs=sysfs, told=self._told)

    # The API (docs/api.md).

    def get_config(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, host: Host | None = None
    ) -> Interface:
        """Return the guest's side of the VIF, without touching anything.

        ``host`` plans for another host, without this one's facts and marks. Raises InvalidVIF,
        UnknownVIFType, PluginFailed, Conflict.
        """
        ready = self.ready(instance, vif)
        view = self.look([ready], host=host)
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
        """Return what differs from "plugged as asked"; an empty plan is false in a condition."""
        return self.plan(instance, vif, host=host)

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
        self, instance: Mapping[str, Any] | None, vif: VIF, *, timeout: float | None = None
    ) -> Result:
        """Remove all that the host has of the VIF; what is gone already is no error.

        Raises UnplugFailed where something is left, DeadlineExceeded, PrivilegeError.
        """
        return _only(self.unplug_all([(instance, vif)], timeout=timeout))

    def plan_all(
        self, pairs: Sequence[Pair], *, host: Host | None = None, move: bool = False
    ) -> _Plans:
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

    def unplug_all(self, pairs: Sequence[Pair], *, timeout: float | None = None) -> Outcomes:
        """Unplug VIFs in one privileged call a plugin; one that fails hurts no other."""
        vifs = [self._taken(None, vif) for _, vif in pairs]
        return self._unplug([(vif.id, vif) for vif in vifs], timeout)

    def unplug_ids(self, ids: Iterable[str], *, timeout: float | None = None) -> Outcomes:
        """Unplug VIFs of which only the ids are known, by what the host carries.

        A result's vif_type is empty where no mark tells it. Raises InvalidVIF for an id that is
        not a UUID.
        """
        return self._unplug([(_uuid(given), None) for given in ids], timeout)

    def list(self) -> list[Plugged]:
        """Return what this host has plugged, as its marks, claims and switches tell.

        Raises SwitchError where there is a switch that can't be read.
        """
        plugins = self._all_plugins()
        host = self.reader.devices(batch=True)
        host = self._with_switches(host, None, plugins, self.deadline(None))
        for snapshot in host.switches.values():
            if snapshot.error and not snapshot.absent:
                raise _unreadable(snapshot)
        vifs = plugged(host, _kinds(plugins))
        for problem in self.reader.problems(host):
            LOG.warning("%s", problem)
        return vifs

    # The steps of a plan, for callers that show each.

    def ready(self, instance: Mapping[str, Any] | None, vif: VIF) -> Ready:
        """Return the VIF completed and checked by its plugin. Raises as :meth:`get_config`."""
        taken = self._taken(instance, vif)
        plugin = self.registry.plugin(taken.vif_type, vif_id=taken.id)
        completed = plugin.completed(taken)
        plugin.check(completed)
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
    ) -> View:
        """Return the host as these VIFs must know it; ``host`` is one that somebody described."""
        until = self.deadline(None) if deadline is None else deadline
        since = locks.stamp(self.reader.folder())
        plugins = [*(vif.plugin for vif in vifs), *self._with_a_switch()]
        if host is None:
            names = (name for vif in vifs for name in self._names(vif.vif, plugins))
            wait = until - time.monotonic()
            host = self.reader.read(batch=len(vifs) >= BATCH, names=names, told=told, wait=wait)
        host = self._with_switches(host, [vif.vif for vif in vifs], plugins, until)
        return View(host=host, since=since)

    def look_again(self, vifs: Sequence[Ready], view: View, *, deadline: float) -> View:
        """Return a view whose devices and switches are read again."""
        return self.look(vifs, host=self.reader.fresh(view.host), deadline=deadline)

    def wire(self, ready: Ready, host: Host) -> Wired:
        """Return what a VIF needs on a host. Raises InvalidVIF, Conflict, PluginFailed."""
        vif, plugin = ready.vif, ready.plugin
        try:
            wiring = plugin.wire(vif, host)
        except VifplugError:
            raise
        except Exception as error:
            source = type(plugin).__module__.partition(".")[0]
            why = f"{type(error).__name__}: {error}"
            raise PluginFailed(vif.id, vif.vif_type, source, why) from error
        names = self._names(vif, [plugin, *self._with_a_switch()])
        return Wired(vif=vif, plugin=plugin, wiring=wiring, elsewhere=names)

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
        host = view.host.planning()
        return [
            vif
            if isinstance(vif, VifplugError)
            else _or_error(partial(self._plan, vif, host, move))
            for vif in vifs
        ]

    def _plan(self, vif: Wired, host: Host, move: bool) -> Plan:
        vif = self._placed(vif, host, move)
        return plan(vif.owner, vif.wiring, host)

    def _placed(self, vif: Wired, host: Host, move: bool) -> Wired:
        """Return a VIF as it is to be plugged; one that is elsewhere as it is to be moved.

        A host that is being planned then has it no more where it was. Raises Conflict, unless it
        may ``move``.
        """
        kinds = self._known_kinds(vif.plugin)
        if not move:
            require_one_place(vif.wanted, host, kinds, vif.elsewhere)
            return vif
        fresh = self._anew(vif, host.trial())
        if fresh is None or not leaves(fresh.wanted, host, kinds, vif.elsewhere):
            place = elsewhere(vif.wanted, host, kinds, vif.elsewhere)
            return dataclasses.replace(vif, move=True) if place else vif
        mover = self._mover(fresh, host)
        moved = self._anew(vif, host.planning()) or fresh
        return dataclasses.replace(moved, move=True, mover=mover)

    def _anew(self, vif: Wired, host: Host) -> Wired | None:
        """Return a VIF wired for a host that has it no more, which this notes on the host.

        None where the host has it nowhere.
        """
        kinds = self._known_kinds(vif.plugin)
        interface_id = vif.vif.interface_id
        where = next(places(vif.vif.id, interface_id, host, kinds, vif.elsewhere), None)
        if where is None:
            return None
        departure = Departure(vif_id=vif.vif.id, interface_id=interface_id)
        in_switch = [
            operation
            for plugin in self._with_a_switch()
            for operation in plugin.leave(departure, host)
        ]
        leaving = leave(vif.vif.id, host, kinds, in_switch)
        anew = self.wire(Ready(vif=vif.vif, plugin=vif.plugin), host)
        leaving.marked_for(anew.owner, host)
        notes = (f"moves: {where.device} {where}", *anew.wiring.notes)
        return dataclasses.replace(anew, wiring=dataclasses.replace(anew.wiring, notes=notes))

    def _mover(self, vif: Wired, host: Host) -> VIFPlugin:
        """Return the plugin that brings a VIF over: it must know the old place and the new one.

        Raises Conflict where none does.
        """
        leaving = [
            plugin
            for plugin in self._with_a_switch()
            if plugin.snapshot
            and (snapshot := host.switches.get(plugin.snapshot.key))
            and any(True for _ in snapshot.traces(vif.vif.id, vif.vif.interface_id))
        ]
        mover = leaving[0] if leaving else vif.plugin
        strange = [part.kind for part in vif.wiring.parts if type(part) not in mover.kinds]
        if strange or len(leaving) > 1:
            needed = "unplug it there first: these two can't be moved in one plug"
            found = f"is where {mover.vif_type} has put it"
            raise Conflict(vif.vif.id, vif.vif.vif_type, found, needed)
        return mover

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
        self._warn(tuple(to_plug.values()), wait=deadline - time.monotonic())
        for module, group in _by_module(to_plug):
            requests = [_request(vif) for vif in group.values()]
            replies = self._call(module, "plug", requests, deadline)
            for chain in replies[0].dropping:
                LOG.warning("%s drops bridged packets that no rule of it accepts", chain)
            for (position, vif), reply in zip(group.items(), replies, strict=True):
                outcomes[position] = outcome = _plugged(vif, reply)
                _log("plug", vif.vif, outcome)
        return [outcome for outcome in outcomes if outcome is not None]

    def _is_plugged(self, vif: Wired, view: View) -> bool:
        """Whether a VIF is plugged as asked, and no other caller is at work on it.

        Then no privilege is needed to say so. Raises Conflict.
        """
        if not is_there(vif.owner, vif.wiring, view.host):
            return False
        names = locks.names(vif.vif.id, vif.shared)
        return locks.idle(self.reader.folder(), names, since=view.since)

    # What the command line needs besides.

    def libvirt(self, *, wait: float = libvirt.LIBVIRT_WAIT) -> libvirt.Libvirt:
        """Return what libvirt says of itself within some seconds; asked anew each time."""
        return libvirt.libvirt(self._group.libvirt_uri, wait=wait)

    def whole_host(self) -> Host:
        """Return the host with everything that the switches of all plugins have."""
        return self._with_switches(
            self.reader.read(), None, self._all_plugins(), self.deadline(None)
        )

    def deadline(self, timeout: float | None) -> float:
        """Return when a call of so many seconds must have ended, as CLOCK_MONOTONIC tells it."""
        return time.monotonic() + (self._group.timeout if timeout is None else timeout)

    def close(self) -> None:
        """End the privileged daemons that this process started."""
        for plugin in self.registry.loaded:
            module = sys.modules.get(plugin.privileged())
            if module is not None:
                module.context.stop()

    # What the legacy drivers change.

    def _options(self, plugin: type[VIFPlugin]) -> Mapping[str, Any]:
        """Return the configured values of a plugin's options."""
        if not plugin.opts:
            return {}
        self._conf.register_opts(plugin.opts, group=plugin.group)
        group = self._conf[plugin.group]
        return {opt.dest: group[opt.dest] for opt in plugin.opts}

    def _told(self) -> Mapping[str, Any]:
        """Return facts of the host that replace what would be looked up."""
        return {}

    def _taken(self, instance: Mapping[str, Any] | None, vif: VIF) -> VIF:
        """Return a caller's VIF with its instance; the legacy drivers take older kinds too."""
        return _with_instance(instance, vif)

    # Plugins and their switches.

    def _with_a_switch(self) -> _Plugins:
        """Return the plugins whose switch may have something of any VIF."""
        return _loaded(self.registry, self.registry.switch_types)

    def _all_plugins(self) -> _Plugins:
        """Return every plugin that works."""
        return _loaded(self.registry, self.registry.vif_types)

    def _known_kinds(self, plugin: VIFPlugin) -> Sequence[type[Any]]:
        return _kinds([plugin, *self._with_a_switch()])

    def _names(self, vif: VIF, plugins: Iterable[VIFPlugin]) -> tuple[str, ...]:
        """Return the names by which a VIF is looked for, wherever it is plugged."""
        loaded = tuple(plugins)
        processes = {plugin.vif_type: plugin.processes for plugin in loaded}
        every = (
            Owner(vif_id=vif.id, vif_type=vif_type, process=process)
            for vif_type in self.registry.vif_types
            for process in processes.get(vif_type, ("",))
        )
        return names_of(vif.id, _kinds(loaded), every)

    def _with_switches(
        self,
        host: Host,
        vifs: Sequence[VIF] | None,
        plugins: Sequence[VIFPlugin],
        deadline: float,
    ) -> Host:
        """Return the host with the switches of these plugins, as far as some VIFs need them."""
        others = {plugin.reader() for plugin in self._with_a_switch()}
        readers: dict[str, SwitchReader] = {}
        for plugin in plugins:
            module = plugin.reader()
            if module is None or module in readers:
                continue
            sharing = {p.vif_type for p in plugins if p.reader() == module}
            own = None if vifs is None else [vif for vif in vifs if vif.vif_type in sharing]
            readers[module] = SwitchReader(
                module=module,
                options=plugin.options,
                vifs=vifs if module in others else own,
                own=own is None or bool(own),
            )
        return self.reader.with_switches(host, readers.values(), deadline=deadline)

    def _warn(self, vifs: Sequence[Wired], *, wait: float) -> None:
        """Log what a person should know before a guest starts, each VIF named."""
        for vif in vifs:
            for note in vif.wiring.notes:
                LOG.warning("VIF %s: %s", vif.vif.id, note)
        filters = {v.vif.id: f.name for v in vifs if (f := v.wiring.interface.filterref)}
        if not filters:
            return
        names = tuple(set(filters.values()))
        known = libvirt.libvirt(self._group.libvirt_uri, filters=names, wait=wait).filters
        for vif_id, name in filters.items():
            if known.get(name) is False:
                LOG.warning(
                    "VIF %s: libvirt does not know the filter %s: the guest won't start until "
                    "it is defined (virsh nwfilter-define)",
                    vif_id,
                    name,
                )

    # Privileged calls.

    def _call(
        self,
        module: str,
        entrypoint: str,
        vifs: Sequence[PlugVIF] | Sequence[UnplugVIF],
        deadline: float,
    ) -> Sequence[Reply]:
        """Call a plugin's daemon; where the call as a whole fails, each VIF gets the error."""
        from vifplug.daemon.call import call  # oslo.privsep: only those who plug need it

        request = Request.of(network_namespace(), deadline, vifs)
        try:
            return call(importlib.import_module(module).context, entrypoint, request)
        except ImportError as error:
            failed: VifplugError = PluginFailed(NO_VIF, module, module, str(error))
        except VifplugError as error:
            failed = error
        return [Reply(error=failed).about(vif.vif_id) for vif in vifs]

    def _unplug(self, vifs: Sequence[tuple[str, VIF | None]], timeout: float | None) -> Outcomes:
        """Unplug VIFs: each plugin that has something of one is asked, those with a switch first.

        With each VIF's id comes the VIF itself, where the caller knows it.
        """
        deadline = self.deadline(timeout)
        since = locks.stamp(self.reader.folder())
        host = self.reader.devices(batch=len(vifs) >= BATCH)
        by_id = any(vif is None for _, vif in vifs)
        known = [vif for _, vif in vifs if vif]
        types = dict.fromkeys((*(vif.vif_type for vif in known), *self.registry.switch_types))
        plugins = self._all_plugins() if by_id else _loaded(self.registry, types)
        host = self._with_switches(host, None if by_id else known, plugins, deadline)
        leaving = [self._leaving(*vif, host, plugins, since) for vif in vifs]
        modules = dict.fromkeys(module for each in leaving for module in each.modules)
        for module in modules:
            group = [each for each in leaving if module in each.modules]
            requests = [each.request for each in group]
            replies = self._call(module, "unplug", requests, deadline)
            for each, reply in zip(group, replies, strict=True):
                each.replies.append(reply)
        outcomes = [each.outcome for each in leaving]
        for each, outcome in zip(leaving, outcomes, strict=True):
            if each.replies:
                _log("unplug", each.vif, outcome)
        return outcomes

    def _leaving(
        self,
        vif_id: str,
        vif: VIF | None,
        host: Host,
        plugins: Sequence[VIFPlugin],
        since: int | None,
    ) -> _Leaving:
        """Return whom to ask about a VIF that is to be unplugged, or why nothing can be asked."""
        departure = Departure(vif_id=vif_id, interface_id=vif.interface_id if vif else None)
        types = types_of(departure, host)
        vif_type = vif.vif_type if vif else next(iter(types), "")
        leaving = _Leaving(departure=departure, vif_type=vif_type, vif=vif)
        try:
            marked = [self.registry.plugin(each, vif_id=vif_id) for each in types]
            own = self.registry.plugin(vif_type, vif_id=vif_id) if vif else None
            asked = owners(departure, host, [*marked, *plugins], own=own)
            kinds = _kinds([*marked, *plugins])
            nothing = not asked and not removal(vif_id, host, kinds, remove_unused=False)
            if nothing and locks.idle(self.reader.folder(), locks.names(vif_id), since=since):
                return leaving
            if not asked:
                asked = [own] if own else [*plugins[:1]]
            if not asked:
                raise UnknownVIFType(vif_id, "", "no plugin is installed that works")
            leaving.modules = tuple(plugin.privileged() for plugin in asked)
        except VifplugError as error:
            leaving.replies.append(Reply(error=error))
        return leaving


@dataclass(kw_only=True)
class _Leaving:
    """A VIF that is to be unplugged: the privileged modules to ask, and what they answered."""

    departure: Departure
    vif_type: str
    vif: VIF | None
    modules: tuple[str, ...] = ()
    replies: list[Reply] = dataclasses.field(default_factory=list)

    @property
    def request(self) -> UnplugVIF:
        departure = self.departure
        return UnplugVIF(vif_id=departure.vif_id, interface_id=departure.interface_id)

    @property
    def outcome(self) -> Result | VifplugError:
        """What became of the VIF: one answer of all that were asked."""
        errors = [reply.error for reply in self.replies if reply.error]
        if len(errors) == 1:
            return errors[0]
        if errors:
            return UnplugFailed(self.departure.vif_id, [str(error) for error in errors])
        devices = (device for reply in self.replies for device in reply.devices)
        return Result(
            id=self.departure.vif_id,
            vif_type=self.vif_type,
            process=None,
            changed=any(reply.changed for reply in self.replies),
            devices=tuple(dict.fromkeys(devices)),
        )


def _loaded(registry: Registry, types: Iterable[str]) -> list[VIFPlugin]:
    """Return the plugins of some vif_types; one that fails is reported when its VIFs come."""
    plugins = []
    for vif_type in types:
        try:
            plugins.append(registry.plugin(vif_type, vif_id=NO_VIF))
        except VifplugError:
            continue
    return plugins


def _kinds(plugins: Iterable[VIFPlugin]) -> tuple[type[Any], ...]:
    return tuple(dict.fromkeys(kind for plugin in plugins for kind in plugin.kinds))


def _unreadable(snapshot: Any) -> SwitchError:
    """Return the error that says why a switch can't be read."""
    failure = getattr(snapshot, "failure", None)
    return failure or SwitchError(NO_VIF, snapshot.key, snapshot.error)


def _good(vifs: Iterable[Ready | VifplugError]) -> list[Ready]:
    return [vif for vif in vifs if isinstance(vif, Ready)]


def _or_error(do: partial[Any]) -> Any:
    """Return what a call returns, or the error that it raises."""
    try:
        return do()
    except VifplugError as error:
        return error


def _only(outcomes: Outcomes) -> Result:
    if isinstance(outcomes[0], VifplugError):
        raise outcomes[0]
    return outcomes[0]


def _request(vif: Wired) -> PlugVIF:
    """Return what the privileged side must know of a VIF."""
    owner = vif.owner
    return PlugVIF(
        vif_id=owner.vif_id,
        vif_type=owner.vif_type,
        process=owner.process,
        parts=tuple(part.to_dict() for part in vif.wiring.parts),
        interface_id=vif.vif.interface_id,
        elsewhere=vif.elsewhere,
        move=vif.move,
    )


def _result(vif: Wired, *, changed: bool, devices: Iterable[str]) -> Result:
    return Result(
        id=vif.vif.id,
        vif_type=vif.vif.vif_type,
        process=vif.wiring.process or None,
        changed=changed,
        devices=tuple(devices),
    )


def _unchanged(vif: Wired) -> Result:
    return _result(vif, changed=False, devices=vif.wiring.devices)


def _plugged(vif: Wired, reply: Reply) -> Result | VifplugError:
    if reply.error is not None:
        return reply.error
    return _result(vif, changed=reply.changed, devices=reply.devices)


def _log(word: str, vif: VIF | None, outcome: Result | VifplugError) -> None:
    """Log what became of a VIF, with its guest."""
    if isinstance(outcome, VifplugError):
        LOG.info("%s: %s", word, outcome)
        return
    guest = vif.instance.name or vif.instance.uuid if vif else None
    LOG.info(
        "%s VIF %s (%s%s): %s: %s",
        word,
        outcome.id,
        outcome.vif_type or "no vif_type",
        f", guest {guest}" if guest else "",
        "changed" if outcome.changed else "unchanged",
        ", ".join(outcome.devices) or "no device of its own",
    )


def _by_module(vifs: Mapping[int, Wired]) -> Iterable[tuple[str, dict[int, Wired]]]:
    groups: dict[str, dict[int, Wired]] = {}
    for position, vif in vifs.items():
        groups.setdefault(vif.module, {})[position] = vif
    return groups.items()


def _with_instance(instance: Mapping[str, Any] | None, vif: VIF) -> VIF:
    if instance is None:
        return vif
    known = {name: instance[name] for name in ("uuid", "name") if name in instance}
    loaded = fields.load(Instance, known, partial(InvalidVIF, vif.id), at="instance")
    return dataclasses.replace(vif, instance=loaded)


def _uuid(text: str) -> str:
    try:
        return str(fields.UUID.check(text, lenient=False))
    except fields.NotAllowed:
        raise InvalidVIF(shown(text), "id", shown(text), fields.UUID.allowed) from None
