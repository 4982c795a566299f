# SPDX-License-Identifier: Apache-2.0
"""Tells which watched VIF differs from what is asked, as soon as it does, and mends it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vifplug import calls
from vifplug.driver import GenericVIFDriver
from vifplug.errors import SwitchError, VifplugError
from vifplug.plugin import VIFPlugin
from vifplug.result import Result
from vifplug.watching.sources import Sources
from vifplug.watching.vifs import Finding, WatchedVIFs

DRIFT, MENDED, FAILED, WELL = "drift", "mended", "failed", "as asked"

_FIRST, _MANY = 7, 500
"""VIFs that are looked at in one go: first a few, so that something is told at once."""

_BATCH = 50
"""VIFs that are mended in one go."""

_TRIES = 3
"""How often a VIF is looked at again because other VIFs were being plugged meanwhile."""

_AT_ONCE = 5
"""Repairs of one VIF that do not wait, though each follows another."""

_BUSY = 0.05
"""Seconds after which a VIF is looked at again that another caller was plugging."""

_YOUNG = 0.5
"""Seconds for which the VIF of a new device is left alone: its maker has more steps to do."""

_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a VIF is mended again, at first and at most; see ``_Repairs``."""


@dataclass(frozen=True, kw_only=True)
class Event:
    """What became of one VIF. ``seconds``: from the notification to the end of the repair."""

    kind: str
    finding: Finding
    seconds: float | None = None


@dataclass(kw_only=True)
class Counts:
    """How often VIFs drifted, were mended, and could not be."""

    drifts: int = 0
    mended: int = 0
    failed: int = 0


@dataclass(frozen=True, kw_only=True)
class _Repairs:
    """The repairs of one VIF that followed each other, and until when it is left alone."""

    at: float
    number: int
    until: float

    @classmethod
    def after(cls, before: _Repairs | None, now: float, *, failed: bool) -> _Repairs:
        """Return it with one more repair, at a time.

        The first few are done at once. Later ones wait, because another program may undo each.
        """
        follows = before is not None and now < before.until + _LONGEST_PAUSE
        number = before.number + 1 if before and follows else 1
        waits = number if failed else number - _AT_ONCE
        pause = min(_PAUSE * 2 ** min(waits - 1, 10), _LONGEST_PAUSE) if waits > 0 else 0.0
        return cls(at=now, number=number, until=now + pause)


class Watcher:
    """Watches VIFs. ``tell`` is called with each event."""

    def __init__(
        self, driver: GenericVIFDriver, vifs: WatchedVIFs, *, tell: Callable[[Event], object],
        repair: bool = False,
    ) -> None:  # fmt: skip
        self._driver, self._tell, self._repair = driver, tell, repair
        self.vifs = vifs
        self.counts = Counts()
        self._told: dict[str, tuple[str, ...]] = {}
        self._repairs: dict[str, _Repairs] = {}
        self._failures: dict[str, str] = {}
        self._erring: set[str] = set()
        self._tries: dict[str, int] = {}
        self._young: dict[str, float] = {}
        self._later: dict[str, float] = {}

    @property
    def differing(self) -> int:
        """How many VIFs are not as asked, as far as was told."""
        return len(self._told)

    @property
    def failing(self) -> bool:
        """Whether a VIF can't be looked at, or not be mended."""
        return bool(self._failures or self._erring)

    def once(self) -> None:
        """Look at everything once, and mend it if asked to."""
        self._look(self.vifs.ids, time.monotonic(), whole=True)
        # Those that another caller was plugging, and a look after each repair.
        while waiting := {*self._later} - {*self._failures} - self._erring:
            time.sleep(max(min(self._later[v] for v in waiting) - time.monotonic(), 0.0))
            self._look([*waiting], time.monotonic())
            self._refresh()

    def run(self, sources: Sources, *, ready: Callable[[], object],
            go_on: Callable[[], bool]) -> None:  # fmt: skip
        """Watch until ``go_on`` says no; ``ready`` is called once everything is being watched.

        Raises PrivilegeError where VIFs are to be mended and a daemon can't be started.
        """
        if self._repair:
            self._start_daemons()
        self.resync(sources)
        ready()
        while go_on():
            changed = sources.wait(min(self._later.values(), default=None))
            if changed.whole:
                self.resync(sources)
                continue
            new = self._refresh()
            now = time.monotonic()
            due = {vif_id for vif_id, at in self._later.items() if at <= now}
            dirty = self.vifs.depending(changed.names) | due | new
            dirty -= self._put_off(dirty, self.vifs.depending(changed.made), now)
            if dirty:
                ids = [vif_id for vif_id in self.vifs.ids if vif_id in dirty]
                self._look(ids, changed.since, away=sources.away)

    def _put_off(self, dirty: set[str], young: set[str], now: float) -> set[str]:
        """Return the VIFs that wait until the maker of their new device must be done with it.

        libvirt fails to start a guest whose tap somebody else has put into its bridge.
        """
        self._young = {v: until for v, until in self._young.items() if until > now}
        self._young |= dict.fromkeys(young, now + _YOUNG)
        waiting = dirty & self._young.keys()
        self._later |= {vif_id: self._young[vif_id] for vif_id in waiting}
        return waiting

    def resync(self, sources: Sources) -> None:
        """Look at everything, whatever was told before; hear of the switches that are needed."""
        sources.watch(self._plugins(), needed=self.vifs.plugins)
        sources.learn()
        self._later.clear()
        self._refresh()
        self._look(self.vifs.ids, time.monotonic(), whole=True, away=sources.away)

    def replace(self, vifs: WatchedVIFs) -> None:
        """Watch other VIFs from the next look on."""
        self.vifs = vifs
        self._drop()

    def _refresh(self) -> set[str]:
        """Have the VIFs that are to be watched by now; return those that are new."""
        new = self.vifs.refresh()
        self._drop()
        return new

    def _drop(self) -> None:
        """Forget what was told of VIFs that are watched no more."""
        gone = ({*self._told, *self._erring, *self._later, *self._repairs}) - {*self.vifs.ids}
        for vif_id in gone:
            self._erring.discard(vif_id)
            self._later.pop(vif_id, None)
            self._repairs.pop(vif_id, None)
            self._forget(vif_id)

    def _plugins(self) -> Iterable[VIFPlugin]:
        registry = self._driver.registry
        return dict.fromkeys([*self.vifs.plugins, *registry.some(registry.switches_here())])

    def _start_daemons(self) -> None:
        """Start what a repair needs now: that takes longer than a repair may."""
        for module in {plugin.privileged() for plugin in self.vifs.plugins}:
            calls.start(module, self._driver.deadline(None))

    def _look(
        self, ids: Sequence[str], since: float, *, whole: bool = False, away: bool = False
    ) -> None:
        """Look at VIFs, tell of those that changed, and mend those that differ."""
        some, rest = (ids, ()) if whole else (ids[:_FIRST], ids[_FIRST:])
        while some:
            for vif_id in some:
                self._later.pop(vif_id, None)
            found = self.vifs.look(some, whole=whole)
            self._act(found, since, away)
            some, rest = rest[:_MANY], rest[_MANY:]

    def _act(self, found: Sequence[Finding], since: float, away: bool) -> None:
        to_mend = []
        for finding in found:
            if self._is_at_work(finding):
                self._later[finding.vif_id] = time.monotonic() + _BUSY
            elif isinstance(finding.error, SwitchError) and away:
                continue  # once the switch is there again, everything is looked at
            else:
                self._note(finding)
                if finding.error and finding.error.retriable:
                    self._later[finding.vif_id] = time.monotonic() + _PAUSE
                if self._repair and finding.mendable:
                    to_mend.append(finding)
        self._mend(to_mend, since)

    def _is_at_work(self, finding: Finding) -> bool:
        """Whether another caller may be at work on a VIF: it is looked at again soon."""
        if not finding.held and not (finding.busy and self._tries.get(finding.vif_id, 0) < _TRIES):
            self._tries.pop(finding.vif_id, None)
            return False
        self._tries[finding.vif_id] = self._tries.get(finding.vif_id, 0) + 1
        return True

    def _note(self, finding: Finding) -> None:
        """Tell how a VIF is, unless that was told before."""
        said = self._told.get(finding.vif_id, ())
        (self._erring.add if finding.error else self._erring.discard)(finding.vif_id)
        if finding.says == said:
            return
        if finding.says:
            self._told[finding.vif_id] = finding.says
            self.counts.drifts += bool(finding.drift)
            self._tell(Event(kind=FAILED if finding.error else DRIFT, finding=finding))
        else:
            self._forget(finding.vif_id)
            self._tell(Event(kind=WELL, finding=finding))

    def _forget(self, vif_id: str) -> None:
        self._told.pop(vif_id, None)
        self._failures.pop(vif_id, None)

    def _mend(self, findings: Sequence[Finding], since: float) -> None:
        """Plug VIFs as any caller does, with all its locks and rules; those whose turn it is."""
        now = time.monotonic()
        ready = []
        for finding in findings:
            repairs = self._repairs.get(finding.vif_id)
            if repairs and now < repairs.until:
                self._later[finding.vif_id] = repairs.until
            else:
                ready.append(finding)
        for move in (False, True):
            group = [finding for finding in ready if finding.moves == move]
            for at in range(0, len(group), _BATCH):
                some = group[at : at + _BATCH]
                outcomes = self.vifs.plug([finding.vif_id for finding in some], move=move)
                now = time.monotonic()
                for finding, outcome in zip(some, outcomes, strict=True):
                    self._mended(finding, outcome, now, since)

    def _mended(
        self, finding: Finding, outcome: Result | VifplugError, now: float, since: float
    ) -> None:
        """Note and tell what became of a repair."""
        failed = isinstance(outcome, VifplugError)
        before = self._repairs.get(finding.vif_id)
        self._repairs[finding.vif_id] = repairs = _Repairs.after(before, now, failed=failed)
        if isinstance(outcome, VifplugError):
            self._later[finding.vif_id] = repairs.until
            if self._failures.get(finding.vif_id) != str(outcome):
                self._failures[finding.vif_id] = str(outcome)
                self.counts.failed += 1
                error = dataclasses.replace(finding, error=outcome)
                self._tell(Event(kind=FAILED, finding=error))
            return
        # Once more, because a program may undo it so soon that a switch's watch sees no change.
        self._later[finding.vif_id] = now + _BUSY
        self.counts.mended += outcome.changed
        self._forget(finding.vif_id)
        kind = MENDED if outcome.changed else WELL
        self._tell(Event(kind=kind, finding=finding, seconds=now - since))
