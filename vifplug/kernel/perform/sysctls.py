# SPDX-License-Identifier: Apache-2.0
"""Attributes of a device that are sysctls."""

from __future__ import annotations

import os

from vifplug.operations.links import SetLink
from vifplug.operations.operation import SYSCTLS

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
