# SPDX-License-Identifier: Apache-2.0
"""Requests of an OVSDB transaction, as RFC 7047 writes them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

Request = dict[str, Any]
"""One operation of a transaction."""


def as_map(pairs: Mapping[str, str]) -> list[Any]:
    """Return a map as OVSDB writes it."""
    return ["map", [[key, value] for key, value in pairs.items()]]


def named(name: str) -> list[Any]:
    """Return the condition that finds a row by its name."""
    return [["name", "==", name]]


def by_row(row: str) -> list[Any]:
    """Return the condition that finds a row by its UUID, without going over all of a table."""
    return [["_uuid", "==", ["uuid", row]]]


def bridge_is_there(name: str) -> Request:
    """Return the request that refuses a transaction unless there is such a bridge.

    Without it, a change of a missing bridge succeeds and does nothing.
    """
    return _only_if("Bridge", name, there=True)


def no_port_is_there(name: str) -> Request:
    """Return the request that refuses a transaction where there is such a port."""
    return _only_if("Port", name, there=False)


def _only_if(table: str, name: str, *, there: bool) -> Request:
    return {
        "op": "wait",
        "timeout": 0,
        "table": table,
        "where": named(name),
        "columns": ["name"],
        "until": "==",
        "rows": [{"name": name}] if there else [],
    }


def there_is(table: str, where: list[Any], *, until: float) -> Request:
    """Return the request to wait, at most until a time, for a row that meets a condition."""
    return {
        "op": "wait",
        "timeout": int(max(until - time.monotonic(), 0.0) * 1000),
        "table": table,
        "where": where,
        "columns": ["_uuid"],
        "until": "!=",
        "rows": [],
    }


def insert(table: str, row: str, values: Mapping[str, Any]) -> Request:
    """Return the request that inserts a row under a UUID of our choice."""
    return {"op": "insert", "table": table, "uuid": row, "row": dict(values)}


def update(table: str, where: list[Any], values: Mapping[str, Any]) -> Request:
    """Return the request that gives columns values in the rows that meet a condition."""
    return {"op": "update", "table": table, "where": where, "row": dict(values)}


def mutate(table: str, where: list[Any], *mutations: list[Any]) -> Request:
    """Return the request that changes the rows that meet a condition."""
    return {"op": "mutate", "table": table, "where": where, "mutations": list(mutations)}


def delete(table: str, ids: Mapping[str, str]) -> Request:
    """Return the request that deletes the rows with these external_ids."""
    where = [["external_ids", "includes", as_map(ids)]]
    return {"op": "delete", "table": table, "where": where}


def select(table: str, where: list[Any], columns: list[str]) -> Request:
    """Return the question for some columns of the rows that meet a condition."""
    return {"op": "select", "table": table, "where": where, "columns": columns}
