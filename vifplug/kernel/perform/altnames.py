# SPDX-License-Identifier: Apache-2.0
"""Alternative names added and removed; a name that a device has, or lacks, already is as good."""

from __future__ import annotations

import errno

from vifplug.kernel.messages.links import altname_request
from vifplug.kernel.netlink import KernelError
from vifplug.kernel.perform.dispatch import Kernel, perform
from vifplug.operations.altnames import AddAltname, RemoveAltname


@perform.register
def _add_altname(operation: AddAltname, kernel: Kernel) -> None:
    device, altname = operation.device, operation.altname
    try:
        kernel.netlink.request(altname_request(True, kernel.required(device).index, altname))
    except KernelError as error:
        found = kernel.netlink.link(altname) if error.errno == errno.EEXIST else None
        if found is None or found[0] != device:
            raise


@perform.register
def _remove_altname(operation: RemoveAltname, kernel: Kernel) -> None:
    device, altname = operation.device, operation.altname
    found = kernel.netlink.link(altname)
    if found is not None and found[0] == device:
        kernel.netlink.request(altname_request(False, found[1].index, altname))
