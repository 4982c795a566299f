# SPDX-License-Identifier: Apache-2.0
"""Day two: what is here, whose it is, whether it is well, what can go. Part of the API."""

from __future__ import annotations

import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vifplug.departures import Departures, failures
from vifplug.errors import (
    NO_VIF,
    DeadlineExceeded,
    InUse,
    InvalidVIF,
    LibvirtError,
    PluginFailed,
    SwitchError,
    VifplugError,
)
from vifplug.kernel import holders
from vifplug.model.host import Host
from vifplug.model.snapshot import Unread
from vifplug.model.vif import VIF
from vifplug.plan.removal import Removal
from vifplug.plan.wired import Ready
from vifplug.planner import View, source_of
from vifplug.registry import kinds_of
from vifplug.result import Outcomes, Result
from vifplug.switch import Departure

# Imported where they are used: other commands start sooner.
if TYPE_CHECKING:
    from vifplug.guest.live import Guests
    from vifplug.picture.graph import Topology
    from vifplug.plan.details import Details
    from vifplug.plan.inventory import Checked, Collected, Inventory
    from vifplug.plan.plugged import Plugged, Told

_BATCH = 128
"""VIFs of which gc removes what is left of them with one deadline."""


class Upkeep(Departures):
    """The part of the driver that looks after what is plugged."""

    def list(self) -> list[Plugged]:
        """Return what this host has plugged, as its marks, claims and switches tell.

        Raises SwitchError where there is a switch that can't be read.
        """
        vifs, unread = self.listing()
        # A plugin that fails hides no other's VIFs.
        for failure in (each for each in unread if isinstance(each, SwitchError)):
            raise failure
        return [*vifs]

    def listing(
        self, *, timeout: float | None = None
    ) -> tuple[Sequence[Plugged], Sequence[VifplugError]]:
        """Return what this host has plugged, and the errors of switches that can't be read.

        A PluginFailed is the error of one whose plugin fails. Of a VIF on such a switch, only the
        devices of the kernel are known. libvirt is not asked.
        """
        found = self.inventory(timeout=timeout, guests=False)
        return found.vifs, found.failures

    def _unreadable(self, host: Host) -> Sequence[PluginFailed]:
        """Return the errors of plugins that can't tell what their switch has."""
        found = []
        for vif_type in self.registry.switch_types:
            try:
                plugin = self.registry.plugin(vif_type, vif_id=NO_VIF)
            except PluginFailed as error:
                found.append(error)
                continue
            read = host.switches.get(plugin.snapshot.key) if plugin.snapshot else None
            if isinstance(read, Unread):
                found.append(PluginFailed(NO_VIF, vif_type, source_of(plugin), read.error))
        return found

    def inventory(self, *, timeout: float | None = None, guests: bool = True) -> Inventory:
        """Return what this host has plugged, and whose it is as far as libvirt tells.

        Without ``guests``, libvirt is not asked.
        """
        return self._inventory(self.deadline(timeout), guests=guests)[0]

    def topology(self, *, timeout: float | None = None) -> Topology:
        """Return what this host has plugged, for a picture."""
        from vifplug.picture.found import topology

        found, host, _ = self._inventory(self.deadline(timeout), guests=True)
        return topology(host, found)

    def foreseen(
        self,
        vifs: Sequence[Ready | VifplugError],
        view: View,
        *,
        move: bool = False,
        timeout: float | None = None,
    ) -> tuple[Topology, Topology]:
        """Return pictures of this host before and after a plug of VIFs, with what differs."""
        from vifplug.picture.differ import compared
        from vifplug.picture.found import names_of, topology

        found, whole, told = self._inventory(self.deadline(timeout), guests=True)
        was = [trunk.node.key for trunk in topology(whole, found).trunks]
        host = replace(view.host, links=whole.links, switches=whole.switches).planning()
        self.plans(self.all_wired(vifs, host), replace(view, host=host), move=move)
        asked = {ready.vif.id: ready.vif for ready in vifs if isinstance(ready, Ready)}
        told = replace(told, notes={**told.notes, **asked})
        # A guest that does not have its VIF yet makes no orphan.
        after = [
            replace(vif, wanted=None) if vif.id in asked else vif
            for vif in self._plugged(host, told)
        ]
        then = topology(host, replace(found, vifs=after), also=was)
        before = topology(whole, found, also=[trunk.node.key for trunk in then.trunks])
        return compared(before, then, [*asked], (names_of(whole), names_of(host)))

    def _inventory(self, deadline: float, *, guests: bool) -> tuple[Inventory, Host, Told]:
        """Return an inventory, and what it is made of."""
        from vifplug.guest.live import Guests
        from vifplug.guest.whose import Whose
        from vifplug.plan.inventory import Inventory
        from vifplug.plan.plugged import Told

        plugins = self._all_plugins()
        host = self.reader.devices(batch=True)
        # A switch that hangs leaves time for libvirt.
        until = (2 * deadline + time.monotonic()) / 3 if guests else deadline
        host = self._with_switches(host, None, plugins, until)
        # After the host: a guest that is defined meanwhile has its VIF by then.
        known = self._guests(deadline) if guests else Guests(error="not asked")
        notes = self.reader.notes()
        told = Told(
            notes={vif_id: vif for vif_id in notes.ids() if (vif := notes.of(vif_id))},
            whose=None if known.error else Whose(known),
        )
        found = self._plugged(host, told)
        self.reader.warn_of_claims(host)
        inventory = Inventory(
            vifs=found,
            unused=tuple(
                name for _, each in self._tidied(host.planning()) for name in each.removed
            ),
            failures=(*failures(host), *self._unreadable(host)),
            unasked=known.error,
            guests=len(known.names),
        )
        return inventory, host, told

    def _plugged(self, host: Host, told: Told) -> Sequence[Plugged]:
        from vifplug.plan.plugged import plugged

        plugins = self._all_plugins()
        unbridged = {plugin.vif_type for plugin in plugins if plugin.unbridged}
        return plugged(host, kinds_of(plugins), unbridged=unbridged, told=told)

    def _guests(self, deadline: float) -> Guests:
        from vifplug.query import guests

        wait = deadline - time.monotonic()
        return guests.known(self._group.libvirt_uri, wait=wait, stored=True)

    def check_all(self, *, timeout: float | None = None) -> Sequence[Checked]:
        """Compare every VIF that the host carries with what carries it, and with its guest.

        Raises SwitchError where there is a switch that can't be read.
        """
        found = self.inventory(timeout=timeout)
        if found.failures:
            raise found.failures[0]
        return self.checked(found, timeout=timeout)

    def checked(self, found: Inventory, *, timeout: float | None = None) -> Sequence[Checked]:
        """Return the VIFs of an inventory as :meth:`check_all` does."""
        from vifplug.plan.inventory import Checked

        vifs = self.all_ready([(None, each.vif) for each in found.vifs if each.vif])
        good = [each for each in vifs if isinstance(each, Ready)]
        view = self.look(good, deadline=self.deadline(timeout))
        plans = iter(self.checks(self.all_wired(vifs, view.host), view))
        return [
            Checked(plugged=each, plan=next(plans) if each.vif else None) for each in found.vifs
        ]

    def details(self, found: Inventory, vif_id: str, *, timeout: float | None = None) -> Details:
        """Return all that is known of one VIF of an inventory."""
        from vifplug.plan.details import details

        (one,) = (each for each in found.vifs if each.id == vif_id)
        deadline = self.deadline(timeout)
        host = replace(self.reader.devices(batch=True), asked=(vif_id,))
        host = self._with_switches(host, None, self._all_plugins(), deadline)
        (checked,) = self.checked(replace(found, vifs=(one,)), timeout=timeout)
        rendered = None
        if one.vif and not checked.error:
            ready = self.ready(None, one.vif)
            view = self.look([ready], deadline=deadline, everywhere=False)
            rendered = self.wire(ready, view.host).wiring.interface.to_xml()
        return details(checked, host, xml=rendered)

    def gc(
        self,
        keep: Iterable[VIF | str] | None = None,
        *,
        libvirt: bool = False,
        foreign: bool = False,
        everything: bool = False,
        dry_run: bool = False,
        force: bool = False,
        timeout: float | None = None,
    ) -> Sequence[Collected]:
        """Remove what carries the mark of a VIF that is not kept, then unused devices of ours.

        ``keep`` are VIFs or ids. ``libvirt``: those of this host's guests are kept, also of guests
        that are shut off or saved. With neither, no VIF goes. ``foreign``: what os-vif, Nova and
        libvirt left goes too, unless its VIF is kept. ``dry_run`` changes nothing.

        A list that is empty, or that has no VIF of this host, is refused with InvalidVIF, unless
        ``everything`` may go. A VIF that a process holds stays, with InUse, unless ``force``.
        ``timeout`` is for each 128 VIFs. Raises SwitchError, LibvirtError before any change.
        """
        from vifplug.plan.foreign import left_by_others
        from vifplug.plan.inventory import unwanted

        kept = None if keep is None else {k if isinstance(k, str) else k.id for k in keep}
        found, host, told = self._inventory(self.deadline(timeout), guests=libvirt)
        if found.failures:
            raise found.failures[0]
        going: Sequence[Plugged] = ()
        theirs: Sequence[Plugged] = ()
        if libvirt:
            self._require_guests(found, everything=everything)
        if libvirt or kept is not None:
            going = unwanted(found.vifs, kept, everything=everything)
        if foreign and (libvirt or kept is not None):
            ours = [vif.id for vif in found.vifs]
            kinds = kinds_of(self._all_plugins())
            theirs = left_by_others(host, kinds, ours, kept, told)
        return self._collect(going, theirs, dry_run=dry_run, force=force, timeout=timeout)

    def _require_guests(self, found: Inventory, *, everything: bool) -> None:
        """Raise where libvirt has no guest to keep a VIF for."""
        if found.unasked:
            why = f"it does not tell its guests: {found.unasked}"
            raise LibvirtError(f"libvirt at {self._group.libvirt_uri}", why)
        if not found.guests and found.vifs and not everything:
            allowed = f"one at least; or --all, which removes every VIF here ({len(found.vifs)})"
            raise InvalidVIF(NO_VIF, f"guests of {self._group.libvirt_uri}", "none", allowed)

    def _collect(
        self,
        ours: Sequence[Plugged],
        theirs: Sequence[Plugged],
        *,
        dry_run: bool,
        force: bool,
        timeout: float | None,
    ) -> Sequence[Collected]:
        """Plan what goes, then do it: what is removed is what was planned."""
        from vifplug.plan.inventory import Collected

        ours, staying = _apart(ours, () if force else _held(ours))
        theirs, _ = _apart(theirs, _held(theirs))
        going = [*ours, *theirs]
        pairs: list[tuple[str, VIF | None]] = [(vif.id, None) for vif in going]
        removals, host = self._plan_unplug(pairs, self.deadline(timeout), force=force)
        tidied = [*self._tidied(host)]
        outcomes: Sequence[Result | VifplugError | None] = [None] * len(going)
        if not dry_run:
            # What another program made is never forced.
            outcomes = [
                *self._remove(ours, timeout, force=force),
                *self._remove(theirs, timeout, force=False),
            ]
        removals = [*removals[: len(ours)], *map(_named, removals[len(ours) :])]
        found = [Collected(plugged=vif, removal=error) for vif, error in staying]
        found += [
            Collected(plugged=vif, removal=removal, outcome=outcome)
            for vif, removal, outcome in zip(going, removals, outcomes, strict=True)
        ]
        for module, removal in tidied:
            result = None if dry_run else self._tidy(module, self.deadline(timeout))
            found.append(Collected(removal=removal, outcome=result))
        return found

    def _remove(self, going: Sequence[Plugged], timeout: float | None, *, force: bool) -> Outcomes:
        """Unplug VIFs, some at a time, each time with a deadline of its own.

        VIFs that were not reached in time are asked for again, as long as others were.
        """
        outcomes: dict[str, Result | VifplugError] = {}
        for some in _batches([vif.id for vif in going]):
            left = some
            while left:
                some_outcomes = self.unplug_ids(left, timeout=timeout, force=force)
                done = dict(zip(left, some_outcomes, strict=True))
                outcomes |= done
                late = [i for i, one in done.items() if isinstance(one, DeadlineExceeded)]
                left = late if len(late) < len(left) else []
        return [outcomes[vif.id] for vif in going]

    def _tidied(self, host: Host) -> Iterator[tuple[str, Removal]]:
        """Yield the privileged modules that un-make unused devices, and what each does.

        The module that knows how to un-make most goes first: the others need not be asked. Marks
        that lead nowhere go as well.
        """
        from vifplug.plan.inventory import UNUSED
        from vifplug.plan.removal import lost_marks
        from vifplug.plan.unused import all_unused, removed_by

        modules = {plugin.privileged(): plugin.kinds for plugin in self._all_plugins()}
        most = sorted(
            modules, key=lambda module: -len(removed_by(all_unused(host, modules[module])))
        )
        for module in most:
            operations = [each for unit in all_unused(host, modules[module]) for each in unit]
            for operation in operations:
                operation.foresee(host)
            for lost in lost_marks(host, modules[module]):
                lost.foresee(host)
                operations.append(lost)
            if operations:
                yield module, Removal(vif_id=UNUSED, vif_type="", operations=tuple(operations))

    @staticmethod
    def _tidy(module: str, deadline: float) -> Result | VifplugError:
        from vifplug import calls
        from vifplug.plan.inventory import UNUSED

        # No VIF has this id, so that nothing else goes.
        departure = Departure(vif_id=str(uuid.uuid4()), unused=True)
        leaving = calls.Leaving(departure=departure, vif_type="", vif=None, modules=(module,))
        calls.unplug(module, [leaving], deadline)
        outcome = leaving.outcome
        return outcome.about(UNUSED) if isinstance(outcome, VifplugError) else outcome


def _held(vifs: Sequence[Plugged]) -> Collection[str]:
    """Return the taps that processes hold; a tap that is down shows no carrier although it is."""
    return holders.held_taps() if vifs else ()


def _apart(
    vifs: Sequence[Plugged], held: Collection[str]
) -> tuple[Sequence[Plugged], Sequence[tuple[Plugged, InUse]]]:
    """Return the VIFs of which no process holds a tap; and the others, each with its error."""
    taps = {vif.id: next((name for name in vif.devices if name in held), None) for vif in vifs}
    free = [vif for vif in vifs if taps[vif.id] is None]
    return free, [
        (vif, InUse(vif.id, tap, holders.name_of_holder(tap)))
        for vif in vifs
        if (tap := taps[vif.id])
    ]


def _named(removal: Removal | VifplugError) -> Removal | VifplugError:
    """Return the removal of a VIF that others left, which says so."""
    from vifplug.plan.foreign import FOREIGN

    if isinstance(removal, Removal):
        return replace(removal, vif_type=FOREIGN)
    return removal


def _batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _BATCH):
        yield ids[start : start + _BATCH]
