# SPDX-License-Identifier: Apache-2.0
"""Where VIFs come from: other systems' models, as plain data, each read into our VIF. Pure.

What a peer's newer release adds is passed over, what an older one lacked is done without, and what
the vif_type needs but nobody said is an InvalidVIF that names the peer's own field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vifplug.model.vif import VIF


@dataclass(frozen=True, kw_only=True)
class Source:
    """One system's model.

    ``parts`` returns which parts of a document are a VIF, each with its place in it; ``vif_of``
    returns a part's VIF, or raises InvalidVIF; ``data_of`` returns a VIF as such a part. ``json``:
    a document is JSON; else its text is handed on as it is.
    """

    parts: Callable[[Any], Sequence[tuple[str, Any]]]
    vif_of: Callable[[Any], VIF]
    data_of: Callable[[VIF], dict[str, Any]]
    json: bool = True


def _sources() -> Mapping[str, Source]:
    from vifplug.sources import libvirt, neutron, nova, os_vif

    return {
        "libvirt": Source(
            parts=libvirt.parts, vif_of=libvirt.vif_of, data_of=libvirt.data_of, json=False
        ),
        "neutron": Source(parts=neutron.parts, vif_of=neutron.vif_of, data_of=neutron.data_of),
        "nova": Source(parts=nova.parts, vif_of=nova.vif_of, data_of=nova.data_of),
        "os-vif": Source(parts=os_vif.parts, vif_of=os_vif.vif_of, data_of=os_vif.data_of),
    }


if TYPE_CHECKING:
    SOURCES: Mapping[str, Source]
    """The sources by the names that ``--from`` takes."""


def __getattr__(name: str) -> Any:
    # When it is first used: a guest's VIFs are read without the models of OpenStack.
    if name != "SOURCES":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()["SOURCES"] = _sources()
    return found
