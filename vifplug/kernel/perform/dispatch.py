# SPDX-License-Identifier: Apache-2.0
"""``perform(operation, kernel)``: each module of this package registers how it performs its own.

A plugin registers its own operations the same way. Nothing here has privilege of its own: the
kernel asks for CAP_NET_ADMIN.
"""

from __future__ import annotations

import errno
import functools
import os

from vifplug.kernel import holders
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.netlink import KernelError, Netlink
from vifplug.model.link import Link
from vifplug.operations.operation import Operation

_HELD = 32
"""The most descriptors that are held at a time: a process may have no more than 1,024."""


class WrongDevice(Exception):
    """An operation would touch a device that is not the one it was meant for."""


class Kernel:
    """What operations are performed with: a netlink socket, and the folder of the claims."""

    def __init__(self, netlink: Netlink, claims: ClaimsFolder) -> None:
        self.netlink, self.claims = netlink, claims
        self._descriptors: list[int] = []

    def required(self, device: str) -> Link:
        """Return a device. Raises KernelError (ENODEV) where it is not there."""
        found = self.netlink.link(device)
        if found is None:
            raise KernelError(errno.ENODEV, f"{device}: {os.strerror(errno.ENODEV)}")
        return found[1]

    def remove(self, index: int) -> None:
        """Remove the device of an index. Raises KernelError."""
        self.netlink.request((rt.DELLINK, nl.ACK, rt.link_body(index=index)))

    def held(self, index: int) -> bool | None:
        """Whether a process has the macvtap of an index open; None where we may not look."""
        return holders.look().of(index)

    def hold(self, descriptor: int) -> None:
        """Keep open the descriptor that made a device; it is closed later.

        The kernel closes it under a lock, for which it may have to wait while a switch looks at the
        new device.
        """
        if len(self._descriptors) >= _HELD:
            self.let_go()
        self._descriptors.append(descriptor)

    def let_go(self) -> None:
        """Close every descriptor that is held."""
        while self._descriptors:
            os.close(self._descriptors.pop())


@functools.singledispatch
def perform(operation: Operation, kernel: Kernel) -> None:
    """Make one change. Raises KernelError, OSError or WrongDevice; then nothing was changed.

    Addresses and routes are the exception: some of them may have been changed. The operation's
    undo takes those back.
    """
    kind = type(operation)
    raise WrongDevice(f"{kind.__module__}.{kind.__name__}: no code is registered that performs it")
