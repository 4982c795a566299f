# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's database for one privileged call: read, changed in transactions, waited for.

A transaction that was sent can't be recalled: a server that hung does it when it goes on. So the
server shows that it is alive before each, and where it does not answer one in time, the undo
follows on the same connection, which is kept until both are answered.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vifplug.apply import Departure, Job, Refused
from vifplug.errors import NO_VIF, DeadlineExceeded, OVSDBError
from vifplug.model.mark import derived_name
from vifplug.operations.operation import Operation
from vifplug_ovs import reader as look
from vifplug_ovs.operations.bridges import RemoveBridge
from vifplug_ovs.operations.operation import OvsOperation
from vifplug_ovs.operations.ports import AddPort, MovePort, Settle
from vifplug_ovs.ovsdb import pool as kept
from vifplug_ovs.ovsdb.connection import DATABASE, Connection, Lost, Unanswered, first_error
from vifplug_ovs.ovsdb.endpoint import Keys
from vifplug_ovs.ovsdb.queries import Sought
from vifplug_ovs.ovsdb.requests import Request, by_row, named
from vifplug_ovs.parts import port as parts
from vifplug_ovs.race import Race
from vifplug_ovs.snapshot import Ovs

_UNDO = 0.6
"""Seconds past a call's deadline in which an undo may be answered; the caller waits 1 s."""

_ALIVE = 0.05
"""Seconds for which an answer of the server's shows that it is alive."""

_LINGER = 600.0
"""Seconds in which a server that hangs may go on and find the undo of what it does then."""

_AGAIN = 1.0
"""Seconds in which vswitchd surely looks again by itself after a device has appeared."""

_ACKNOWLEDGEMENT = "vswitchd's acknowledgement"

_BUMP: Sequence[Request] = (
    {
        "op": "mutate",
        "table": "Open_vSwitch",
        "where": [],
        "mutations": [["next_cfg", "+=", 1]],
    },
    look.select("Open_vSwitch", [], ["next_cfg"]),
)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A transaction that was asked for: of which group each request is, and what undoes all."""

    connection: Connection
    number: int
    requests: Sequence[Request]
    whose: Sequence[int]
    undo: list[Operation]

    def refused(self, at: int, why: str) -> Refused:
        """Return what is to be said of it where one of its requests was refused."""
        culprit = self.whose[at] if at < len(self.whose) else None
        return Refused(_said(why, self.requests, at), culprit)


class OpenDatabase:
    """The database at an endpoint; what ``vifplug.privileged`` asks of one for a call."""

    def __init__(
        self, endpoint: str, deadline: float, *, keys: Keys, races: Mapping[str, Race]
    ) -> None:
        self._endpoint, self._deadline, self._keys = endpoint, deadline, keys
        self._races, self._race = races, Race()
        self._racing = False
        self._sent = 0.0
        self._first = 0
        self._asked: _Asked | None = None
        self._connection: Connection | None = None
        self._configuration = 0
        self._late_undo: list[Operation] | None = None
        self._sought: Sequence[Sought] = ()
        self._fresh: Ovs | None = None

    def close(self) -> None:
        """Let go of the connection, which the next call may have."""
        if self._connection:
            kept.give_back(self._connection)
            self._connection = None

    # Reading.

    def seek(self, jobs: Sequence[Job], *, meanwhile: Callable[[], object]) -> Ovs:
        """Read what the parts of these jobs must know."""
        return self._read([_sought(job) for job in jobs], meanwhile)

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        """Read what is these VIFs' and return what takes each out of the database."""
        ovs = self._read([_sought_of(vif) for vif in vifs])
        return [parts.removal(vif.vif_id, vif.interface_id, ovs) for vif in vifs]

    def _read(self, sought: Sequence[Sought], meanwhile: Callable[[], object] | None = None) -> Ovs:
        fresh, self._fresh = self._fresh, None
        if fresh and self._sought == sought:
            return fresh
        self._sought = sought
        try:
            return self._try_to_read(sought, meanwhile)
        except Lost:
            self.close()  # it was restarted, maybe: once more, with the patience of a connection
        try:
            return self._try_to_read(sought)
        except Lost as error:
            raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error

    def _try_to_read(
        self, sought: Sequence[Sought], meanwhile: Callable[[], object] | None = None
    ) -> Ovs:
        connection = self._connected()
        try:
            return look.read(connection, sought, deadline=self._deadline, meanwhile=meanwhile)
        except Unanswered as error:
            raise self._late("reading the database") from error

    # Changing.

    def send(self, groups: Sequence[Sequence[Operation]]) -> None:
        """Ask for all changes in one transaction; see ``vifplug.apply.Database``."""
        requests, whose = _requested(groups)
        connection = self._alive()
        if time.monotonic() >= self._deadline:
            raise self._late("the transaction")
        asked = [[DATABASE, *requests, *_BUMP]]
        if self._racing and (first := self._first_answer(groups)):
            asked.append([DATABASE, *first])
        number = self._transact(connection, asked)
        self._sent = time.monotonic()
        self._first = number + 1 if len(asked) > 1 else 0
        undo = [o.undo() for group in reversed(groups) for o in reversed(group)]
        self._asked = _Asked(
            connection=connection,
            number=number,
            requests=requests,
            whose=whose,
            undo=[back for back in undo if back],
        )
        if self._racing and self._race.slow:
            self.confirm()

    def _transact(self, connection: Connection, asked: Sequence[list[Any]]) -> int:
        """Send a transaction, and questions about it; return its number."""
        try:
            return connection.send("transact", *asked, deadline=self._deadline)
        except Lost as error:
            self.close()
            if len(asked) > 1:
                raise Lost(f"OVSDB at {self._endpoint}: {error}") from error
            raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error  # half of it is nothing

    def confirm(self) -> None:
        """Wait until all that was asked for is done; see ``vifplug.apply.Database``."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        try:
            results = asked.connection.receive(asked.number, deadline=self._deadline)
        except Unanswered as error:
            self._late_undo = asked.undo  # linger() sends it after this
            raise self._late("the transaction", "unknown") from error
        except Lost as error:
            self.close()
            raise Lost(f"OVSDB at {self._endpoint}: {error}") from error
        if refused := first_error(results):
            raise asked.refused(*refused)
        rows = results[-1]["rows"]
        if not rows:
            raise OVSDBError(NO_VIF, self._endpoint, "it is empty: ovs-vsctl init is needed")
        self._configuration = rows[0]["next_cfg"]

    def take_back(self, operation: Operation) -> None:
        """Make one change by itself, also a little past the deadline."""
        assert isinstance(operation, OvsOperation)  # noqa: S101 - in_database says so
        until = max(self._deadline, time.monotonic() + _UNDO)
        try:
            connection = self._connected(until)
            results = connection.transact(operation.requests(), deadline=until)
        except Lost:
            self.close()
            results = self._connected(until).transact(operation.requests(), deadline=until)
        refused = first_error(results)
        # A bridge that others have joined meanwhile stays.
        if refused and not isinstance(operation, RemoveBridge):
            raise OVSDBError(NO_VIF, self._endpoint, refused[1])

    @property
    def lingering(self) -> bool:
        """Whether a transaction, and its undo, are not answered yet."""
        if self._late_undo is None or self._connection is None:
            return False
        return bool(self._late_undo or self._connection.pending)

    def linger(self) -> None:
        """Send the undo of what comes too late, and wait until all is answered.

        A server that hangs takes what its socket holds and no more, so this may wait for it.
        """
        until = time.monotonic() + _LINGER
        connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(Lost, Unanswered):
            for operation in self._late_undo or ():
                assert isinstance(operation, OvsOperation)  # noqa: S101 - in_database says so
                params = [DATABASE, *operation.requests()]
                connection.send("transact", params, deadline=until)
            self._late_undo = []
            while connection.pending:
                with contextlib.suppress(OVSDBError):
                    connection.receive(min(connection.pending), deadline=until)

    # Waiting for the switch.

    def race(self, job: Job) -> bool:
        """Whether a device may be made while the database is at work on its port's row."""
        self._race = self._races[job.owner.process]
        self._racing = self._race.enter()
        return self._racing

    def settled(
        self, groups: Sequence[Sequence[Operation]], *, meanwhile: Callable[[], object]
    ) -> Sequence[str | None]:
        """Wait until vswitchd has done what was confirmed; return why not, for each group.

        What is read with it is what the next reading would find, and is kept for that.
        """
        made = _made(groups)
        awaited = [_awaited(group) for group in groups]
        ovs = self._after(self._until_acknowledged(), made, _ACKNOWLEDGEMENT, meanwhile)
        self._race.acknowledged(self._connected().heard - self._sent)
        if self._racing and self._looked_too_soon():
            self._race.lost()
        if self._racing and any(_complaint(names, ovs) for names in awaited):
            ovs = self._after_another_look(made, awaited)
        for name in (name for names in awaited for name in names):
            found = ovs.port(name)
            if found and not found[1].error and found[1].ofport is None:
                # A device that came back is taken without a new configuration.
                ovs = self._after_its_ofport(name, made)
        self._fresh = ovs
        return [_complaint(names, ovs) for names in awaited]

    def _first_answer(self, groups: Sequence[Sequence[Operation]]) -> list[Request]:
        """Return the question what vswitchd says first of ports that are being made."""
        rows = [by_row(port.interface) for port in _made(groups)]
        said = [self._until("Interface", [*one, ["ofport", "!=", ["set", []]]]) for one in rows]
        return said + [look.select("Interface", one, ["ofport"]) for one in rows]

    def _looked_too_soon(self) -> bool:
        """Whether vswitchd did not find a device when it first looked for it."""
        found = self._connected().answer(self._first) or []
        return any(one.get("ofport") == -1 for result in found for one in result.get("rows", ()))

    def _after_another_look(self, made: Sequence[AddPort], awaited: Sequence[Sequence[str]]) -> Ovs:
        """Return what vswitchd says once it has looked again, as it does when a device appears."""
        until = min(self._deadline, time.monotonic() + _AGAIN)
        for name in (name for names in awaited for name in names):
            with contextlib.suppress(DeadlineExceeded):
                ovs = self._after_its_ofport(name, made, until)
                if not any(_complaint(names, ovs) for names in awaited):
                    return ovs
        # It has not, or says the same: asked to, what it says then counts.
        self._have_it_look_again()
        return self._after(self._until_acknowledged(), made, _ACKNOWLEDGEMENT)

    def _after_its_ofport(
        self, name: str, made: Sequence[AddPort], until: float | None = None
    ) -> Ovs:
        # vswitchd may take back what it said of a device that was not there a moment later.
        taken = [*named(name), ["ofport", ">", 0], ["error", "==", ["set", []]]]
        return self._after(self._until("Interface", taken, until), made, f"the ofport of {name}")

    def _have_it_look_again(self) -> None:
        try:
            self.send([])
            self.confirm()
        except DeadlineExceeded as error:
            self._late_undo = None  # there is nothing to undo of it
            raise self._late(_ACKNOWLEDGEMENT) from error

    def _until_acknowledged(self) -> Request:
        return self._until("Open_vSwitch", [["cur_cfg", ">=", self._configuration]])

    def _until(self, table: str, where: list[Any], until: float | None = None) -> Request:
        """Return what makes a transaction wait, up to the deadline, until a table has such rows."""
        left = max((self._deadline if until is None else until) - time.monotonic(), 0.0)
        return {
            "op": "wait",
            "timeout": int(left * 1000),
            "table": table,
            "where": where,
            "columns": ["_uuid"],
            "until": "!=",
            "rows": [],
        }

    def _after(
        self,
        wait: Request,
        made: Sequence[AddPort],
        step: str,
        meanwhile: Callable[[], object] | None = None,
    ) -> Ovs:
        # The server ends the wait by itself; its answer may come a little after.
        until = self._deadline + _UNDO / 2
        try:
            return look.read(
                self._connected(),
                self._sought,
                deadline=until,
                after=wait,
                made=made,
                meanwhile=meanwhile,
            )
        except Lost as error:
            self.close()  # the undo needs one that works
            raise self._late(step) from error
        except (Unanswered, look.TimedOut) as error:
            raise self._late(step) from error

    # The connection.

    def _connected(self, until: float | None = None) -> Connection:
        if self._connection is None:
            deadline = self._deadline if until is None else until
            try:
                self._connection = kept.take(self._endpoint, deadline=deadline, keys=self._keys)
            except PermissionError as error:
                why = f"{error.strerror}: its group, or CAP_DAC_OVERRIDE, is needed"
                raise OVSDBError(NO_VIF, self._endpoint, why) from error
        return self._connection

    def _alive(self) -> Connection:
        """Return the connection to a server that answers now."""
        for attempt in (1, 2):
            connection = self._connected()
            if time.monotonic() - connection.heard < _ALIVE:
                return connection
            try:
                connection.echo(deadline=self._deadline)
            except Unanswered as error:
                self.close()
                raise self._late("the database's sign of life") from error
            except Lost as error:
                self.close()
                if attempt == 2:
                    raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error
            else:
                return connection
        raise AssertionError

    def _late(self, step: str, outcome: str = "failed") -> DeadlineExceeded:
        return DeadlineExceeded(NO_VIF, f"{step} (OVSDB at {self._endpoint})", outcome)


def _requested(groups: Sequence[Sequence[Operation]]) -> tuple[list[Request], list[int]]:
    """Return what all changes ask for, and of which group each request is; each wait once."""
    requests: list[Request] = []
    whose: list[int] = []
    waits: list[Request] = []
    for place, group in enumerate(groups):
        for operation in group:
            assert isinstance(operation, OvsOperation)  # noqa: S101 - in_database says so
            for request in operation.requests():
                if request["op"] == "wait":
                    if request in waits:
                        continue
                    waits.append(request)
                requests.append(request)
                whose.append(place)
    return requests, whose


def _made(groups: Sequence[Sequence[Operation]]) -> list[AddPort]:
    return [one for group in groups for one in group if isinstance(one, AddPort)]


def _awaited(group: Sequence[Operation]) -> list[str]:
    """Return the ports that the switch has to take."""
    return [o.device for o in group if isinstance(o, (AddPort, MovePort, Settle))]


def _sought_of(vif: Departure) -> Sought:
    names = tuple(derived_name(prefix, vif.vif_id) for prefix in ("tap", "qvo"))
    return Sought(vif_id=vif.vif_id, interface_id=vif.interface_id, ports=names)


def _sought(job: Job) -> Sought:
    ports = [part for part in job.parts if isinstance(part, parts.Port)]
    claims = [part for part in job.parts if isinstance(part, parts.Claim)]
    bridges = [part.name for part in job.parts if isinstance(part, parts.Bridge)]
    ids = [part.interface_id for part in ports] + [part.interface_id for part in claims]
    return Sought(
        vif_id=job.owner.vif_id,
        interface_id=next((one for one in ids if one), None),
        bridge=bridges[0] if bridges else None,
        ports=tuple(part.name for part in ports),
    )


def _said(why: str, requests: Sequence[Request], at: int) -> str:
    if at < len(requests) and requests[at]["op"] == "wait":
        name = requests[at]["where"][0][2]
        return f"the bridge {name} has gone" if isinstance(name, str) else "it came into use"
    return f"the database refused it: {why}"


def _complaint(names: Sequence[str], ovs: Ovs) -> str | None:
    for name in names:
        found = ovs.port(name)
        if found is None:
            return f"the port {name} has gone again"
        _, port = found
        if port.error or not port.ofport or port.ofport < 0:
            return f"Open vSwitch did not take {name}: {port.error or 'it has no ofport'}"
    return None
