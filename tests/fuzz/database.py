# SPDX-License-Identifier: Apache-2.0
"""All that is configured in an Open vSwitch, by one transaction, as rows of tables."""

from __future__ import annotations

import time
from typing import Any

from tests.fuzz.kernel import Rows
from vifplug_ovs.ovsdb.connection import DATABASE, Connection

_TABLES = ("Bridge", "Port", "Interface", "QoS", "Queue", "Open_vSwitch")
# What ovs-vswitchd itself writes.
_REPORTED = frozenset(
    ("_version", "admin_state", "cfm_fault", "cfm_fault_status", "cfm_flap_count", "cfm_health",
     "cfm_mpid", "cfm_remote_mpids", "cfm_remote_opstate", "bfd_status", "duplex", "error",
     "ifindex", "lacp_current", "link_resets", "link_speed", "link_state", "mac_in_use", "mtu",
     "ofport", "statistics", "status", "rstp_status", "rstp_statistics", "bond_active_slave",
     "datapath_id", "datapath_version", "cur_cfg", "next_cfg", "iface_types", "datapath_types",
     "db_version", "dpdk_initialized", "dpdk_version", "ovs_version", "datapaths", "bridges",
     "manager_options", "mirrors", "sflow", "netflow", "ipfix", "flow_tables", "auto_attach",
     "controller", "ssl")
)  # fmt: skip
_WAIT = 20.0


class Reader:
    """Reads the database of an Open vSwitch."""

    def __init__(self, endpoint: str) -> None:
        until = time.monotonic() + _WAIT
        self._connection = Connection(endpoint, deadline=until)
        schema = self._connection.call("get_schema", [DATABASE], deadline=until)
        self._requests = [
            {"op": "select", "table": table, "where": [],
             "columns": ["_uuid", *(set(schema["tables"][table]["columns"]) - _REPORTED)]}
            for table in _TABLES
        ]  # fmt: skip

    def close(self) -> None:
        self._connection.close()

    def rows(self) -> Rows:
        """Return all that is configured."""
        until = time.monotonic() + _WAIT
        answers = self._connection.transact(self._requests, deadline=until)
        named = {row["_uuid"][1]: row["name"]
                 for answer in answers for row in answer["rows"] if "name" in row}  # fmt: skip
        found: Rows = {}
        for table, answer in zip(_TABLES, answers, strict=True):
            for row in answer["rows"]:
                columns = {column: _plain(cell, named) for column, cell in row.items()}
                columns["_uuid"] = row["_uuid"][1]
                found[table, str(columns.get("name", columns["_uuid"]))] = columns
        return found


def _plain(cell: Any, named: dict[str, str]) -> Any:
    match cell:
        case ["map", pairs]:
            return dict(sorted((_plain(k, named), _plain(v, named)) for k, v in pairs))
        case ["set", items]:
            return tuple(sorted((_plain(item, named) for item in items), key=str))
        case ["uuid", text]:
            return named.get(text, text)
    return cell
