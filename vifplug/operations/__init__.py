# SPDX-License-Identifier: Apache-2.0
"""The operations that a plan is made of: one change each, as data, with its own undo. Pure."""

from vifplug.operations.addressing import (
    CopyAddresses,
    CopyNeighbours,
    CopyRoutes,
    RemoveAddresses,
    RemoveNeighbours,
    RemoveRoutes,
    move_addressing,
)
from vifplug.operations.altnames import AddAltname, RemoveAltname
from vifplug.operations.claims import AddClaim, ClaimOperation, RemoveClaim
from vifplug.operations.functions import SetVf, set_vf
from vifplug.operations.links import (
    MakeLink,
    RemoveLink,
    RemoveLinks,
    SetLink,
    SetLinks,
)
from vifplug.operations.operation import (
    LinkOperation,
    Operation,
    PortOperation,
    SwitchOperation,
    Unit,
)
from vifplug.operations.routes import AddProxy, AddRoute, RemoveProxy, RemoveRoute
from vifplug.operations.sysctls import ALLOWED as SYSCTLS
from vifplug.operations.sysctls import SetSysctl

__all__ = [
    "SYSCTLS",
    "AddAltname",
    "AddClaim",
    "AddProxy",
    "AddRoute",
    "ClaimOperation",
    "CopyAddresses",
    "CopyNeighbours",
    "CopyRoutes",
    "LinkOperation",
    "MakeLink",
    "Operation",
    "PortOperation",
    "RemoveAddresses",
    "RemoveAltname",
    "RemoveClaim",
    "RemoveLink",
    "RemoveLinks",
    "RemoveNeighbours",
    "RemoveProxy",
    "RemoveRoute",
    "RemoveRoutes",
    "SetLink",
    "SetLinks",
    "SetSysctl",
    "SetVf",
    "SwitchOperation",
    "Unit",
    "move_addressing",
    "set_vf",
]
