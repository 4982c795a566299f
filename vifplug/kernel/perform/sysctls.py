# SPDX-License-Identifier: Apache-2.0
"""Attributes of a device that are sysctls."""

from __future__ import annotations

import os
from collections.abc import Mapping

from vifplug.operations.links import SetLink

SYSCTLS: Mapping[str, str] = {
    "ipv6": "ipv6/conf/{}/disable_ipv6",
    "accept_ra": "ipv6/conf/{}/accept_ra",
    "arp_ignore": "ipv4/conf/{}/arp_ignore",
    "arp_announce": "ipv4/conf/{}/arp_announce",
}
_SYSCTL_ROOT = "/proc/sys/net/"


def write_sysctl(operation: SetLink) -> None:
    """Write a device's attribute that is a sysctl. Raises OSError."""
    path = _SYSCTL_ROOT + SYSCTLS[operation.attribute].format(operation.device)
    value = not operation.value if operation.attribute == "ipv6" else operation.value
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, b"%d\n" % int(value))
        finally:
            os.close(fd)
    except FileNotFoundError:
        # A kernel without IPv6, or a device whose MTU is too small for it, has it off already.
        if operation.attribute != "ipv6" or operation.value:
            raise
