# SPDX-License-Identifier: Apache-2.0
"""The VIFs that are watched, what each depends on, and how each is on this host."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vifplug import fields
from vifplug.daemon import locks
from vifplug.driver import GenericVIFDriver, Outcomes, View
from vifplug.errors import Conflict, VifplugError
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF
from vifplug.plan.compare import Plan
from vifplug.plan.wired import Ready, Wired
from vifplug.registry import kinds_of

LOG = logging.getLogger(__name__)

_NAMED = 5
"""VIFs that a warning names."""

_LOOK = 5.0
"""Seconds that a switch may take to tell of some VIFs."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How one VIF is. ``drift`` says in which ways it is not plugged as asked; empty: as asked.

    ``error``: it can't be looked at, or can't be plugged as it is. ``mendable``: a plug mends
    some of the drift; ``moves``: only ``plug --move`` does, because it is elsewhere. ``held``:
    another caller is plugging or unplugging it. ``busy``: some other caller was at work while this
    was looked at.
    """

    vif_id: str
    vif_type: str
    process: str | None = None
    drift: tuple[str, ...] = ()
    mendable: bool = False
    moves: bool = False
    error: VifplugError | None = None
    held: bool = False
    busy: bool = False

    @property
    def says(self) -> tuple[str, ...]:
        """Everything that a person is told of it; empty where all is well."""
        return (*self.drift, *((str(self.error),) if self.error else ()))


class WatchedVIFs:
    """VIFs that are to be plugged as some files say."""

    def __init__(self, driver: GenericVIFDriver, vifs: Sequence[Ready | VifplugError]) -> None:
        self._driver = driver
        self._ready = {each.vif.id: each for each in vifs if isinstance(each, Ready)}
        self._by_name: dict[str, set[str]] = {}
        self._names: dict[str, frozenset[str]] = {}
        self._view: View | None = None

    def refresh(self) -> set[str]:
        """Take up VIFs that are to be watched by now, drop those that are not; return the new."""
        return set()

    def __len__(self) -> int:
        return len(self._ready)

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all VIFs."""
        return tuple(self._ready)

    @property
    def plugins(self) -> Iterable[Any]:
        """The plugins of these VIFs."""
        return dict.fromkeys(ready.plugin for ready in self._ready.values())

    def depending(self, names: Iterable[str]) -> set[str]:
        """Return the VIFs that depend on a device, bridge or port of one of these names."""
        found: set[str] = set()
        for name in names:
            found |= self._by_name.get(name, set())
        return found

    def look(self, ids: Sequence[str], *, whole: bool = False) -> list[Finding]:
        """Return how some VIFs are now. ``whole``: the host's own facts are read anew too."""
        ready = [self._ready[vif_id] for vif_id in ids]
        deadline = self._driver.deadline(_LOOK)
        if whole or self._view is None:
            self._view = view = self._driver.look(ready, deadline=deadline)
        else:
            view = self._driver.look_again(ready, self._view, deadline=deadline)
        found = [
            self._finding(each, wired, view)
            for each, wired in zip(ready, self._driver.all_wired(ready, view.host), strict=True)
        ]
        # What was read is dropped: a watch of thousands of VIFs keeps no copy of their devices.
        self._view = dataclasses.replace(view, host=self._driver.reader.fresh(view.host))
        return found

    def _finding(self, ready: Ready, wired: Wired | VifplugError, view: View) -> Finding:
        plan, moves = self._plan(wired, view)
        vif = ready.vif
        self._note(vif.id, _names_of(ready, wired))
        process = wired.wiring.process or None if isinstance(wired, Wired) else None
        found = Finding(vif_id=vif.id, vif_type=vif.vif_type, process=process)
        if isinstance(plan, Plan) and not plan:
            return found
        folder, names = self._driver.reader.folder(), locks.names(vif.id)
        stamp = locks.stamp(folder)
        found = dataclasses.replace(
            found, held=not locks.idle(folder, names, since=stamp), busy=stamp != view.since
        )
        if isinstance(plan, VifplugError):
            return dataclasses.replace(found, error=plan)
        words, mendable = tuple(in_words(plan)), bool(plan.operations)
        return dataclasses.replace(found, drift=words, mendable=mendable, moves=moves)

    def _plan(self, wired: Wired | VifplugError, view: View) -> tuple[Plan | VifplugError, bool]:
        """Return what a plug would do, and whether only one that moves the VIF does it."""
        (plan,) = self._driver.plans([wired], view)
        if not isinstance(plan, Conflict):
            return plan, False
        (move,) = self._driver.plans([wired], view, move=True)
        return (move, True) if isinstance(move, Plan) else (plan, False)

    def plug(self, ids: Sequence[str], *, move: bool = False) -> Outcomes:
        """Plug some VIFs that have been looked at, in order; see ``GenericVIFDriver.plug_all``."""
        ready = [self._ready[vif_id] for vif_id in ids]
        deadline = self._driver.deadline(None)
        assert self._view is not None  # noqa: S101 - they have been looked at
        view = self._driver.look_again(ready, self._view, deadline=deadline)
        return self._driver.plug_wired(
            self._driver.all_wired(ready, view.host), view, deadline, move=move
        )

    def _note(self, vif_id: str, names: frozenset[str]) -> None:
        if self._names.get(vif_id) == names:
            return
        self._names[vif_id] = names
        for name in names:
            self._by_name.setdefault(name, set()).add(vif_id)


class CarriedVIFs(WatchedVIFs):
    """The VIFs that the host carries, as each was plugged: the notes of their plugs tell them.

    A VIF that is unplugged goes with its note, and the next plug brings another one.
    """

    def __init__(self, driver: GenericVIFDriver) -> None:
        """Raises SwitchError where a switch can't be read: it may have VIFs."""
        super().__init__(driver, ())
        carried = driver.inventory(guests=False)
        if carried.failures:
            raise carried.failures[0]
        unknown = [vif.id for vif in carried.vifs if vif.vif is None]
        if unknown:
            words = "%d VIFs here have no note of how they were plugged, and are not watched: %s"
            LOG.warning(words, len(unknown), ", ".join(unknown[:_NAMED]))
        # A note of a VIF that the host does not have is void.
        self._void = driver.reader.notes().ids() - {vif.id for vif in carried.vifs}
        self._take_up({vif.id: vif.vif for vif in carried.vifs if vif.vif})

    def refresh(self) -> set[str]:
        notes = self._driver.reader.notes()
        noted = notes.ids()
        self._void &= noted
        for vif_id in self._ready.keys() - noted:
            del self._ready[vif_id]
            for name in self._names.pop(vif_id, ()):
                self._by_name[name].discard(vif_id)
        new = noted - self._ready.keys() - self._void
        return self._take_up({vif_id: vif for vif_id in new if (vif := notes.of(vif_id))})

    def _take_up(self, vifs: Mapping[str, VIF]) -> set[str]:
        ready = self._driver.all_ready([(None, vif) for vif in vifs.values()])
        for vif_id, each in zip(vifs, ready, strict=True):
            if isinstance(each, Ready):
                self._ready[vif_id] = each
            else:  # its plugin is gone, or takes other VIFs by now
                self._void.add(vif_id)
                LOG.warning("VIF %s is not watched: %s", vif_id, each)
        return self._ready.keys() & vifs.keys()


def in_words(plan: Plan) -> Iterator[str]:
    """Yield how a VIF differs from what is asked: what a plug would do, and what is stale."""
    for step in plan.steps:
        if step.operations:
            words = f"{step.action} {step.part.kind} {step.part.title}"
            yield f"{words}: {step.detail}" if step.detail else words
    yield from (f"leave: {operation}" for operation in plan.leaving)
    yield from plan.stale


def _names_of(ready: Ready, wired: Wired | VifplugError) -> frozenset[str]:
    """Return every name that may be a device, bridge or port on which a VIF depends.

    More names than needed cost nothing: no notification has them.
    """
    vif = ready.vif
    kinds = kinds_of([ready.plugin])
    names = {derived_name(prefix, vif.id) for kind in kinds for prefix in kind.derived}
    names |= {*_texts(fields.dump(vif))}
    if isinstance(wired, Wired):
        for part in wired.wiring.parts:
            names |= {*_texts(fields.dump(part)), *part.devices, *part.shared, *part.places}
        names |= {*wired.elsewhere}
    return frozenset(names)


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, Mapping):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list | tuple):
        for value in data:
            yield from _texts(value)
