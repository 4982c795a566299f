# SPDX-License-Identifier: Apache-2.0
"""Rows of Open vSwitch's database as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vifplug_ovs.snapshot import MARK, VIF_ID, OvsBridge, OvsPort

Row = Mapping[str, Any]


def bridge_of(row: Row, ids: Mapping[str, str], ports: Mapping[str, OvsPort]) -> OvsBridge:
    """Return a bridge from its row, those external_ids that were read, and its ports."""
    return OvsBridge(
        datapath_type=row["datapath_type"],
        marks={key: value for key, value in ids.items() if key in _OURS},
        ports=ports,
        row=row["_uuid"],
    )


def port_of(port: Row, interface: Row) -> OvsPort:
    """Return a port from its row and its interface's."""
    return OvsPort(
        type=interface["type"],
        ofport=interface["ofport"],
        error=interface["error"],
        link_state=interface["link_state"],
        options=interface["options"],
        mtu_request=interface["mtu_request"],
        external_ids={k: v for k, v in interface["external_ids"].items() if k not in _OURS},
        marks={key: value for key, value in port["external_ids"].items() if key in _OURS},
        transient=port["other_config"].get("transient") == "true",
        tag=port["tag"],
        row=port["_uuid"],
        interface=interface["_uuid"],
    )


_OURS = (MARK, VIF_ID)


def plain_row(row: Mapping[str, Any]) -> Row:
    """Return a row without OVSDB's wrapping of its values."""
    return {name: _plain(value) for name, value in row.items()}


def _plain(value: Any) -> Any:
    """Return a value without OVSDB's wrapping. A set without members is None."""
    match value:
        case ["map", pairs]:
            return {key: _plain(value) for key, value in pairs}
        case ["set", []]:
            return None
        case ["set", items]:
            return [_plain(item) for item in items]
        case ["uuid", text]:
            return text
    return value
