# SPDX-License-Identifier: Apache-2.0
"""What the running kernel has of that which the marker ``kernel`` may name."""

from __future__ import annotations

import functools

import pytest

from vifplug.testing import CommandFailed, NetworkNamespace

_TRIED = {
    "8021q": ("ip", "link", "add", "link", "probe", "name", "probe.1", "type", "vlan", "id", "1"),
    "bond": ("ip", "link", "add", "probe1", "type", "bond"),
    "dummy": ("ip", "link", "add", "probe1", "type", "dummy"),
    "netdevsim": ("test", "-e", "/sys/bus/netdevsim/new_device"),
    "openvswitch": ("genl", "ctrl", "get", "name", "ovs_datapath"),
    "vlan_filtering": ("ip", "link", "add", "probe1", "type", "bridge", "vlan_filtering", "1"),
}
"""A command for each feature that works in a namespace, with a veth ``probe``, that has it."""


@functools.cache
def has(feature: str) -> bool:
    """Whether the running kernel has a feature, found by trying it in a namespace of its own."""
    with NetworkNamespace(name=f"try {feature}") as namespace:
        namespace.ip("link", "add", "probe", "type", "veth", "peer", "name", "other")
        try:
            namespace.run(*_TRIED[feature])
        except CommandFailed:
            return False
    return True


def lacking(item: pytest.Item) -> set[str]:
    """Return the features that a test needs and the running kernel lacks.

    A marker without a feature stands for all.
    """
    found: set[str] = set()
    for mark in item.iter_markers("kernel"):
        for feature in mark.args or _TRIED:
            if feature not in _TRIED:
                known = ", ".join(sorted(_TRIED))
                raise pytest.UsageError(f"{item.nodeid} needs {feature!r}; known are {known}")
            if not has(feature):
                found.add(feature)
    return found
