# SPDX-License-Identifier: Apache-2.0
"""Host routes and proxied addresses, added and removed."""

from __future__ import annotations

import errno

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages.neighbours import DELNEIGH, NEWNEIGH, proxy_body
from vifplug.kernel.messages.routes import DELROUTE, NEWROUTE, host_route_body
from vifplug.kernel.netlink import KernelError
from vifplug.kernel.perform.dispatch import Kernel, perform
from vifplug.operations.routes import AddProxy, AddRoute, RemoveProxy, RemoveRoute


@perform.register
def _add_route(operation: AddRoute, kernel: Kernel) -> None:
    body = host_route_body(operation.to, kernel.required(operation.device).index)
    try:
        kernel.netlink.request((NEWROUTE, nl.ACK | nl.CREATE_NEW, body))
    except KernelError as error:
        found = kernel.netlink.reached(operation.to) if error.errno == errno.EEXIST else None
        # Another device's route to this address is another VIF's, or another program's.
        if found is None or not found.alone or found.device != operation.device:
            raise


@perform.register
def _remove_route(operation: RemoveRoute, kernel: Kernel) -> None:
    body = host_route_body(operation.to, kernel.required(operation.device).index)
    try:
        kernel.netlink.request((DELROUTE, nl.ACK, body))
    except KernelError as error:
        if error.errno != errno.ESRCH:
            raise


@perform.register
def _add_proxy(operation: AddProxy, kernel: Kernel) -> None:
    body = proxy_body(operation.address, kernel.required(operation.device).index)
    kernel.netlink.request((NEWNEIGH, nl.ACK | nl.CREATE, body))


@perform.register
def _remove_proxy(operation: RemoveProxy, kernel: Kernel) -> None:
    body = proxy_body(operation.address, kernel.required(operation.device).index)
    try:
        kernel.netlink.request((DELNEIGH, nl.ACK, body))
    except KernelError as error:
        if error.errno != errno.ENOENT:
            raise
