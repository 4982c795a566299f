# SPDX-License-Identifier: Apache-2.0
"""What plans are carried out with: the kernel, a switch's database if there is one, the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from vifplug.apply.job import Departure, Job
from vifplug.errors import DeadlineExceeded
from vifplug.kernel.netlink import Netlink
from vifplug.model.host import Host
from vifplug.operations.operation import Operation
from vifplug.perform import perform
from vifplug.query.cards import RunningFunctions
from vifplug.query.links import RunningLinks
from vifplug_ovs.snapshot import Ovs

BATCH = 8
"""From so many VIFs on, the host is read in one dump instead of name by name."""


class Refused(Exception):
    """A database refused a transaction, of which nothing was done; ``culprit`` is the VIF's place.

    ``culprit`` is None where the database does not say whose part of it was wrong.
    """

    def __init__(self, why: str, culprit: int | None = None) -> None:
        super().__init__(why)
        self.culprit = culprit


class Database(Protocol):
    """A switch's database, which a plan changes in transactions, unlike the kernel's devices."""

    def seek(self, jobs: Sequence[Job], *, meanwhile: Callable[[], object]) -> Ovs:
        """Read what the parts of these jobs must know. Raises OVSDBError, DeadlineExceeded.

        ``meanwhile`` may be done while the database is at work.
        """

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        """Read what is these VIFs' and return what takes each out, as :meth:`seek`."""

    def send(self, groups: Sequence[Sequence[Operation]]) -> None:
        """Ask for all changes in one transaction, which can't be recalled: then :meth:`confirm`.

        Raises as that does; it may wait for the answer itself, where the switch needs that time.
        """

    def confirm(self) -> None:
        """Wait until all that was asked for is done. Raises Refused: nothing of it was.

        OVSDBError and DeadlineExceeded: nothing was done, or what may come to be done is undone by
        the database itself. OSError: the caller has to take it back.
        """

    def take_back(self, operation: Operation) -> None:
        """Make one change by itself, also a little past the deadline. Raises as :meth:`confirm`."""

    def settled(
        self, groups: Sequence[Sequence[Operation]], *, meanwhile: Callable[[], object]
    ) -> Sequence[str | None]:
        """Wait until the switch has done what was confirmed; return why not, for each group.

        ``meanwhile`` is done while it works.
        """

    def race(self, job: Job) -> bool:
        """Whether a job's device may be made while the database is at work on its port's row.

        Asked once for a plug; the switch may look for the device before it is made.
        """


@dataclass(frozen=True, kw_only=True)
class Means:
    """What plans are carried out with: netlink, a database if there is one, and the time.

    ``deadline`` is absolute CLOCK_MONOTONIC. ``facts`` adds what a plugin's parts must know of the
    host besides. ``meanwhile`` is done while a switch works, so that it takes no time.
    """

    netlink: Netlink
    deadline: float
    database: Database | None = None
    facts: Callable[[Host], Host] | None = None
    meanwhile: Callable[[], object] | None = None

    def look(self, *, batch: bool) -> Host:
        """Return the host's devices as they are; in a ``batch`` all are read at once."""
        links = RunningLinks(self.netlink)
        if batch:
            links.read_all()
        return Host(links=links, pci=RunningFunctions())

    def look_for(self, jobs: Sequence[Job]) -> Host:
        """Return the host with all that the parts of some jobs must know.

        Raises OSError, OVSDBError, DeadlineExceeded.
        """
        self.netlink.let_go()  # a tap that is held looks like a running guest's
        host = self.look(batch=len(jobs) >= BATCH)
        for job in jobs:
            host.expect(name for part in job.parts for name in part.devices)
            marks = (part.marks(job.owner) for part in job.parts)
            host.expect(mark for own in marks for mark in own.values())
        if self.database:
            host = replace(host, ovs=self.database.seek(jobs, meanwhile=host.read_ahead))
        return self.facts(host) if self.facts else host

    def perform(self, operation: Operation) -> None:
        """Do one operation on the kernel."""
        perform(self.netlink, operation)

    def use_the_time(self) -> None:
        """Do what has to be done some time, while a switch works."""
        self.netlink.let_go()
        if self.meanwhile:
            self.meanwhile()

    def take_back(self, operation: Operation) -> None:
        """Do one operation that undoes another, on the kernel or in the database."""
        if operation.in_database and self.database:
            self.database.take_back(operation)
        else:
            perform(self.netlink, operation)

    def require_time(self, vif_id: str, step: str) -> None:
        """Raise DeadlineExceeded where the deadline has passed."""
        if time.monotonic() > self.deadline:
            raise DeadlineExceeded(vif_id, step, "failed")
