# SPDX-License-Identifier: Apache-2.0
"""GenericVIFDriver: the registry, the host, plans and their application, as one API.

The one driver of the LibvirtVIFDrivers blueprint: driven by vif_type, nothing to choose.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vifplug.daemon import locks
from vifplug.errors import PLUGIN_ERRORS, VifplugError
from vifplug.guest.interface import Interface
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan, is_there
from vifplug.plan.wired import Ready, Wired
from vifplug.planner import Pair, View, plugin_failed
from vifplug.query import firewall, libvirt
from vifplug.result import Outcomes, Result
from vifplug.upkeep import Upkeep

# What only a plug, an unplug or a list needs is imported there: other commands start sooner.
if TYPE_CHECKING:
    from vifplug.daemon.request import Reply

__all__ = ["GenericVIFDriver", "Outcomes", "Pair", "Result", "View"]

LOG = logging.getLogger(__name__)


class GenericVIFDriver(Upkeep):
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

        Where libvirt answers, the interface of the VIF's guest is compared too: as it runs, or as
        it will start.
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
                placed = self._placed(vif, view, move)
                if not placed.move and self._is_plugged(placed, view):
                    outcomes[position] = _unchanged(placed)
                else:
                    to_plug[position] = placed
            except VifplugError as error:
                outcomes[position] = error
            except PLUGIN_ERRORS as error:
                assert isinstance(vif, Wired)  # noqa: S101 - an error was raised as it is
                outcomes[position] = plugin_failed(vif, error)
        self._warn(tuple(to_plug.values()), wait=deadline - time.monotonic())
        groups = _by_module(to_plug)
        for number, (module, group) in enumerate(groups, 1):
            from vifplug import calls

            some = tuple(group.values())
            until = deadline if number == len(groups) else _half_way(some, deadline)
            replies = calls.plug(module, some, until)
            firewall.warn_of(chain for reply in replies for chain in reply.dropping)
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
            # A plugin's module may have failed half-way.
            if context := getattr(module, "context", None):
                context.stop()

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
        if not filters or not self._asks_libvirt:
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


def _by_module(vifs: Mapping[int, Wired]) -> Sequence[tuple[str, dict[int, Wired]]]:
    """Return VIFs by the module that plugs them, those without a switch first: it may hang."""
    groups: dict[str, dict[int, Wired]] = {}
    for position, vif in vifs.items():
        groups.setdefault(vif.module, {})[position] = vif
    return sorted(groups.items(), key=lambda group: _has_switch(group[1].values()))


def _has_switch(vifs: Iterable[Wired]) -> bool:
    return any(vif.plugin.switch for vif in vifs)


def _half_way(vifs: Iterable[Wired], deadline: float) -> float:
    """Return until when VIFs may take, before other VIFs: a switch that hangs leaves half of it."""
    return (time.monotonic() + deadline) / 2 if _has_switch(vifs) else deadline
