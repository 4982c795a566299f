# SPDX-License-Identifier: Apache-2.0
"""Requests of the bridge plugin's daemon, as any caller may send them."""

from __future__ import annotations

import time
from typing import Any

from tests.bridge.vifs import IDS
from vifplug.kernel.namespace import network_namespace
from vifplug_bridge import privileged

BRIDGE = {"kind": "bridge", "name": "br100", "create": True}
CLAIM = {"kind": "claim", "on": "br100"}
PLUG = "vifplug_bridge.privileged.plug"


def vif(number: int = 0, *parts: Any, **more: Any) -> dict[str, Any]:
    """Return a VIF of a request; by default with a bridge and a claim on it."""
    own = list(parts) or [BRIDGE, CLAIM]
    return {"vif_id": IDS[number], "vif_type": "bridge", "parts": own, **more}


def request(*vifs: Any, timeout: float = 30, **more: Any) -> dict[str, Any]:
    """Return a request for some VIFs."""
    deadline = time.monotonic() + timeout
    return {"namespace": network_namespace(), "deadline": deadline, "vifs": [*vifs], **more}


def daemon_pid() -> int:
    """Return the process id of the daemon that the test's own process has forked."""
    return int(privileged.context.channel.pid)  # type: ignore[union-attr]


def errors(replies: list[dict[str, Any]]) -> list[str]:
    """Return the error's class of each reply; "" for success."""
    found = [reply.get("error") for reply in replies]
    return [each["class"].partition(":")[2] if each else "" for each in found]
