# SPDX-License-Identifier: Apache-2.0
"""A tap as libvirt makes it for a guest, and the guest's end of it."""

from __future__ import annotations

import fcntl

from vifplug.testing import NetworkNamespace, TapEnd

_TUNSETPERSIST = 0x400454CB


class LibvirtsTap(TapEnd):
    """A tap that goes with its guest, as libvirt makes it, and the guest's end of it.

    With an ``address``, which is the guest's, the tap has it with fe as first octet.
    """

    def __init__(self, namespace: NetworkNamespace, name: str, *, address: str = "") -> None:
        super().__init__(namespace, name)
        self._address = f"fe{address[2:]}" if address else ""

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        words = ("tuntap", "add", self._name, "mode", "tap", "vnet_hdr")
        self._namespace.ip(*words)
        if self._address:
            self._namespace.ip("link", "set", self._name, "address", self._address)
        super()._setUp()
        fcntl.ioctl(self._fds[0], _TUNSETPERSIST, 0)
