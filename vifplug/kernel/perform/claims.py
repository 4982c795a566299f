# SPDX-License-Identifier: Apache-2.0
"""Claims on shared devices, added and removed."""

from __future__ import annotations

import secrets

from vifplug.kernel.messages.links import altname_request
from vifplug.kernel.perform.dispatch import Kernel, WrongDevice, perform
from vifplug.model.mark import CLAIMS, is_token, token_in
from vifplug.operations.claims import AddClaim, RemoveClaim


@perform.register
def _add(operation: AddClaim, kernel: Kernel) -> None:
    with kernel.claims.locked():
        if operation.token:
            _require_token(operation)
            kernel.claims.require_claims_only(operation.token)
            kernel.claims.add(operation.token, operation.mark)
            return
        link = kernel.required(operation.device)
        if token := token_in(link.altnames):
            kernel.claims.require_claims_only(token)
            kernel.claims.add(token, operation.mark)
            return
        # The file comes first: a folder whose token no device bears is void, and is swept.
        token = secrets.token_hex(8)
        kernel.claims.add(token, operation.mark)
        kernel.netlink.request(altname_request(True, link.index, CLAIMS + token))


@perform.register
def _remove(operation: RemoveClaim, kernel: Kernel) -> None:
    with kernel.claims.locked():
        found = None if operation.token else kernel.netlink.link(operation.device)
        token = token_in(found[1].altnames) if found else operation.token
        if not token:
            return  # its claims are void with the device, and are swept
        if not kernel.claims.holds(token, operation.mark):
            return
        if kernel.claims.remains(token, operation.mark):
            kernel.claims.remove(token, operation.mark)
            return
        if found:
            # The name goes first, for the same reason.
            kernel.netlink.request(altname_request(False, found[1].index, CLAIMS + token))
        kernel.claims.clear(token)


def _require_token(operation: AddClaim) -> None:
    """Raise WrongDevice unless the token is a bridge's: it becomes the name of a folder."""
    if not is_token(operation.token, ""):
        raise WrongDevice(f"{operation.device}: {operation.token!r} is no token of a bridge")
