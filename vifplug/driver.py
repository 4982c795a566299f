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
from vifplug.errors import (
    NO_VIF,
    InvalidVIF,
    OVSDBError,
    PluginFailed,
    UnknownVIFType,
    VifplugError,
    shown,
)
from vifplug.guest.interface import Interface
from vifplug.model.host import Host
from vifplug.model.mark import DERIVED, Owner, derived_name
from vifplug.model.vif import VIF, Instance
from vifplug.plugin import VIFPlugin
from vifplug.query import facts
from vifplug.query import libvirt as look
from vifplug.query.cards import SYSFS, RunningFunctions
from vifplug.registry import Registry
from vifplug.wiring import Plan, Plugged, Wiring, is_there, plan, plugged, removal

LOG = logging.getLogger(__name__)

_FORGET = 10.0
"""Seconds after which the host's facts (libvirt's, the options') are looked up anew."""

Pair = tuple[Mapping[str, Any] | None, VIF]
"""An instance (a mapping with uuid and name, or None for the VIF's own) and its VIF."""

_BATCH = 8
"""From so many VIFs on, the host is read in one dump instead of name by name."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a plug or unplug did for one VIF; ``devices`` are the VIF's own."""

    id: str
    vif_type: str
    process: str | None
    changed: bool
    devices: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as ``-f json`` prints it."""
        found = dataclasses.asdict(self)
        return {**found, "devices": list(self.devices), "error": None}


Outcomes = list[Result | VifplugError]
_Plans = list[Plan | VifplugError]
_VIFs = list[VIF | VifplugError]
_Request = dict[str, Any]
_Reply = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Wired:
    """A VIF with its plugin, and what the plugin answered."""

    vif: VIF
    plugin: VIFPlugin
    wiring: Wiring

    @property
    def owner(self) -> Owner:
        return Owner(vif_id=self.vif.id, vif_type=self.vif.vif_type, process=self.wiring.process)

    @property
    def lock_names(self) -> tuple[str, ...]:
        """The locks under which this VIF is plugged."""
        shared = (name for part in self.wiring.parts for name in part.shared)
        return locks.names(self.vif.id, shared)

    def result(self, *, changed: bool, devices: Iterable[str]) -> Result:
        """Return what became of this VIF."""
        return Result(
            id=self.vif.id,
            vif_type=self.vif.vif_type,
            process=self.wiring.process or None,
            changed=changed,
            devices=tuple(devices),
        )

    def answered(self, reply: _Reply) -> Result | VifplugError:
        """Return what the privileged side says became of this VIF."""
        if "error" in reply:
            return VifplugError.from_dict(reply)
        return self.result(changed=reply["changed"], devices=reply["devices"])

    def request(self) -> _Request:
        """Return what the privileged side must know, as plain data."""
        owner = dataclasses.asdict(self.owner)
        owner["id"] = owner.pop("vif_id")
        return {**owner, "parts": [part.to_dict() for part in self.wiring.parts]}


class GenericVIFDriver:
    """Plugs VIFs of every type that an installed plugin claims. Safe to share between threads."""

    def __init__(
        self, conf: Any = None, *, registry: Registry | None = None, sysfs: Path = SYSFS
    ) -> None:
        """``conf`` is an oslo.config configuration; the process' own where not given.

        ``sysfs`` is where that is mounted, which tells of PCI functions.
        """
        self._sysfs = sysfs
        self._conf = cfg.CONF if conf is None else conf
        self._group = opts.register(self._conf)
        self.registry = registry or Registry(options=self._options)
        self._known: Host | None = None
        self._known_until = 0.0

    # What the API promises (docs/api.md).

    def get_config(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, host: Host | None = None
    ) -> Interface:
        """Return the guest's side of the VIF, without touching anything.

        ``host`` plans for another host, without this one's facts and marks. Raises InvalidVIF,
        UnknownVIFType, PluginFailed, Conflict.
        """
        ready = self._ready((instance, vif))
        now = host or self.looked(self.host(), [ready])
        return self._wire(ready, now).wiring.interface

    def plan(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, host: Host | None = None
    ) -> Plan:
        """Return what :meth:`plug` would do. Raises as :meth:`get_config`."""
        found = self.plan_all([(instance, vif)], host=host)[0]
        if isinstance(found, VifplugError):
            raise found
        return found

    def check(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, host: Host | None = None
    ) -> Plan:
        """Return what differs from "plugged as asked"; an empty plan is false in a condition."""
        return self.plan(instance, vif, host=host)

    def check_one(self, vif: VIF, *, host: Host) -> Plan | VifplugError:
        """Return what :meth:`check` returns, or the error that it raises."""
        try:
            return self.check(None, vif, host=host)
        except VifplugError as error:
            return error

    def plug(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, timeout: float | None = None
    ) -> Result:
        """Make the host connect the VIF; a VIF that is connected already is left alone.

        ``timeout`` in seconds replaces the configured one. Raises InvalidVIF, UnknownVIFType,
        PluginFailed, Conflict before any change; PlugFailed, DeadlineExceeded, PrivilegeError.
        """
        return _one(self.plug_all([(instance, vif)], timeout=timeout))

    def unplug(
        self, instance: Mapping[str, Any] | None, vif: VIF, *, timeout: float | None = None
    ) -> Result:
        """Remove all that is the VIF's; what is gone already is no error.

        Raises UnplugFailed where something is left, DeadlineExceeded, PrivilegeError.
        """
        return _one(self.unplug_all([(instance, vif)], timeout=timeout))

    def plan_all(self, pairs: Sequence[Pair], *, host: Host | None = None) -> _Plans:
        """Return a plan for each VIF, in order, each with what those before it will have made."""
        vifs = self._all_ready(pairs)
        now = host or self.host(batch=len(pairs) >= _BATCH)
        now = self.looked(now, _good(vifs)).planning()
        plans: _Plans = []
        for vif in vifs:
            try:
                wired = self._wire(vif, now)
                plans.append(plan(wired.owner, wired.wiring, now))
            except VifplugError as error:
                plans.append(error)
        return plans

    def plug_all(
        self,
        pairs: Sequence[Pair],
        *,
        timeout: float | None = None,
        host: Host | None = None,
    ) -> Outcomes:
        """Plug VIFs in one privileged call a plugin; one that fails hurts no other.

        Returns, in order, a Result or the error for each.
        """
        deadline = self._deadline(timeout)
        folder = locks.folder(self._group.lock_path)
        since = locks.stamp(folder)
        wait = deadline - time.monotonic()
        vifs = self._all_ready(pairs)
        names = [derived_name(prefix, vif.id) for vif in _good(vifs) for prefix in DERIVED]
        now = host or self.host(batch=len(pairs) >= _BATCH, names=names, wait=wait)
        now = self.looked(now, _good(vifs), deadline=deadline)
        found: list[Result | VifplugError | None] = [None] * len(pairs)
        wired: dict[int, _Wired] = {}
        for position, vif in enumerate(vifs):
            try:
                one = self._wire(vif, now)
                there = is_there(one.owner, one.wiring, now)
            except VifplugError as error:
                found[position] = error
                continue
            # What is plugged already, and what nobody is at work on, needs no privilege to tell.
            if there and locks.idle(folder, one.lock_names, since=since):
                found[position] = one.result(changed=False, devices=one.wiring.devices)
            else:
                wired[position] = one
        self._warn(tuple(wired.values()), wait=deadline - time.monotonic())
        for module, group in _by_module(wired):
            requests = [one.request() for one in group.values()]
            replies = self._call(module, "plug", requests, deadline)
            for chain in replies[0].get("dropping", ()):
                LOG.warning("%s drops bridged packets that no rule of it accepts", chain)
            for (position, one), reply in zip(group.items(), replies, strict=True):
                found[position] = one.answered(reply)
        return [one for one in found if one is not None]

    def unplug_all(self, pairs: Sequence[Pair], *, timeout: float | None = None) -> Outcomes:
        """Unplug VIFs in one privileged call a plugin; one that fails hurts no other."""
        vifs = [self._taken(None, vif) for _, vif in pairs]
        return self._unplug([(vif.id, vif.vif_type, vif) for vif in vifs], timeout)

    def unplug_ids(self, ids: Iterable[str], *, timeout: float | None = None) -> Outcomes:
        """Unplug VIFs of which only the ids are known, by what the host carries.

        A result's vif_type is empty where no mark tells it. Raises InvalidVIF for an id that is
        not a UUID.
        """
        wanted = [_uuid(given) for given in ids]
        types = {one.id: one.vif_type for one in self.list()}
        return self._unplug([(vif_id, types.get(vif_id, ""), None) for vif_id in wanted], timeout)

    def list(self) -> list[Plugged]:
        """Return what this host has plugged, as its marks and claims tell.

        Raises OVSDBError where there is an Open vSwitch that can't be read.
        """
        links = look.RunningLinks()
        links.read_all()
        host = self.looked(Host(links=links), None)
        if host.ovs and host.ovs.error and not host.ovs.absent:
            raise OVSDBError(NO_VIF, host.ovs.endpoint, host.ovs.error)
        return plugged(host)

    # What the command line needs besides.

    def host(
        self,
        *,
        batch: bool = False,
        names: Sequence[str] = (),
        told: Mapping[str, Any] | None = None,
        wait: float = look.LIBVIRT_WAIT,
    ) -> Host:
        """Return the running host; ``told`` facts are taken instead of looking.

        ``batch`` reads all devices in one dump, else those of some ``names`` come in one go;
        ``wait`` is how many seconds libvirt may take to answer. Raises InvalidHost.
        """
        links = look.RunningLinks()
        if batch:
            links.read_all()
        links.expect(names)
        if told:
            return self._host(told, links, wait)
        if self._known is None or time.monotonic() > self._known_until:
            self._known = self._host({}, links, wait)
            self._known_until = time.monotonic() + _FORGET
        return dataclasses.replace(self._known, links=links, pci=RunningFunctions(self._sysfs))

    def _host(self, told: Mapping[str, Any], links: look.RunningLinks, wait: float) -> Host:
        found = facts.find(self._group, told, wait=wait)
        return dataclasses.replace(found, links=links, pci=RunningFunctions(self._sysfs))

    def refused(self, vifs: Iterable[VIF], host: Host) -> Sequence[InvalidVIF]:
        """Return the errors of VIFs that can't be wired on this host, whatever is done to it."""
        errors = []
        for vif in vifs:
            try:
                self._wire(self._ready((None, vif)), host)
            except InvalidVIF as error:
                errors.append(error)
            except VifplugError:
                continue  # the host's failure, or the plugin's: said when it comes to it
        return errors

    def plugin(self, vif: VIF) -> VIFPlugin:
        """Return the VIF's plugin, and check the VIF with it. Raises as :meth:`get_config`."""
        plugin = self.registry.plugin(vif.vif_type, vif_id=vif.id)
        plugin.check(plugin.completed(vif))
        return plugin

    def libvirt(self, *, wait: float = look.LIBVIRT_WAIT) -> look.Libvirt:
        """Return what libvirt says of itself within some seconds; asked anew each time."""
        return look.libvirt(self._group.libvirt_uri, wait=wait)

    def close(self) -> None:
        """End the privileged daemons that this process started."""
        for plugin in self.registry.loaded:
            module = sys.modules.get(plugin.privileged())
            if module is not None:
                module.context.stop()

    def _options(self, plugin: type[VIFPlugin]) -> Mapping[str, Any]:
        if not plugin.opts:
            return {}
        self._conf.register_opts(plugin.opts, group=plugin.group)
        group = self._conf[plugin.group]
        return {opt.dest: group[opt.dest] for opt in plugin.opts}

    def looked(
        self, host: Host, vifs: Sequence[VIF] | None, *, deadline: float | None = None
    ) -> Host:
        """Return the host with what the plugins of some VIFs must know, or with None all plugins'.

        What somebody told us of the host is left as it is.
        """
        until = self._deadline(None) if deadline is None else deadline
        for name, (options, own) in self._lookers(vifs).items():
            module = importlib.import_module(name)
            host = module.look(options, own, host, deadline=until)
        return host

    def _lookers(
        self, vifs: Sequence[VIF] | None
    ) -> Mapping[str, tuple[Mapping[str, Any], Sequence[VIF] | None]]:
        """Return by name the modules with which plugins look, their options and their VIFs.

        Plugins that share one, share its options as well.
        """
        types = (
            {claim.vif_type for claim in self.registry.claims() if claim.state == "ok"}
            if (vifs is None)
            else {vif.vif_type for vif in vifs}
        )
        found: dict[str, tuple[Mapping[str, Any], list[VIF]]] = {}
        for vif_type in sorted(types):
            try:
                plugin = self.registry.plugin(vif_type, vif_id=NO_VIF)
            except VifplugError:
                continue  # said when its VIFs come to it
            if name := plugin.looking():
                _, own = found.setdefault(name, (plugin.options, []))
                own += [vif for vif in vifs or () if vif.vif_type == vif_type]
        return {n: (options, own if vifs else None) for n, (options, own) in found.items()}

    def _taken(self, instance: Mapping[str, Any] | None, vif: VIF) -> VIF:
        """Return a caller's VIF with its instance; the legacy drivers take older kinds too."""
        return _with_instance(instance, vif)

    def _ready(self, pair: Pair) -> VIF:
        """Return a caller's VIF as it is wired: with what its plugin fills in."""
        vif = self._taken(*pair)
        return self.registry.plugin(vif.vif_type, vif_id=vif.id).completed(vif)

    def _all_ready(self, pairs: Sequence[Pair]) -> _VIFs:
        """Return each caller's VIF as it is wired, or the error."""
        found: _VIFs = []
        for pair in pairs:
            try:
                found.append(self._ready(pair))
            except VifplugError as error:
                found.append(error)
        return found

    def _wire(self, vif: VIF | VifplugError, host: Host) -> _Wired:
        if isinstance(vif, VifplugError):
            raise vif
        plugin = self.plugin(vif)
        try:
            wiring = plugin.wire(vif, host)
        except VifplugError:
            raise
        except Exception as error:
            source = type(plugin).__module__.partition(".")[0]
            why = f"{type(error).__name__}: {error}"
            raise PluginFailed(vif.id, vif.vif_type, source, why) from error
        return _Wired(vif=vif, plugin=plugin, wiring=wiring)

    def _warn(self, wired: Sequence[_Wired], *, wait: float) -> None:
        """Log what a person should know before a guest starts, each VIF named."""
        for one in wired:
            for note in one.wiring.notes:
                LOG.warning("VIF %s: %s", one.vif.id, note)
        filters = {w.vif.id: f.name for w in wired if (f := w.wiring.interface.filterref)}
        if not filters:
            return
        names = tuple(set(filters.values()))
        known = look.libvirt(self._group.libvirt_uri, filters=names, wait=wait).filters
        for vif_id, name in filters.items():
            if known.get(name) is False:
                LOG.warning(
                    "VIF %s: libvirt does not know the filter %s: the guest won't start until "
                    "it is defined (virsh nwfilter-define)",
                    vif_id,
                    name,
                )

    def _deadline(self, timeout: float | None) -> float:
        return time.monotonic() + (self._group.timeout if timeout is None else timeout)

    def _call(
        self,
        module: str,
        entrypoint: str,
        requests: Sequence[_Request],
        deadline: float,
        **options: bool,
    ) -> Sequence[_Reply]:
        """Call a plugin's daemon; where the call as a whole fails, each VIF gets the error."""
        from vifplug.daemon import context as daemon

        try:
            context = importlib.import_module(module).context
            return daemon.call(context, entrypoint, list(requests), deadline=deadline, **options)
        except ImportError as error:
            failed = PluginFailed(NO_VIF, module, module, str(error))
            return [failed.about(request["id"]).to_dict() for request in requests]
        except VifplugError as error:
            return [error.about(request["id"]).to_dict() for request in requests]

    def _unplug(self, vifs: Sequence[_Leaving], timeout: float | None) -> Outcomes:
        deadline = self._deadline(timeout)
        folder = locks.folder(self._group.lock_path)
        since = locks.stamp(folder)
        links = look.RunningLinks()
        if len(vifs) >= _BATCH:
            links.read_all()
        known = [vif for _, _, vif in vifs if vif]
        # Of what is only known by its id, any plugin may have something.
        whole = known if len(known) == len(vifs) else None
        host = self.looked(Host(links=links), whole, deadline=deadline)
        groups: dict[tuple[str, bool], list[int]] = {}
        found: list[Result | VifplugError | None] = [None] * len(vifs)
        for position, (vif_id, vif_type, vif) in enumerate(vifs):
            gone = not removal(vif_id, host, remove_unused=False) and not _in_ovs(vif_id, vif, host)
            if gone and locks.idle(folder, locks.names(vif_id), since=since):
                found[position] = _unplugged(vif_id, vif_type, {"changed": False, "devices": []})
                continue
            try:
                # What no mark tells of has at most a derived name: any plugin may remove it.
                plugin = self.registry.plugin(vif_type or self._any_type(vif_id), vif_id=vif_id)
            except VifplugError as error:
                found[position] = error
                continue
            unused = bool(plugin.options.get("remove_unused"))
            groups.setdefault((plugin.privileged(), unused), []).append(position)
        for (module, unused), positions in groups.items():
            requests = [_leaving(*vifs[position]) for position in positions]
            replies = self._call(module, "unplug", requests, deadline, remove_unused=unused)
            for position, reply in zip(positions, replies, strict=True):
                found[position] = _unplugged(*vifs[position][:2], reply)
        return [one for one in found if one is not None]

    def _any_type(self, vif_id: str) -> str:
        good = [claim for claim in self.registry.claims() if claim.state == "ok"]
        if not good:
            raise UnknownVIFType(vif_id, "", "no plugin is installed that works")
        # One with a database removes what others do, and what it finds there.
        databases = [claim for claim in good if claim.plugin and claim.plugin.database]
        return (databases or good)[0].vif_type


_Leaving = tuple[str, str, VIF | None]
"""A VIF's id, its vif_type or nothing, and the VIF itself where it is known."""


def _in_ovs(vif_id: str, vif: VIF | None, host: Host) -> bool:
    """Whether Open vSwitch has, or may have, something of the VIF."""
    if host.ovs is None or (host.ovs.absent and vif is None):
        return False
    return bool(host.ovs.error) or host.ovs.has(vif_id, vif.interface_id if vif else None)


def _leaving(vif_id: str, vif_type: str, vif: VIF | None) -> _Request:
    return {"id": vif_id, "interface_id": vif.interface_id if vif else None}


def _good(vifs: _VIFs) -> Sequence[VIF]:
    return [vif for vif in vifs if isinstance(vif, VIF)]


def _one(found: Outcomes) -> Result:
    if isinstance(found[0], VifplugError):
        raise found[0]
    return found[0]


def _unplugged(vif_id: str, vif_type: str, reply: _Reply) -> Result | VifplugError:
    if "error" in reply:
        return VifplugError.from_dict(reply)
    return Result(
        id=vif_id,
        vif_type=vif_type,
        process=None,
        changed=reply["changed"],
        devices=tuple(reply["devices"]),
    )


def _by_module(wired: Mapping[int, _Wired]) -> Iterable[tuple[str, dict[int, _Wired]]]:
    groups: dict[str, dict[int, _Wired]] = {}
    for position, one in wired.items():
        groups.setdefault(one.plugin.privileged(), {})[position] = one
    return groups.items()


def _with_instance(instance: Mapping[str, Any] | None, vif: VIF) -> VIF:
    if instance is None:
        return vif
    known = {name: instance[name] for name in ("uuid", "name") if name in instance}
    found = fields.load(Instance, known, partial(InvalidVIF, vif.id), at="instance")
    return dataclasses.replace(vif, instance=found)


def _uuid(text: str) -> str:
    try:
        return str(fields.UUID.check(text, lenient=False))
    except fields.NotAllowed:
        raise InvalidVIF(shown(text), "id", shown(text), fields.UUID.allowed) from None
