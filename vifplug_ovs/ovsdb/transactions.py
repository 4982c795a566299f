# SPDX-License-Identifier: Apache-2.0
"""Transactions of one privileged call with Open vSwitch's database, and the undo of a late one.

A transaction that was sent can't be recalled: a server that hung carries it out when it goes on.
So the server shows that it is alive before each transaction. Where it does not answer one in time,
the undo follows on the same connection, which is kept until both are answered.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vifplug.errors import NO_VIF, DeadlineExceeded, OVSDBError
from vifplug.operations import Operation, SwitchOperation
from vifplug.switch import Refused
from vifplug_ovs.operations import OvsOperation
from vifplug_ovs.ovsdb import pool, queries
from vifplug_ovs.ovsdb.connection import DATABASE, Connection, Lost, Unanswered, first_error
from vifplug_ovs.ovsdb.endpoint import Keys
from vifplug_ovs.ovsdb.queries import Reading
from vifplug_ovs.ovsdb.requests import Request, select, there_is
from vifplug_ovs.snapshot import Ovs

UNDO = 0.6
"""Seconds past a call's deadline in which an undo may be answered; the caller waits 1 s."""

_LET_GO = 10.0
"""Seconds past a call's deadline that an undo waits for a slow switch to let go of a guest's tap.

The caller is told meanwhile that the outcome is unknown. Without the wait, the tap stays nowhere.
"""

_ALIVE = 0.05
"""Seconds for which an answer of the server shows that it is alive."""

_LONGEST_COMMENT = 500
"""Characters of a transaction's comment."""

_LINGER = 600.0
"""Seconds in which a hung server may go on, carry out a transaction, and find its undo."""

_BUMP: Sequence[Request] = (
    {
        "op": "mutate",
        "table": "Open_vSwitch",
        "where": [],
        "mutations": [["next_cfg", "+=", 1]],
    },
    select("Open_vSwitch", [], ["next_cfg"]),
)

Groups = Sequence[Sequence[SwitchOperation]]
"""The operations of some VIFs, one group for each."""


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """A transaction that was sent. ``whose`` is the group's index for each of the requests."""

    connection: Connection
    number: int
    requests: Sequence[Request]
    whose: Sequence[int]
    undo: list[Operation]

    def refused(self, at: int, why: str) -> Refused:
        """Return the error where the server refused the request at an index."""
        culprit = self.whose[at] if at < len(self.whose) else None
        return Refused(_reason(why, self.requests, at), culprit)


class Transactions:
    """The connection of one call with the database at an endpoint, and what was asked on it.

    ``configuration`` is the number that the last confirmed transaction gave the switch's
    configuration, ``sent`` the time at which a transaction was last sent.
    """

    def __init__(self, endpoint: str, deadline: float, *, keys: Keys) -> None:
        self.deadline = deadline
        self.configuration = 0
        self.sent = 0.0
        self._endpoint, self._keys = endpoint, keys
        self._connection: Connection | None = None
        self._asked: _Asked | None = None
        self._question = 0
        self._late_undo: list[Operation] | None = None

    def close(self) -> None:
        """Give back the connection, which the next call may use."""
        if self._connection:
            pool.give_back(self._connection)
            self._connection = None

    def connected(self, until: float | None = None) -> Connection:
        """Return the connection; connect where there is none. Raises OVSDBError."""
        if self._connection is None:
            deadline = self.deadline if until is None else until
            try:
                self._connection = pool.take(self._endpoint, deadline=deadline, keys=self._keys)
            except PermissionError as error:
                why = f"{error.strerror}: its group, or CAP_DAC_OVERRIDE, is needed"
                raise OVSDBError(NO_VIF, self._endpoint, why) from error
        return self._connection

    def late(self, step: str, outcome: str = "failed") -> DeadlineExceeded:
        """Return the error of a step that the deadline has ended."""
        return DeadlineExceeded(NO_VIF, f"{step} (OVSDB at {self._endpoint})", outcome)

    def read(self, reading: Reading, meanwhile: Callable[[], object] | None = None) -> Ovs:
        """Return what the database has of some VIFs. Raises OVSDBError, DeadlineExceeded."""
        try:
            return self._read(reading, meanwhile)
        except Lost:
            # It may have been restarted: connect again, with the patience of a new connection.
            self.close()
        try:
            return self._read(reading)
        except Lost as error:
            raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error

    def _read(self, reading: Reading, meanwhile: Callable[[], object] | None = None) -> Ovs:
        connection = self.connected()
        try:
            return queries.read(connection, reading, deadline=self.deadline, meanwhile=meanwhile)
        except Unanswered as error:
            raise self.late("reading the database") from error

    def columns(self, *rows: tuple[str, list[Any], Sequence[str]]) -> list[Mapping[str, Any]]:
        """Return the row of each table that meets a condition, as the database writes its columns.

        Raises OVSDBError, DeadlineExceeded.
        """
        asked = [select(table, where, list(columns)) for table, where, columns in rows]
        try:
            results = self.connected().transact(asked, deadline=self.deadline)
        except Unanswered as error:
            raise self.late("reading the database") from error
        except Lost as error:
            raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error
        found = [result["rows"] for result in results]
        if not all(found):
            raise OVSDBError(NO_VIF, self._endpoint, "what is to be removed has gone")
        return [each[0] for each in found]

    def send(self, groups: Groups, question: Callable[[], Sequence[Request]] | None = None) -> None:
        """Ask for all changes in one transaction; see ``vifplug.switch.Switch``.

        ``question`` returns the requests of a second transaction that only reads. The server works
        on it after the first; :meth:`answer` returns its results.
        """
        requests, whose = _requested(groups)
        connection = self._alive()
        if time.monotonic() >= self.deadline:
            raise self.late("the transaction")
        params = [[DATABASE, *requests, *_signed(groups), *_BUMP]]
        if question and (further := question()):
            params.append([DATABASE, *further])
        number = self._transact(connection, params)
        self.sent = time.monotonic()
        self._question = number + 1 if len(params) > 1 else 0
        undo = [o.undo() for group in reversed(groups) for o in reversed(group)]
        self._asked = _Asked(
            connection=connection,
            number=number,
            requests=requests,
            whose=whose,
            undo=[back for back in undo if back],
        )

    def _transact(self, connection: Connection, params: Sequence[list[Any]]) -> int:
        """Send a transaction, and maybe a question after it; return the transaction's number."""
        try:
            return connection.send("transact", *params, deadline=self.deadline)
        except Lost as error:
            self.close()
            if len(params) > 1:
                raise Lost(f"OVSDB at {self._endpoint}: {error}") from error
            # The server drops a request that it received only in part, so nothing changed.
            raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error

    def confirm(self) -> None:
        """Wait until all that was asked for is done; see ``vifplug.switch.Switch``."""
        asked, self._asked = self._asked, None
        if asked is None:
            return
        try:
            # An answer that is a little late still tells that vswitchd may have a guest's tap.
            # Without it, the kernel's side is undone while the switch keeps the tap.
            results = asked.connection.receive(asked.number, deadline=self.deadline + UNDO / 2)
        except Unanswered as error:
            self._late_undo = asked.undo  # linger() sends it after the transaction
            raise self.late("the transaction", "unknown") from error
        except Lost as error:
            self.close()
            raise Lost(f"OVSDB at {self._endpoint}: {error}") from error
        if refused := first_error(results):
            raise asked.refused(*refused)
        rows = results[-1]["rows"]
        if not rows:
            raise OVSDBError(NO_VIF, self._endpoint, "it is empty: ovs-vsctl init is needed")
        self.configuration = rows[0]["next_cfg"]

    def answer(self) -> Sequence[Any]:
        """Return the results of the last question; empty where there are none yet."""
        return self.connected().answer(self._question) or ()

    def bump(self, step: str) -> None:
        """Give the switch a new configuration number, so that it goes over all its ports."""
        try:
            self.send([])
            self.confirm()
        except DeadlineExceeded as error:
            self._late_undo = None  # the transaction changed no row that an undo would have to
            raise self.late(step) from error

    def take_back(self, operation: SwitchOperation) -> None:
        """Make one change by itself, also a little past the deadline."""
        until = max(self.deadline, time.monotonic() + UNDO)
        requests = _ours(operation).requests()
        try:
            results = self.connected(until).transact(requests, deadline=until)
        except Lost:
            self.close()
            results = self.connected(until).transact(requests, deadline=until)
        refused = first_error(results)
        if refused and not _ours(operation).is_done(refused[0]):
            raise OVSDBError(NO_VIF, self._endpoint, refused[1])

    def catch_up(self) -> None:
        """Wait, also past the deadline, until the switch has done all that was asked.

        Raises OSError, VifplugError where it can't be asked.
        """
        until = max(self.deadline, time.monotonic() + _LET_GO)
        connection = self.connected(until)
        bumped = connection.transact(_BUMP, deadline=until)
        done = [["cur_cfg", ">=", bumped[-1]["rows"][0]["next_cfg"]]]
        connection.transact([there_is("Open_vSwitch", done, until=until)], deadline=until)

    @property
    def lingering(self) -> bool:
        """Whether a transaction, and its undo, are not answered yet."""
        if self._late_undo is None or self._connection is None:
            return False
        return bool(self._late_undo or self._connection.pending)

    def linger(self) -> None:
        """Send the undo of a late transaction, and wait until the server has answered both.

        A hung server takes as much as its socket holds, so the sending may wait for it too.
        """
        until = time.monotonic() + _LINGER
        connection = self._connection
        if connection is None:
            return
        with contextlib.suppress(Lost, Unanswered):
            for operation in self._late_undo or ():
                params = [DATABASE, *_ours(operation).requests()]
                connection.send("transact", params, deadline=until)
            self._late_undo = []
            while connection.pending:
                with contextlib.suppress(OVSDBError):
                    connection.receive(min(connection.pending), deadline=until)

    def _alive(self) -> Connection:
        """Return the connection to a server that answers now."""
        for attempt in (1, 2):
            connection = self.connected()
            if time.monotonic() - connection.heard < _ALIVE:
                return connection
            try:
                connection.echo(deadline=self.deadline)
            except Unanswered as error:
                self.close()
                raise self.late("the database's sign of life") from error
            except Lost as error:
                self.close()
                if attempt == 2:
                    raise OVSDBError(NO_VIF, self._endpoint, str(error)) from error
            else:
                return connection
        raise AssertionError


def _ours(operation: Operation) -> OvsOperation:
    assert isinstance(operation, OvsOperation)  # noqa: S101 - this switch's parts make no other
    return operation


def _requested(groups: Groups) -> tuple[list[Request], list[int]]:
    """Return the requests of all groups, and the group's index of each; each wait only once."""
    requests: list[Request] = []
    whose: list[int] = []
    waits: list[Request] = []
    for index, group in enumerate(groups):
        for operation in group:
            for request in _ours(operation).requests():
                if request["op"] == "wait":
                    if request in waits:
                        continue
                    waits.append(request)
                requests.append(request)
                whose.append(index)
    return requests, whose


def _signed(groups: Groups) -> Sequence[Request]:
    """Return a comment that says who makes a transaction, and what it does.

    ``ovsdb-tool show-log`` shows it, as it shows the command lines of ovs-vsctl.
    """
    words = ", ".join(str(operation) for group in groups for operation in group)
    if not words:
        return ()
    return ({"op": "comment", "comment": f"vifplug: {words}"[:_LONGEST_COMMENT]},)


def _reason(why: str, requests: Sequence[Request], at: int) -> str:
    """Return in words why the server refused the request at an index."""
    if at < len(requests) and requests[at]["op"] == "wait":
        name = requests[at]["where"][0][2]
        return f"the bridge {name} has gone" if isinstance(name, str) else "it came into use"
    return f"the database refused it: {why}"
