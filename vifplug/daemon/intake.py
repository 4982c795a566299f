# SPDX-License-Identifier: Apache-2.0
"""What a daemon takes of a request: well-formed VIFs. The others are refused, each by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from vifplug.apply import words
from vifplug.daemon.request import Reply, Request
from vifplug.errors import PlugFailed, PrivilegeError, UnplugFailed, VifplugError
from vifplug.kernel import namespace

LOG = logging.getLogger(__name__)

MEND = "call it through vifplug"

_LONGEST = 24 * 3600.0
"""Seconds ahead that a deadline may lie: a caller's mistake must not hold a lock for ever."""

_READING = "reading the request"

T = TypeVar("T")


def known(
    request: Request,
    one: Callable[[Request, int], T],
    word: str,
    replies: list[Reply | None],
) -> list[tuple[int, T]]:
    """Return the VIFs of a request that are well formed, by their places.

    Each of the others gets a reply by itself. All of them get one line in the log.
    """
    found: list[tuple[int, T]] = []
    seen: set[str] = set()
    refused: list[VifplugError] = []
    for position in range(len(request.vifs)):
        vif_id = request.vif_id(position)
        error: VifplugError
        try:
            vif = one(request, position)
            if vif_id in seen:
                raise ValueError(f"vif_id is {vif_id}; allowed: one VIF of an id in a request")
            seen.add(vif_id)
            found.append((position, vif))
            continue
        except ValueError as malformed:
            error = _refused(word, vif_id, str(malformed))
        except Exception as wrong:  # a plugin's part may fail of itself
            error = _refused(word, vif_id, words(wrong))
        refused.append(error)
        replies[position] = Reply(error=error)
    if refused:
        LOG.warning("%s: %d of %d VIFs are refused, the first: %s",
                    word, len(refused), len(request.vifs), refused[0])  # fmt: skip
    return found


def _refused(word: str, vif_id: str, why: str) -> VifplugError:
    """Return the error of a VIF that is no request."""
    if word == "plug":
        return PlugFailed(vif_id, _READING, f"refused: {why}")
    return UnplugFailed(vif_id, [f"{_READING}: refused: {why}"])


def checked(data: Mapping[str, Any]) -> Request:
    """Return the request that a caller sent. Raises PrivilegeError."""
    try:
        request = Request.from_dict(data)
    except ValueError as error:
        LOG.warning("a request is refused: %s", error)
        raise PrivilegeError("privileged daemon", f"refused: {error}", MEND) from None
    if not request.deadline <= time.monotonic() + _LONGEST:
        raise PrivilegeError("privileged daemon", f"refused: deadline {request.deadline}", MEND)
    if request.namespace != namespace.network_namespace():
        why = "the daemon is in another network namespace than its caller"
        raise PrivilegeError("privileged daemon", why, "start it from where the VIFs are")
    return request
