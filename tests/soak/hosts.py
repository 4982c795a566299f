# SPDX-License-Identifier: Apache-2.0
"""The host of a soak: a namespace with a Linux bridge, an Open vSwitch, and drivers' options."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vifplug import VIF
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.claims import every_claim, without_tokens
from vifplug.testing.configured import configured
from vifplug.testing.dumps import lasting
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin

PLUGINS = (BridgePlugin, OvsPlugin)
BRIDGE, SWITCH = "br-soak", "br-int"

_SETTLES = 60.0
"""Seconds in which vswitchd takes away what has no row any more; most often it needs none."""


def vif(number: int, way: str) -> VIF:
    """Return the VIF of a number, connected one way: bridge, manual, automatic or hybrid."""
    data: dict[str, Any] = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"soak {number}")),
        "vif_type": "bridge" if way == "bridge" else "ovs",
        "address": f"fa:16:3e:50:{number >> 8:02x}:{number & 255:02x}",
        "network": {"bridge": BRIDGE if way == "bridge" else SWITCH, "mtu": 1450},
    }
    if way == "bridge":
        data["network"]["should_create_bridge"] = True
    pins = {"manual": "ovs_create_tap", "hybrid": "ovs_hybrid_plug"}
    if way in pins:
        data["details"] = {pins[way]: True}
    return VIF.from_dict(data)


class SoakHost:
    """A host with the Open vSwitch bridge br-int, and what it was at first.

    The Linux bridge is made by the first plug that needs it, and goes with its last VIF.
    """

    def __init__(self, namespace: NetworkNamespace, ovs: OpenVSwitch) -> None:
        self.namespace, self.ovs = namespace, ovs
        self.before = self.everything()

    def everything(self) -> dict[str, Any]:
        """Return all that the namespace, the database and the claims' folder have."""
        return {
            **without_tokens(self.namespace.everything()),
            "ovs": self.ovs.everything(),
            "claims": every_claim(),
        }

    def left(self) -> list[str]:
        """Return what the host has more, or less, than at first."""
        return lasting(self.before, self.everything, _SETTLES)


@contextlib.contextmanager
def soak_host() -> Iterator[SoakHost]:
    """Make a host in a namespace that this thread is in."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        namespace = stack.enter_context(NetworkNamespace(enter=True))
        ovs = stack.enter_context(OpenVSwitch(namespace))
        ovs.add_bridge(SWITCH)
        settings = {
            "vifplug": {"libvirt_version": "9.0.0", "virt_type": "qemu",
                        "lock_path": str(folder / "locks")},
            "vifplug_bridge": {"create_tap": "true", "remove_unused": "true"},
            "vifplug_ovs": {"ovsdb_connection": ovs.endpoint, "remove_unused": "true"},
        }  # fmt: skip
        stack.enter_context(configured(folder, *PLUGINS, settings=settings))
        yield SoakHost(namespace, ovs)
