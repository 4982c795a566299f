# SPDX-License-Identifier: Apache-2.0
"""Open vSwitch for one privileged call: its database, and vswitchd, which works by the database.

vswitchd acknowledges a transaction with the number of the configuration that it has carried out,
and says of each port whether it could take it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from vifplug.errors import DeadlineExceeded, VifplugError
from vifplug.model.mark import derived_name
from vifplug.operations import Operation, SetLink, SwitchOperation
from vifplug.switch import Departure, Order, Switch, Wanted
from vifplug_ovs import parts
from vifplug_ovs.claims import Claims
from vifplug_ovs.operations import AddPort, MovePort, RemoveBridge, RemovePort, Settle
from vifplug_ovs.operations.ports import (
    INTERFACE_COLUMNS,
    PORT_COLUMNS,
    QOS_COLUMNS,
    RestorePort,
)
from vifplug_ovs.order import in_order
from vifplug_ovs.ovsdb import queries
from vifplug_ovs.ovsdb.connection import Lost, Unanswered
from vifplug_ovs.ovsdb.endpoint import Keys
from vifplug_ovs.ovsdb.queries import Reading, Sought
from vifplug_ovs.ovsdb.requests import Request, by_row, named, select, there_is
from vifplug_ovs.ovsdb.rows import plain_row
from vifplug_ovs.ovsdb.transactions import UNDO, Groups, Transactions
from vifplug_ovs.race import Race
from vifplug_ovs.snapshot import Ovs, token_of

_AGAIN = 1.0
"""Seconds in which vswitchd surely looks again by itself after a device has appeared."""

_ACKNOWLEDGEMENT = "vswitchd's acknowledgement"


class OpenSwitch(Switch):
    """The switch whose database is at an endpoint, for one call until ``deadline``.

    ``races`` are the daemon's, by the process in which a VIF is connected.
    """

    def __init__(
        self, endpoint: str, deadline: float, *, keys: Keys, races: Mapping[str, Race]
    ) -> None:
        self._deadline = deadline
        self._transactions = Transactions(endpoint, deadline, keys=keys)
        self._races, self._race = races, Race()
        self._racing = False
        self._removed: set[str] = set()
        self._reading = Reading(sought=())
        self._database = ""
        self._void: set[str] = set()
        self._fresh: Ovs | None = None
        self._seen: Ovs | None = None

    def close(self) -> None:
        self._transactions.close()

    # Reading.

    def seek(self, wanted: Sequence[Wanted], *, meanwhile: Callable[[], object]) -> Ovs:
        claims, reading = self._asked([_sought_of_parts(vif) for vif in wanted])
        fresh, self._fresh = self._fresh, None
        if fresh is None or self._reading != reading:
            fresh = self._read(claims, reading, meanwhile)
        self._reading = reading
        return claims.on(fresh)

    def removals(self, vifs: Sequence[Departure]) -> Sequence[Sequence[Operation]]:
        claims, reading = self._asked([_sought_by_id(vif) for vif in vifs])
        self._seen = ovs = claims.on(self._read(claims, reading))
        return [parts.removal(vif.vif_id, vif.interface_id, ovs) for vif in vifs]

    def seen(self) -> Ovs | None:
        return self._seen

    def leaving(self, vif: Departure) -> Sequence[Operation]:
        """Return what takes a VIF out that moves elsewhere; a removed port can be made again."""
        claims, reading = self._asked([_sought_by_id(vif)])
        ovs = claims.on(self._read(claims, reading))
        found = parts.leaving(vif.vif_id, vif.interface_id, ovs)
        return [self._restorable(operation) for operation in found]

    def _asked(self, sought: Sequence[Sought]) -> tuple[Claims, Reading]:
        """Return the claims of some VIFs, and what is to be read of the database for them.

        The claims come first: see :meth:`Claims.void`.
        """
        ids, noted = [vif.vif_id for vif in sought], [vif.interface_id for vif in sought]
        claims = Claims.of(self.claim_files, ids, noted)
        return claims, Reading(
            sought=sought, bridges=claims.rows, interface_ids=claims.interface_ids
        )

    def _read(
        self, claims: Claims, reading: Reading, meanwhile: Callable[[], object] | None = None
    ) -> Ovs:
        """Return what the database has, and note which of the claims' bridges it has no more."""
        ovs = self._transactions.read(reading, meanwhile)
        self._database = ovs.database
        self._void |= claims.void(ovs)
        return ovs

    def void(self, tokens: Collection[str]) -> Collection[str]:
        return self._void.intersection(tokens)

    def _restorable(self, operation: Operation) -> Operation:
        if not isinstance(operation, RemovePort):
            return operation
        name = named(operation.device)
        port, interface = self._transactions.columns(
            ("Port", name, PORT_COLUMNS), ("Interface", name, INTERFACE_COLUMNS)
        )
        qos = None
        if row := plain_row(port)["qos"]:
            (qos,) = self._transactions.columns(("QoS", by_row(row), QOS_COLUMNS))
            if not operation.takes_qos(plain_row(qos)["external_ids"]):
                qos = None  # it stays, and the port will have it again
        again = RestorePort(
            device=operation.device,
            bridge=operation.bridge,
            columns=port,
            interface_columns=interface,
            qos_columns=qos,
        )
        return replace(operation, again=again)

    # Changing.

    def order(self, operations: Sequence[Operation], *, alone: Wanted | None) -> Order:
        """Return the order of one VIF's operations.

        Only a VIF that is alone races: to make many devices takes longer than vswitchd needs to
        look for the first.
        """
        self._racing = False
        if alone is not None:
            self._race = self._races[alone.owner.process]
            self._racing = self._race.enter()
        return in_order(operations, racing=self._racing)

    def is_its_doing(self, operation: Operation) -> bool:
        """Whether this brings up a device that vswitchd has put down.

        vswitchd reads a new device's flags, and writes them back with one more. That takes back a
        flag that another program has set in between.
        """
        up = isinstance(operation, SetLink) and operation.attribute == "up" and operation.value
        return bool(up)

    def send(self, groups: Groups) -> None:
        """Ask for all changes in one transaction; with a slow switch, wait for the answer too."""
        if not self._racing:
            self._transactions.send(groups)
            return
        self._transactions.send(groups, lambda: self._first_answer(groups))
        if self._race.slow:
            self.confirm()

    def confirm(self) -> None:
        self._transactions.confirm()

    def take_back(self, operation: SwitchOperation) -> None:
        if isinstance(operation, RemoveBridge) and self._is_claimed(operation):
            return
        self._transactions.take_back(operation)
        if isinstance(operation, RemovePort):
            self._removed.add(operation.device)

    def _is_claimed(self, removal: RemoveBridge) -> bool:
        """Whether another VIF has claimed a shared bridge that a failed plug had made."""
        token = token_of(self._database, removal.row)
        return removal.port is not None and bool(self.claim_files.on(token))

    def let_go(self, device: str) -> None:
        if device in self._removed:
            self._removed.clear()
            with contextlib.suppress(OSError, VifplugError):
                self._transactions.catch_up()

    @property
    def lingering(self) -> bool:
        return self._transactions.lingering

    def linger(self) -> None:
        self._transactions.linger()

    # Waiting for vswitchd.

    def settled(self, groups: Groups, *, meanwhile: Callable[[], object]) -> Sequence[str | None]:
        """Wait until vswitchd has done what was confirmed; return why not, for each group.

        The same answer holds what the next reading would find, and is kept for that.
        """
        added = _added(groups)
        awaited = [_awaited(group) for group in groups]
        names = [name for group in awaited for name in group]
        ovs = self._after(self._until_acknowledged(), added, _ACKNOWLEDGEMENT, meanwhile)
        self._race.acknowledged(self._transactions.connected().heard - self._transactions.sent)
        if self._racing and self._looked_too_soon():
            self._race.lost()
        if self._racing and _complaint(names, ovs):
            ovs = self._after_another_look(added, names)
        for name in names:
            current = ovs.port(name)
            if current and not current[1].error and current[1].ofport is None:
                # vswitchd takes a device that came back without a new configuration.
                ovs = self._after_its_ofport(name, added)
        self._fresh = ovs
        return [_complaint(group, ovs) for group in awaited]

    def _first_answer(self, groups: Groups) -> list[Request]:
        """Return the question what vswitchd says first of the ports that are being added."""
        rows = [by_row(port.interface) for port in _added(groups)]
        waits = [self._until("Interface", [*row, ["ofport", "!=", ["set", []]]]) for row in rows]
        return waits + [select("Interface", row, ["ofport"]) for row in rows]

    def _looked_too_soon(self) -> bool:
        """Whether vswitchd did not find a device when it first looked for it."""
        results = self._transactions.answer()
        return any(row.get("ofport") == -1 for each in results for row in each.get("rows", ()))

    def _after_another_look(self, added: Sequence[AddPort], names: Sequence[str]) -> Ovs:
        """Return what vswitchd says once it has looked again, as it does when a device appears."""
        until = min(self._deadline, time.monotonic() + _AGAIN)
        for name in names:
            with contextlib.suppress(DeadlineExceeded):
                ovs = self._after_its_ofport(name, added, until)
                if not _complaint(names, ovs):
                    return ovs
        # It has not looked again, or still complains: ask it to, and take its next answer as final.
        self._transactions.bump(_ACKNOWLEDGEMENT)
        return self._after(self._until_acknowledged(), added, _ACKNOWLEDGEMENT)

    def _after_its_ofport(
        self, name: str, added: Sequence[AddPort], until: float | None = None
    ) -> Ovs:
        # vswitchd may take back its complaint of a missing device a moment later.
        taken = [*named(name), ["ofport", ">", 0], ["error", "==", ["set", []]]]
        return self._after(self._until("Interface", taken, until), added, f"the ofport of {name}")

    def _until_acknowledged(self) -> Request:
        configuration = self._transactions.configuration
        return self._until("Open_vSwitch", [["cur_cfg", ">=", configuration]])

    def _until(self, table: str, where: list[Any], until: float | None = None) -> Request:
        """Return the request to wait, at most until the deadline, for such rows of a table."""
        return there_is(table, where, until=self._deadline if until is None else until)

    def _after(
        self,
        wait: Request,
        added: Sequence[AddPort],
        step: str,
        meanwhile: Callable[[], object] | None = None,
    ) -> Ovs:
        """Return what the database has once a wait is over. Raises DeadlineExceeded, OVSDBError."""
        # Later than the deadline, because the server ends the wait by itself and then answers.
        until = self._deadline + UNDO / 2
        try:
            return queries.read(
                self._transactions.connected(),
                self._reading,
                deadline=until,
                after=wait,
                added=added,
                meanwhile=meanwhile,
            )
        except Lost as error:
            self.close()  # the undo needs a connection that works
            raise self._transactions.late(step) from error
        except (Unanswered, queries.TimedOut) as error:
            raise self._transactions.late(step) from error


def _added(groups: Groups) -> list[AddPort]:
    return [o for group in groups for o in group if isinstance(o, AddPort)]


def _awaited(group: Sequence[SwitchOperation]) -> list[str]:
    """Return the ports that vswitchd has to take."""
    return [o.device for o in group if isinstance(o, (AddPort, MovePort, Settle))]


def _sought_by_id(vif: Departure) -> Sought:
    names = tuple(derived_name(prefix, vif.vif_id) for prefix in ("tap", "qvo"))
    return Sought(vif_id=vif.vif_id, interface_id=vif.interface_id, ports=names)


def _sought_of_parts(vif: Wanted) -> Sought:
    ports = [part for part in vif.parts if isinstance(part, parts.Port)]
    ids = [vif.interface_id, *(port.interface_id for port in ports)]
    ids += [part.interface_id for part in vif.parts if isinstance(part, parts.Claim)]
    bridges = [part.name for part in vif.parts if isinstance(part, parts.Bridge)]
    return Sought(
        vif_id=vif.owner.vif_id,
        interface_id=next((each for each in ids if each), None),
        bridge=next(iter(bridges), None),
        ports=tuple(port.name for port in ports),
    )


def _complaint(names: Sequence[str], ovs: Ovs) -> str | None:
    """Return why vswitchd has not taken one of these ports, or None where it has all."""
    for name in names:
        current = ovs.port(name)
        if current is None:
            return f"the port {name} has gone again"
        _, port = current
        if port.error or not port.ofport or port.ofport < 0:
            return f"Open vSwitch did not take {name}: {port.error or 'it has no ofport'}"
    return None
