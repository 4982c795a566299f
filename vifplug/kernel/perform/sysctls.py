# SPDX-License-Identifier: Apache-2.0
"""Attributes of a device that are sysctls."""

from __future__ import annotations

import os

from vifplug.kernel.perform.dispatch import Kernel, WrongDevice, perform
from vifplug.operations.links import SetLink
from vifplug.operations.operation import SYSCTLS
from vifplug.operations.sysctls import SetSysctl, path

_SYSCTL_ROOT = "/proc/sys/net/"


def write_sysctl(operation: SetLink) -> None:
    """Write a device's attribute that is a sysctl. Raises OSError."""
    file = SYSCTLS[operation.attribute].format(operation.device)
    value = not operation.value if operation.attribute == "ipv6" else operation.value
    try:
        _write(file, int(value))
    except FileNotFoundError:
        # A kernel without IPv6, or a device whose MTU is too small for it, has it off already.
        if operation.attribute != "ipv6" or operation.value:
            raise


@perform.register
def _set(operation: SetSysctl, kernel: Kernel) -> None:
    kernel.required(operation.device)
    try:
        file = path(operation.device, operation.name)
    except ValueError as error:
        raise WrongDevice(str(error)) from None
    try:
        _write(file, operation.value)
    except FileNotFoundError:
        # A kernel without IPv6 has it off already.
        if operation.value:
            raise


def _write(file: str, value: int) -> None:
    fd = os.open(_SYSCTL_ROOT + file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, b"%d\n" % value)
    finally:
        os.close(fd)
