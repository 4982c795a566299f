# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch's database for one privileged call: read, changed in transactions, waited for.

A transaction that was sent can't be recalled: a server that hung does it when it goes on. So the
server shows that it is alive before each, and where it does not answer one in time, the undo
follows on the same connection, which is kept until both are answered.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vifplug.apply import Departure, Job, Refused
from vifplug.errors import NO_VIF, DeadlineExceeded, OVSDBError
from vifplug.mark import derived_name
from vifplug.operations import Operation
from vifplug.ovs import Ovs
from vifplug_ovs import look, parts
from vifplug_ovs.endpoint import Keys
from vifplug_ovs.look import Sought
from vifplug_ovs.operations import (
    AddPort,
    MovePort,
    OvsOperation,
    RemoveBridge,
    Request,
    Settle,
    named,
)
from vifplug_ovs.ovsdb import Connection, Lost, Unanswered, first_error
from vifplug_ovs.pace import Pace

_UNDO = 0.6
"""Seconds past a call's deadline in which an undo may be answered; the caller waits 1 s."""

_ALIVE = 0.05
"""Seconds for which an answer of the server's shows that it is alive."""

_LINGER = 600.0
"""Seconds in which a server that hangs may go on and find the undo of what it does then."""

_ACKNOWLEDGEMENT = "vswitchd's acknowledgement"
_STATE = ["error", "ofport"]

_BUMP: Sequence[Request] = (
    {
        "op": "mutate",
        "table": "Open_vSwitch",
        "where": [],
        "mutations": [["next_cfg", "+=", 1]],
    },
    {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]},
)


@dataclass(frozen=True)
class _Watched:
    """A question that is answered when vswitchd acknowledges, and the connection that has it.

    Without one it could not be asked.
    """

    connection: Connection | None = None
    number: int = 0


class OpenDatabase:
    """The database at an endpoint; what ``vifplug.privileged`` asks of one for a call."""

    def __init__(
        self, endpoint: str, deadline: float, *, keys: Keys | None = None, pace: Pace | None = None
    ) -> None:
        self._endpoint, self._deadline, self._keys = endpoint, deadline, keys
        self._pace = pace or Pace()
        self._answered = 0.0
        self._watched: _Watched | None = None
        self._connection: Connection | None = None
        self._configuration = 0
        self._late_undo: list[Operation] | None = None
        self._sought: Sequence[Sought] = ()
        self._fresh: Ovs | None = None

    def close(self) -> None:
        """End the connection."""
        if self._connection:
            self._connection.close()
            self._connection = None

    # Reading.

    def seek(self, jobs: Sequence[Job]) -> Ovs:
        """Read what the parts of these jobs must know."""
        return self._read([_sought(job) for job in jobs])

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        """Read what is these VIFs' and return what takes each out of the database."""
        ovs = self._read([_sought_of(vif) for vif in vifs])
        return [parts.removal(vif.vif_id, vif.interface_id, ovs) for vif in vifs]

    def _read(self, sought: Sequence[Sought]) -> Ovs:
        fresh, self._fresh = self._fresh, None
        if fresh and self._sought == sought:
            return fresh
        self._sought = sought
        try:
            return self._try_to_read(sought)
        except Lost:
            self.close()  # it was restarted, maybe: once more, with the patience of a connection
        try:
            return self._try_to_read(sought)
        except Lost as error:
            raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error

    def _try_to_read(self, sought: Sequence[Sought]) -> Ovs:
        try:
            return look.read(self._connected(), sought, deadline=self._deadline)
        except Unanswered as error:
            raise self._late("reading the database") from error

    # Changing.

    def commit(self, groups: Sequence[Sequence[Operation]]) -> None:
        """Make all changes in one transaction, or none; see ``vifplug.apply.Database``."""
        requests: list[Request] = []
        whose: list[int] = []
        there: list[Request] = []
        for place, group in enumerate(groups):
            for operation in group:
                assert isinstance(operation, OvsOperation)  # noqa: S101 - in_database says so
                for request in operation.requests():
                    if request["op"] == "wait":
                        if request in there:
                            continue
                        there.append(request)
                    requests.append(request)
                    whose.append(place)
        connection = self._alive()
        undo = [o.undo() for group in reversed(groups) for o in reversed(group)]
        try:
            number = connection.send(
                "transact", ["Open_vSwitch", *requests, *_BUMP], deadline=self._deadline
            )
        except Lost as error:  # half a request is none
            self.close()
            raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error
        try:
            results = connection.receive(number, deadline=self._deadline)
        except Unanswered as error:
            self._late_undo = [back for back in undo if back]  # linger() sends it after this
            raise self._late("the transaction", "unknown") from error
        except Lost as error:
            self.close()
            raise Lost(f"OVSDB at {self._endpoint}: {error}") from error
        if refused := first_error(results):
            at, why = refused
            raise Refused(_said(why, requests, at), whose[at] if at < len(whose) else None)
        self._configuration = results[-1]["rows"][0]["next_cfg"]
        self._answered = connection.heard

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
                params = ["Open_vSwitch", *operation.requests()]
                connection.send("transact", params, deadline=until)
            self._late_undo = []
            while connection.pending:
                with contextlib.suppress(OVSDBError):
                    connection.receive(min(connection.pending), deadline=until)

    # Waiting for the switch.

    @property
    def slow(self) -> bool:
        """Whether vswitchd takes longer to get to a port than its device takes to be made."""
        return self._pace.slow

    def watch(self, groups: Sequence[Sequence[Operation]]) -> None:
        """Note how vswitchd finds ports when it first gets to them; asked now, read later."""
        questions = [
            {"op": "select", "table": "Interface", "where": named(name), "columns": _STATE}
            for names in _awaited(groups)
            for name in names
        ]
        params = ["Open_vSwitch", self._until_acknowledged(), *questions]
        self._watched, connection = _Watched(), self._connection
        if connection:
            with contextlib.suppress(Lost):
                number = connection.send("transact", params, deadline=self._deadline)
                self._watched = _Watched(connection, number)

    def settled(self, groups: Sequence[Sequence[Operation]]) -> Sequence[str | None]:
        """Wait until vswitchd has done what was committed; return why not, for each group.

        What is read with it is what the next reading would find, and is kept for that.
        """
        rows = {o.device: o.row for group in groups for o in group if isinstance(o, AddPort)}
        awaited, rows_first = _awaited(groups), self._watched is not None
        if rows_first and self._missed():
            # It got there before the devices did; what it says counts once it has looked again.
            self._pace.missed()
            self._have_it_look_again()
        ovs = self._after(self._until_acknowledged(), rows, _ACKNOWLEDGEMENT)
        if len(groups) == 1 and not rows_first:
            self._pace.acknowledged(self._connected().heard - self._answered)
        for name in (name for names in awaited for name in names):
            found = ovs.port(name)
            if found and not found[1].error and found[1].ofport is None:
                # A device that came back is taken without a new configuration.
                ready = [*named(name), ["ofport", ">", 0]]
                ovs = self._after(self._until("Interface", ready), rows, f"the ofport of {name}")
        self._fresh = ovs
        return [_complaint(names, ovs) for names in awaited]

    def _missed(self) -> bool:
        """Whether vswitchd looked for a port's device before it was made. Raises as settled()."""
        watched, self._watched = self._watched, None
        if watched is None or not watched.connection or watched.connection is not self._connection:
            return True  # nobody knows
        until = self._deadline + _UNDO / 2
        try:
            results = watched.connection.receive(watched.number, deadline=until)
        except (Unanswered, Lost) as error:
            raise self._late(_ACKNOWLEDGEMENT) from error
        if refused := first_error(results):
            raise self._late(_ACKNOWLEDGEMENT) from look.TimedOut(refused[1])
        found = [look.plain_row(row) for result in results[1:] for row in result["rows"]]
        return any(row["error"] or not row["ofport"] or row["ofport"] < 0 for row in found)

    def _have_it_look_again(self) -> None:
        try:
            self.commit([])
        except DeadlineExceeded as error:
            self._late_undo = None  # there is nothing to undo of it
            raise self._late(_ACKNOWLEDGEMENT) from error

    def _until_acknowledged(self) -> Request:
        return self._until("Open_vSwitch", [["cur_cfg", ">=", self._configuration]])

    def _until(self, table: str, where: list[Any]) -> Request:
        """Return what makes a transaction wait, up to the deadline, until a table has such rows."""
        left = max(self._deadline - time.monotonic(), 0.0)
        return {
            "op": "wait",
            "timeout": int(left * 1000),
            "table": table,
            "where": where,
            "columns": ["_uuid"],
            "until": "!=",
            "rows": [],
        }

    def _after(self, wait: Request, rows: dict[str, str], step: str) -> Ovs:
        # The server ends the wait by itself; its answer may come a little after.
        until = self._deadline + _UNDO / 2
        try:
            return look.read(self._connected(), self._sought, deadline=until, after=wait, rows=rows)
        except (Unanswered, Lost, look.TimedOut) as error:
            raise self._late(step) from error

    # The connection.

    def _connected(self, until: float | None = None) -> Connection:
        if self._connection is None:
            deadline = self._deadline if until is None else until
            try:
                self._connection = Connection(self._endpoint, deadline=deadline, keys=self._keys)
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


def _awaited(groups: Sequence[Sequence[Operation]]) -> list[list[str]]:
    """Return the ports that the switch has to take, of each group."""
    return [
        [o.device for o in group if isinstance(o, (AddPort, MovePort, Settle))] for group in groups
    ]


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
        interface_id=ids[0] if ids else None,
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
