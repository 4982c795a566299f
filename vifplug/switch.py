# SPDX-License-Identifier: Apache-2.0
"""The whole contract between vifplug and a plugin's switch that has a database of its own.

A plugin names the module that reads its switch with ``VIFPlugin.switch``: a :class:`Reader`. It
runs in the caller's process, without privilege. The plugin's privileged side hands a
:class:`Switch` to ``vifplug.privileged.plug`` and ``unplug``: it changes the switch in the daemon.
See docs/writing-a-plugin.md.
"""

from __future__ import annotations

import abc
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from vifplug.errors import NO_VIF, DeadlineExceeded
from vifplug.model.claims import ClaimFiles, NoClaimFiles
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.model.snapshot import Snapshot, SwitchPort, Trace
from vifplug.model.vif import VIF
from vifplug.operations.claims import ClaimOperation
from vifplug.operations.operation import Operation, SwitchOperation
from vifplug.parts.part import Part

__all__ = [
    "ClaimFiles",
    "Departure",
    "OneByOne",
    "Order",
    "Presence",
    "Reader",
    "Refused",
    "Snapshot",
    "SomeFailed",
    "Switch",
    "SwitchPort",
    "Trace",
    "Wanted",
    "Watch",
    "claims_apart",
]


S = TypeVar("S", bound=Snapshot)

_UNDO = 1.0
"""Seconds past the deadline in which what is undone must be answered."""


class Reader(Protocol):
    """Reads a switch for the caller. A module with this function is one.

    It may have a second function, ``watch(options, *, deadline) -> Watch | None``. Then
    ``vifplug watch`` hears of changes of the switch. None: this host has no such switch.
    """

    def read(
        self,
        options: Mapping[str, Any],
        vifs: Sequence[VIF] | None,
        host: Host,
        *,
        deadline: float,
    ) -> Snapshot | None:
        """Return what the switch has of some VIFs, of whatever vif_type, or with None of all.

        With None, ``host.asked`` may say that no others matter than the VIFs of these ids.
        ``options`` are the plugin's own. ``deadline`` is absolute CLOCK_MONOTONIC. Never raises:
        the snapshot's ``error`` says why the switch can't be read. None: there is nothing to read.
        """


class Watch(Protocol):
    """Hears of changes of a switch, for a caller that waits for them without asking again.

    The caller waits until the descriptor is readable, then asks for the changes. A switch that
    is gone is watched anew: then the caller closes this, and reads the whole switch.
    """

    def fileno(self) -> int:
        """Return the descriptor that is readable when something has come."""

    def changed(self) -> Collection[str] | None:
        """Return the names of the bridges and ports that have changed; None: any may have.

        Does not wait. What has not changed for a VIF's part may be left out, and a name that no
        VIF has is passed over. Raises SwitchError where the switch can't be heard any more.
        """

    def close(self) -> None:
        """Stop listening."""


class Presence(Protocol):
    """Tells whether a host may have a switch at all, before its plugin is loaded.

    An entry point ``vifplug.switches`` names it, by a vif_type of the plugin. Then the switch is
    asked about VIFs of every vif_type. A plugin's class is one too: it says that it may.
    """

    group: str
    opts: Sequence[Any]

    def present(self, options: Mapping[str, Any]) -> bool:
        """Whether the switch may be there; ``options`` are the plugin's own."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A VIF that is to be plugged: who it is, and its parts in building order.

    ``interface_id`` is the VIF's own, where it has one. ``move``: it is brought over from where
    the host has it.
    """

    owner: Owner
    parts: tuple[Part, ...]
    interface_id: str | None = None
    move: bool = False

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are, or will be, the VIF's own."""
        return tuple(name for part in self.parts for name in part.devices)

    @property
    def places(self) -> frozenset[str]:
        """The bridges, and other devices, that its parts join."""
        return frozenset(name for part in self.parts for name in part.places)


@dataclass(frozen=True, kw_only=True)
class Departure:
    """A VIF that is to be unplugged; ``interface_id`` is None where only the id is known.

    ``force``: it goes although a guest holds it. ``unused``: what plugs have made to share, and no
    VIF uses, goes as well.
    """

    vif_id: str
    interface_id: str | None = None
    force: bool = False
    unused: bool = False


@dataclass(frozen=True, kw_only=True)
class Order:
    """Four groups of one VIF's operations.

    ``before`` are kernel changes before the transaction. ``inside`` is the transaction.
    ``meanwhile`` are kernel changes made while the switch works on it; ``after`` those that wait
    until it has.
    """

    before: tuple[Operation, ...] = ()
    inside: tuple[SwitchOperation, ...] = ()
    meanwhile: tuple[Operation, ...] = ()
    after: tuple[Operation, ...] = ()


def claims_apart(
    operations: Iterable[Operation],
) -> tuple[tuple[Operation, ...], tuple[Operation, ...]]:
    """Return operations without those on claims of a switch's bridges; and these.

    They come after the transaction, because it may make the bridge. Without its bridge, a claim is
    void.
    """
    every = tuple(operations)
    claims = tuple(o for o in every if isinstance(o, ClaimOperation) and o.token)
    return tuple(o for o in every if o not in claims), claims


class Refused(Exception):
    """The switch rejected a transaction and changed nothing.

    ``culprit`` is the index of the VIF to blame; None where the switch does not say.
    """

    def __init__(self, why: str, culprit: int | None = None) -> None:
        super().__init__(why)
        self.culprit = culprit


class SomeFailed(Exception):
    """A switch without transactions did everything for some VIFs, and failed for others.

    ``failed`` has the operation that failed and its error, by the index of the VIF. The core takes
    back what was done for these VIFs. It goes on with the others.
    """

    def __init__(self, failed: Mapping[int, tuple[SwitchOperation, Exception]]) -> None:
        super().__init__("; ".join(f"{operation}: {why}" for operation, why in failed.values()))
        self.failed = dict(failed)


class Switch(abc.ABC):
    """A switch that is open for one privileged call.

    Each method may raise SwitchError and DeadlineExceeded. ``claim_files`` are the claims on the
    switch's bridges, if it has any. The core sets them before it asks for anything.
    """

    claim_files: ClaimFiles = NoClaimFiles()

    @abc.abstractmethod
    def seek(self, wanted: Sequence[Wanted], *, meanwhile: Callable[[], object]) -> Snapshot:
        """Return what the parts of these VIFs must know.

        ``meanwhile`` may be called while the switch is at work on its answer.
        """

    @abc.abstractmethod
    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        """Read everything that belongs to these VIFs; return, per VIF, what removes it.

        That are changes of the switch, and the removal of claims on its bridges.
        """

    def seen(self) -> Snapshot | None:
        """Return what :meth:`removals` has read, for the parts that give back; None: no part asks.

        An unplug looks again once it has given back: a part must then see that nothing is left.
        """
        return None

    def leaving(self, vif: Departure) -> Sequence[Operation]:
        """Return what takes a VIF out that moves to another place; each with its undo."""
        return self.removals([vif])[0]

    @abc.abstractmethod
    def send(self, groups: Sequence[Sequence[SwitchOperation]]) -> None:
        """Ask for the changes of some VIFs, in one transaction where the switch has any.

        Raises as :meth:`confirm` does. It may wait for the answer itself.
        """

    def confirm(self) -> None:
        """Wait until everything that was asked for is done. Raises Refused: nothing was done.

        Raises SomeFailed: not everything was done for some of the VIFs.

        After a SwitchError or DeadlineExceeded, nothing is done: the switch itself undoes what
        comes late. After an OSError the caller has to take the changes back.
        """
        return None

    def settled(
        self, groups: Sequence[Sequence[SwitchOperation]], *, meanwhile: Callable[[], object]
    ) -> Sequence[str | None]:
        """Wait until the switch works with what was confirmed; return, per VIF, why it does not.

        ``meanwhile`` is called while the switch works.
        """
        meanwhile()
        return [None] * len(groups)

    @abc.abstractmethod
    def take_back(self, operation: SwitchOperation) -> None:
        """Make one change by itself, as part of an undo, also a little past the deadline."""

    def let_go(self, device: str) -> None:
        """Wait, also past the deadline, until a port that was taken back is none any more.

        An undo then gives the device back to the bridge that it had. This raises nothing.
        """
        return None

    def void(self, tokens: Collection[str]) -> Collection[str]:
        """Return those of these tokens whose bridge is gone for good, as far as this call has read.

        A token that may be another switch's is not void. The core removes the claims under those
        that are.
        """
        return ()

    def order(self, operations: Sequence[Operation], *, alone: Wanted | None) -> Order:
        """Return the order of one VIF's operations; by default the kernel's come first.

        ``alone`` is that VIF where the call has no other.
        """
        inside = tuple(each for each in operations if isinstance(each, SwitchOperation))
        others = (each for each in operations if not isinstance(each, SwitchOperation))
        kernel, claims = claims_apart(others)
        return Order(before=kernel, inside=inside, after=claims)

    def is_its_doing(self, operation: Operation) -> bool:
        """Whether this repairs what the switch itself has just changed; then it is simply done."""
        return False

    @property
    def lingering(self) -> bool:
        """Whether something that was asked for, and its undo, are not answered yet."""
        return False

    def linger(self) -> None:
        """Wait, for a bounded time, until everything is answered."""
        return None

    @abc.abstractmethod
    def close(self) -> None:
        """End the connection. The core calls this once it asks for nothing more."""


class OneByOne(Switch, Generic[S]):
    """A switch without transactions, for one call: your own has ``read``, ``removal``, ``do``,
    ``close``.

    The changes of one VIF are made in order, up to the first that fails. What was made for this VIF
    is then taken back by ``do``, and an error says what could not be. The other VIFs stay plugged.
    ``options`` are the plugin's own, as the daemon has configured them; ``deadline`` is absolute
    CLOCK_MONOTONIC.
    """

    def __init__(self, options: Mapping[str, Any], deadline: float) -> None:
        self.options, self.deadline = options, deadline
        self._seen: S | None = None
        self._failed: dict[int, tuple[SwitchOperation, Exception]] = {}
        self._never_begun: list[SwitchOperation] = []
        self._undo_until: float | None = None

    @abc.abstractmethod
    def read(self, vif_ids: Sequence[str] | None) -> S:
        """Return what the switch has of some VIFs, or with None of all. Raises SwitchError.

        It may return more. It must return every row that a part of these VIFs compares with.
        """

    @abc.abstractmethod
    def removal(self, vif: Departure, snapshot: S) -> Sequence[Operation]:
        """Return what takes a VIF out of the switch, whoever made its ports."""

    @abc.abstractmethod
    def do(self, operation: SwitchOperation, *, until: float) -> None:
        """Make one change, and return once the switch has it; one that it has already is as good.

        Raises Refused where the switch has changed nothing. After a SwitchError, or any other
        error, the core takes the change back: it may have been made.
        ``until`` is absolute CLOCK_MONOTONIC; for an undo it may lie a little past the deadline.
        """

    # What follows is the core's.

    def seek(self, wanted: Sequence[Wanted], *, meanwhile: Callable[[], object]) -> S:
        meanwhile()
        return self._read([vif.owner.vif_id for vif in wanted])

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        self._seen = snapshot = self._read([vif.vif_id for vif in vifs])
        return [self.removal(vif, snapshot) for vif in vifs]

    def seen(self) -> S | None:
        return self._seen

    def _read(self, vif_ids: Sequence[str]) -> S:
        snapshot = self.read(vif_ids)
        if snapshot.failure:
            raise snapshot.failure
        return snapshot

    def send(self, groups: Sequence[Sequence[SwitchOperation]]) -> None:
        self._failed, self._never_begun = {}, []
        for position, group in enumerate(groups):
            for number, operation in enumerate(group):
                begun = time.monotonic() <= self.deadline
                try:
                    if not begun:
                        raise DeadlineExceeded(NO_VIF, str(operation), "failed")
                    self.do(operation, until=self.deadline)
                except Exception as error:
                    begun = begun and not isinstance(error, Refused)
                    self._failed[position] = operation, error
                    self._never_begun += group[number + begun :]
                    break

    def confirm(self) -> None:
        if self._failed:
            raise SomeFailed(self._failed)

    def take_back(self, operation: SwitchOperation) -> None:
        if any(each.undo() == operation for each in self._never_begun):
            return
        if self._undo_until is None:
            self._undo_until = time.monotonic() + _UNDO
        self.do(operation, until=max(self.deadline, self._undo_until))
