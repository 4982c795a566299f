# SPDX-License-Identifier: Apache-2.0
"""Connects virtual machines to networks: a VIF in, a working port and libvirt XML out.

Names are loaded when they are first used, so that the import alone costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vifplug.driver import GenericVIFDriver
    from vifplug.errors import (
        Conflict,
        DeadlineExceeded,
        InUse,
        InvalidHost,
        InvalidVIF,
        LibvirtError,
        OVSDBError,
        PlugFailed,
        PluginFailed,
        PrivilegeError,
        SwitchError,
        UnknownVIFType,
        UnplugFailed,
        VifplugError,
    )
    from vifplug.guest.interface import Interface
    from vifplug.model.host import Host
    from vifplug.model.link import Link
    from vifplug.model.vif import VIF, Instance, Network, QoS, Subnet
    from vifplug.plan.compare import Plan
    from vifplug.plan.inventory import Checked, Collected, Inventory
    from vifplug.plan.plugged import Plugged
    from vifplug.plugin import VIFPlugin
    from vifplug.result import Check, Result
    from vifplug.wiring import Wiring

_FROM = {
    "driver": ("GenericVIFDriver",),
    "errors": (
        "Conflict",
        "DeadlineExceeded",
        "InUse",
        "InvalidHost",
        "InvalidVIF",
        "LibvirtError",
        "OVSDBError",
        "PlugFailed",
        "PluginFailed",
        "PrivilegeError",
        "SwitchError",
        "UnknownVIFType",
        "UnplugFailed",
        "VifplugError",
    ),
    "guest.interface": ("Interface",),
    "model.host": ("Host",),
    "model.link": ("Link",),
    "model.vif": ("VIF", "Instance", "Network", "QoS", "Subnet"),
    "plan.compare": ("Plan",),
    "plan.inventory": ("Checked", "Collected", "Inventory"),
    "plan.plugged": ("Plugged",),
    "plugin": ("VIFPlugin",),
    "result": ("Check", "Result"),
    "wiring": ("Wiring",),
}
_MODULES = {name: module for module, names in _FROM.items() for name in names}

__all__ = [
    "VIF",
    "Check",
    "Checked",
    "Collected",
    "Conflict",
    "DeadlineExceeded",
    "GenericVIFDriver",
    "Host",
    "InUse",
    "Instance",
    "Interface",
    "InvalidHost",
    "InvalidVIF",
    "Inventory",
    "LibvirtError",
    "Link",
    "Network",
    "OVSDBError",
    "Plan",
    "PlugFailed",
    "Plugged",
    "PluginFailed",
    "PrivilegeError",
    "QoS",
    "Result",
    "Subnet",
    "SwitchError",
    "UnknownVIFType",
    "UnplugFailed",
    "VIFPlugin",
    "VifplugError",
    "Wiring",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
