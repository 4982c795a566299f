# SPDX-License-Identifier: Apache-2.0
"""What planning knows of this host besides its devices: told, configured, found, or assumed."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vifplug import opts
from vifplug.model.host import ASSUMED_LIBVIRT, Host
from vifplug.query import libvirt as look
from vifplug.query import limits

ASSUMED = "assumed"
"""How Host.found begins for a fact that nobody told; what follows says why."""


def find(group: Any, told: Mapping[str, Any], *, wait: float) -> Host:
    """Return the host without its devices; its ``found`` says of each fact where it is from.

    ``group`` are the options of ``[vifplug]``, ``told`` the facts that somebody else knows better,
    ``wait`` how many seconds libvirt may take to answer. Raises InvalidHost.
    """
    facts: dict[str, Any] = {
        "mtu": group.mtu,
        "allowed": opts.allowed(group),
        **limits.found(),
        **told,
    }
    found = dict.fromkeys(told, "told")
    configured = {
        "libvirt_version": group.libvirt_version,
        "virt_type": group.virt_type,
        "firewall": opts.firewall_required(group.firewall_driver) or None,
    }
    for name, value in configured.items():
        if name not in told and value is not None:
            facts[name], found[name] = value, "configured"
    if "libvirt_version" not in facts or "virt_type" not in facts:
        _ask_libvirt(look.libvirt(group.libvirt_uri, wait=wait), facts, found)
    for name in ("rx_queue_size", "tx_queue_size"):
        facts[name] = str(group[name]) if group[name] else None
    kernel = re.match(r"\d+\.\d+(\.\d+)?", os.uname().release)
    if kernel:
        facts["kernel"] = kernel[0] if kernel[1] else f"{kernel[0]}.0"
    return dataclasses.replace(Host.from_dict(facts), found=found)


def _ask_libvirt(answer: look.Libvirt, facts: dict[str, Any], found: dict[str, str]) -> None:
    """Add what libvirt says of itself, or what is assumed where it says nothing."""
    assumed = f"{ASSUMED}: {answer.error}"[:255]
    if "libvirt_version" not in facts:
        facts["libvirt_version"] = answer.version or ASSUMED_LIBVIRT
        found["libvirt_version"] = "found" if answer.version else assumed
    if "virt_type" not in facts:
        kvm = Path("/dev/kvm").exists()
        facts["virt_type"] = answer.virt_type or ("kvm" if kvm else "qemu")
        found["virt_type"] = "found" if answer.virt_type else assumed


def assumed(host: Host) -> str:
    """Return in words which facts are assumed, and why; nothing if none is."""
    names = {"libvirt_version": "libvirt", "virt_type": "virt_type"}
    facts = [name for name in names if host.found.get(name, "").startswith(ASSUMED)]
    if not facts:
        return ""
    values = " and ".join(f"{names[name]} {getattr(host, name)}" for name in facts)
    return f"{values} {host.found[facts[0]]}"
