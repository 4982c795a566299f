# SPDX-License-Identifier: Apache-2.0
"""A monitor of Open vSwitch's database: which bridges and ports have changed.

Source: ovsdb-server(7), ``monitor_cond``. Its notifications tell of a row that is modified only
what differs, so a bridge with thousands of ports costs nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug.errors import NO_VIF, OVSDBError
from vifplug_ovs.ovsdb.connection import DATABASE, Connection
from vifplug_ovs.ovsdb.rows import plain_row

_COLUMNS = {
    "Open_vSwitch": ["ovs_version"],
    # Not its external_ids, because OVN writes there whenever a port comes.
    "Bridge": ["name", "datapath_type", "ports"],
    "Port": ["name", "external_ids", "other_config", "tag", "trunks", "vlan_mode", "qos"],
    "Interface": [
        "name", "type", "ofport", "error", "link_state", "mtu_request", "options", "external_ids",
    ],
}  # fmt: skip
"""What VIFs depend on. No statistics, which change every few seconds."""

_ID = "vifplug"


class Monitor:
    """The plugin's ``vifplug.switch.Watch``, on a connection of its own."""

    def __init__(self, connection: Connection, *, deadline: float) -> None:
        """Begin to monitor. Raises OVSDBError, Unanswered, Lost."""
        self._connection = connection
        self._names: dict[str, str] = {}
        requests = {table: [{"columns": columns}] for table, columns in _COLUMNS.items()}
        parameters = [DATABASE, _ID, requests]
        self._note(connection.call("monitor_cond", parameters, deadline=deadline))

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._connection.fileno()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def changed(self) -> set[str] | None:
        """Return the names of the bridges and ports that have changed; None: any may have.

        Raises OVSDBError.
        """
        try:
            told = self._connection.told()
        except OSError as error:
            why = error.strerror or str(error)
            raise OVSDBError(NO_VIF, self._connection.endpoint, why) from error
        names: set[str] = set()
        for notice in told:
            tables = notice[1]
            if "Open_vSwitch" in tables:  # another database, or another switch
                self._note(tables)
                return None
            names |= self._note(tables)
        return names

    def _note(self, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> set[str]:
        """Note the names of new rows; return those of all rows in an update."""
        changes = [
            (table, row, change)
            for table, rows in tables.items()
            for row, change in rows.items()
            if table != "Open_vSwitch"
        ]
        for _, row, change in changes:
            if new := change.get("initial") or change.get("insert"):
                self._names[row] = new["name"]
        names = {name for each in changes for name in self._names_of(*each)}
        for _, row, change in changes:
            if "delete" in change:
                self._names.pop(row, None)
        return names

    def _names_of(self, table: str, row: str, change: Mapping[str, Any]) -> set[str]:
        """Return the names that a change of a row is about.

        A bridge whose ports have changed stands for these ports: its others are as they were.
        """
        differs = {**plain_row(change.get("modify") or {})}
        rows = [row]
        if table == "Bridge" and (ports := differs.pop("ports", None)):
            rows = [*(rows if differs else ()), *(ports if isinstance(ports, list) else [ports])]
        return {self._names[each] for each in rows if each in self._names}
