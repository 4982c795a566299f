# SPDX-License-Identifier: Apache-2.0
"""What planning may know of a switch, and what a switch has of one VIF: plain values."""

from __future__ import annotations

import abc
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, Self, TypeVar

from vifplug import fields
from vifplug.errors import NO_VIF, PLUGIN_ERRORS, SwitchError
from vifplug.fields import Refuse

LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Trace:
    """What a switch has of one VIF.

    ``vif_type`` and ``process`` are those of our mark, empty where another program made it.
    ``bridge`` is the switch's bridge. ``devices`` are devices of the kernel that are its ports,
    ``ports`` those that have none, such as a vhost-user socket's. ``in_use``: a guest is attached.
    ``main``: the port that bears the VIF's ids, where a VIF has several. ``dead``: the port of
    another program has no device any more, so the VIF is not there. ``unwired`` says why the port
    passes no frame until another program lets it, such as Neutron's agent. ``address``,
    ``instance`` and ``vlan`` are the guest's MAC address, its uuid and the port's VLAN, where the
    switch notes them. ``drift`` says how the port is not as it was plugged, as the switch tells.
    """

    vif_id: str
    vif_type: str = ""
    process: str = ""
    bridge: str | None = None
    devices: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    in_use: bool = False
    main: bool = True
    dead: bool = False
    unwired: str = ""
    address: str | None = None
    instance: str | None = None
    vlan: int | None = None
    drift: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SwitchPort:
    """A port of a switch's bridge, as a picture of the host shows it.

    ``kind`` is the switch's word for it. ``peer`` is the port at a patch's other end. ``out``: it
    leads to the wire, as a tunnel does. A device of the kernel shows that by itself. ``words`` are
    its details. A port that has the bridge's own name shows only that the bridge is there.
    """

    bridge: str
    name: str
    kind: str = ""
    peer: str | None = None
    out: bool = False
    words: tuple[str, ...] = ()


class Snapshot(abc.ABC):
    """What planning may know of one switch: a plain value, in ``Host.switches`` under its key.

    A subclass is a frozen dataclass whose fields are ``vifplug.fields.declared``. ``key`` is also
    its name in a test's host.json. ``error`` says why the switch can't be read; ``absent``: this
    host has none, so that there is nothing to complain of.
    """

    key: ClassVar[str]
    error: str | None
    absent: bool

    @classmethod
    def from_dict(cls, data: Any, refuse: Refuse) -> Self:
        """Return the snapshot that host.json describes. Raises what ``refuse`` returns."""
        return fields.load(cls, data, refuse, at=cls.key)

    @property
    def failure(self) -> SwitchError | None:
        """The error for a caller that needs the switch, where it can't be read."""
        return SwitchError(NO_VIF, self.key, self.error) if self.error else None

    def planning(self) -> Self:
        """Return a copy on which plans may note what they will have made."""
        return self

    def forget(self, device: str) -> None:
        """Note on a copy for plans that a plan removes a device, and what is known of it."""
        return None

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> Iterable[Trace]:
        """Return what the switch has of one VIF, whoever made it; without an id, all that we made.

        ``interface_id`` is the VIF's own, where the caller knows it.
        """
        return ()

    def left(self, host: Any) -> Iterable[Trace]:
        """Return what other programs left of VIFs that are gone, by exact shapes only.

        ``host`` is the Host: it tells of the ports' devices. A VIF of which we made something is
        none of these.
        """
        return ()

    def all_ports(self) -> Iterable[SwitchPort]:
        """Return the ports of the switch's bridges, as far as they were read, for a picture."""
        return ()

    def has_port(self, name: str) -> bool:
        """Whether a port of the switch has this name, whoever made it."""
        return False

    def other_holder(self, interface_id: str, vif_id: str) -> str | None:
        """Return the id of another VIF to which the switch gives an interface id.

        None: the VIF that asks, ``vif_id``, has the interface id or may have it.
        """
        return None


def traces_of(
    snapshot: Snapshot, vif_id: str | None = None, interface_id: str | None = None
) -> tuple[Trace, ...]:
    """Return what a switch has of one VIF, or of all; one that fails at it has told nothing."""
    return _told(snapshot, "traces", lambda: snapshot.traces(vif_id, interface_id))


def ports_of(snapshot: Snapshot) -> tuple[SwitchPort, ...]:
    """Return the ports of a switch's bridges; one that fails at it has told nothing."""
    return _told(snapshot, "all_ports", snapshot.all_ports)


def _told(snapshot: Snapshot, what: str, ask: Callable[[], Iterable[T]]) -> tuple[T, ...]:
    try:
        return tuple(ask())
    except PLUGIN_ERRORS as error:
        kind = type(snapshot)
        LOG.warning("%s.%s.%s: %s: %s", kind.__module__, kind.__name__, what,
                    type(error).__name__, error)  # fmt: skip
        return ()


@dataclass(frozen=True)
class Unread(Snapshot):
    """Stands for a switch whose plugin fails to read it: its VIFs fail, and no others.

    ``key`` is that of the plugin's own snapshot, ``error`` says what went wrong.
    """

    key: str  # type: ignore[misc]
    error: str
    absent: bool = False
