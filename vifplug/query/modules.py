# SPDX-License-Identifier: Apache-2.0
"""Whether the running kernel has a module, without loading it."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path

from vifplug.kernel.messages.attributes import nested
from vifplug.kernel.netlink import Netlink

_LOADED = Path("/sys/module")
_FILES = Path("/lib/modules")
_VLANS = Path("/proc/net/vlan")

# Generic netlink's own family, which lists the others; to ask for one by name would load it.
GENERIC = 16
_CONTROL, _FAMILY_ID, _FAMILY = 0x10, 1, 2
_GET_FAMILIES = b"\x03\x01\0\0"


def is_loaded(name: str) -> bool | None:
    """Whether a module is loaded or built in; None where a host doesn't tell.

    A built-in module need not be in sysfs, so the kernel's list of them is read. A container may
    lack that, and so may a kernel without modules: then a few modules show in another way.
    """
    if (_LOADED / name).is_dir():
        return True
    built_in = _listed("modules.builtin")
    return _shows(name) if built_in is None else name in built_in


def _shows(name: str) -> bool | None:
    """Whether a module shows by what it makes; None for one of which we don't know that."""
    if name == "8021q":
        return _VLANS.exists()
    if name == "openvswitch":
        with Netlink(GENERIC) as netlink:
            return family(netlink, "ovs_datapath") is not None
    return None


def family(netlink: Netlink, name: str) -> int | None:
    """Return the number of a family of generic netlink that the kernel has at present, or None."""
    for body in netlink.dump(_CONTROL, _GET_FAMILIES):
        known = nested(body, len(_GET_FAMILIES))
        if known.get(_FAMILY) == name.encode() + b"\0":
            return int.from_bytes(known[_FAMILY_ID], sys.byteorder)
    return None


def is_loadable(name: str) -> bool:
    """Whether this host has the file of a module for the running kernel."""
    return name in (_listed("modules.dep") or ())


@functools.cache
def _listed(file: str) -> frozenset[str] | None:
    """Return the modules that a list of the running kernel names; None without such a list."""
    try:
        lines = (_FILES / os.uname().release / file).read_text(errors="replace").splitlines()
    except OSError:
        return None
    paths = (line.partition(":")[0] for line in lines)
    names = (path.rpartition("/")[2].partition(".ko")[0] for path in paths)
    return frozenset(name.replace("-", "_") for name in names)
