# SPDX-License-Identifier: Apache-2.0
"""Performs the direct family's own operations in the daemon: import it to register them."""

from __future__ import annotations

import time

from vifplug.privileged import Kernel, WrongDevice, perform
from vifplug_vepa.operations import RemoveLeaked

_OPENED_WITHIN = 0.2
"""Seconds within which libvirt surely opens a macvtap that it has made."""


@perform.register
def _remove_leaked(operation: RemoveLeaked, kernel: Kernel) -> None:
    """Remove a macvtap that no process holds, now and a moment later: a guest may be starting."""
    for pause in (_OPENED_WITHIN, 0.0):
        macvtap = kernel.netlink.link(operation.device)
        if macvtap is None:
            return
        name, link = macvtap
        if (link.kind, link.lower, link.address) != (
            "macvtap", operation.lower, operation.address
        ):  # fmt: skip
            return  # another device, made in its place
        if kernel.held(link.index) is not False:
            raise WrongDevice(f"{name} is held by a process, or none can look who holds it")
        time.sleep(pause)
    kernel.remove(link.index)
