# SPDX-License-Identifier: Apache-2.0
"""A VIF as it was plugged, as text: what marks and claims have no room for. Pure.

A note describes. It is no reason to change anything: see ``vifplug.plan.rights``.
"""

from __future__ import annotations

import dataclasses
import json

from vifplug.errors import InvalidVIF
from vifplug.fields import LONGEST
from vifplug.model.vif import VIF

_VIF, _FOREIGN = "vif", "foreign"


def note_of(vif: VIF) -> str | None:
    """Return the note of a VIF; without its subnets where it would be too long, or None."""
    bare = dataclasses.replace(vif, network=dataclasses.replace(vif.network, subnets=()))
    texts = (json.dumps({_VIF: each.to_dict(), _FOREIGN: vif.foreign}) for each in (vif, bare))
    return next((text for text in texts if len(text) <= LONGEST), None)


def noted(text: str | bytes, vif_id: str) -> VIF:
    """Return the VIF that a note tells of. Raises ValueError for any other text."""
    try:
        data = json.loads(text)
        # Not leniently, because our own VIF was written.
        vif = VIF.from_dict(data[_VIF])
        if vif.id != vif_id:
            raise ValueError(f"it is that of VIF {vif.id}")
        return dataclasses.replace(vif, foreign=data[_FOREIGN] is True)
    except (ValueError, KeyError, TypeError, RecursionError, InvalidVIF) as error:
        raise ValueError(f"no VIF can be read from it: {error}") from None
