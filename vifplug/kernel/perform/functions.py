# SPDX-License-Identifier: Apache-2.0
"""Virtual functions of a network card, set through their physical one."""

from __future__ import annotations

import struct

from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.messages import links as rt
from vifplug.kernel.messages.links import mac
from vifplug.kernel.perform.dispatch import Kernel, WrongDevice, perform
from vifplug.operations.functions import SetVf


@perform.register
def _set_vf(operation: SetVf, kernel: Kernel) -> None:
    number, value = operation.vf, operation.value
    match operation.attribute:
        case "address":
            kind, payload = rt.VF_MAC, struct.pack("=I32s", number, mac(value))
        case "vlan":
            kind, payload = rt.VF_VLAN, struct.pack("=III", number, *value)
        case "spoofchk":
            kind, payload = rt.VF_SPOOFCHK, struct.pack("=II", number, int(value))
        case "trust":
            kind, payload = rt.VF_TRUST, struct.pack("=II", number, int(value))
        case other:
            raise WrongDevice(f"{other} of {operation.device} VF {number} can't be set")
    index = kernel.required(operation.device).index
    kernel.netlink.request((rt.SETLINK, nl.ACK, rt.vf_body(index, kind, payload)))
