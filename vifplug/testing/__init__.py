# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests that connect VMs to networks for real; the extra ``vifplug[testing]``.

Network namespaces, frames at either end of a wire, an Open vSwitch, lldpad for 802.1Qbg, and a
libvirtd with guests that need no KVM, all of the test's own: nothing of the machine's is touched,
and nothing is left. They need root and Linux; :class:`Libvirt` needs
Debian's libvirt-daemon-system, qemu-system-x86, ipxe-qemu and tini, :class:`OpenVSwitch` its
openvswitch-switch, :class:`Lldpad` its lldpad.
All are ``fixtures.Fixture`` classes: ``useFixture``, or a with block.

For the tests of a plugin there are, in modules of their own: ``cases`` (planning cases),
``realhost`` (a case's host made real), ``configured`` (options and daemons), ``shell`` (the
command), ``claims`` and ``dumps`` (what is left), ``faults`` (a fault at every step), and
``conformance`` (the suite that has all of these).
"""

from __future__ import annotations

import sys

from vifplug.testing.capture import Capture, Predicate, TapEnd, dhcp_discover_from
from vifplug.testing.domain import validate
from vifplug.testing.indexes import IndexRange
from vifplug.testing.libvirt import Guest, Libvirt, LibvirtRefused
from vifplug.testing.lldpad import Lldpad, edge_wire
from vifplug.testing.namespace import CommandFailed, NetworkNamespace, veth
from vifplug.testing.openvswitch import OpenVSwitch

__all__ = [
    "Capture",
    "CommandFailed",
    "Guest",
    "IndexRange",
    "Libvirt",
    "LibvirtRefused",
    "Lldpad",
    "NetworkNamespace",
    "OpenVSwitch",
    "Predicate",
    "TapEnd",
    "dhcp_discover_from",
    "edge_wire",
    "validate",
    "veth",
]

ASSERTING = tuple(f"{__name__}.{name}" for name in ("cases", "conformance", "faults", "shell"))
"""Modules whose failed asserts show values only if pytest knows of them before their import."""

if pytest := sys.modules.get("pytest"):
    pytest.register_assert_rewrite(*ASSERTING)
