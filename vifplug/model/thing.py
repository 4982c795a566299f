# SPDX-License-Identifier: Apache-2.0
"""A device, or a row of a switch, as the thing that an operation changes. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from vifplug.model.host import Host


@dataclass(frozen=True, kw_only=True)
class Thing:
    """A device, or a row of a switch, that an operation changes.

    ``title`` is how an error names it. ``kind`` is the kernel's or the switch's word; None: it is
    not there. ``owners`` are the ids of the VIFs whose marks it bears. ``shared``: it bears the
    mark of a device that several VIFs use.
    """

    name: str
    title: str
    kind: str | None = None
    owners: frozenset[str] = field(default_factory=frozenset)
    shared: bool = False


def device(name: str, host: Host) -> Thing:
    """Return a network device as a thing. An alternative name is no device's name."""
    link = host.link(name)
    if link is None:
        return Thing(name=name, title=name)
    return Thing(
        name=name,
        title=name,
        kind=link.kind,
        owners=link.owners,
        shared=bool(link.shared_marks),
    )
