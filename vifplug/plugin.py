# SPDX-License-Identifier: Apache-2.0
"""The whole contract between vifplug and a plugin.

A plugin is a class under the entry-point group ``vifplug.plugins``, one entry for each vif_type it
claims. It says what a VIF of that type needs; comparing, ordering, applying, undoing, verifying
and removing are the core's. See docs/writing-a-plugin.md.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from vifplug import fields
from vifplug.errors import InvalidVIF
from vifplug.model.host import Host
from vifplug.model.snapshot import Snapshot
from vifplug.model.use import NOTED, Uses, passed_over
from vifplug.model.vif import VIF
from vifplug.operations.operation import Operation
from vifplug.parts import CORE, Part
from vifplug.result import Check
from vifplug.switch import Departure
from vifplug.wiring import Wiring

__all__ = ["API_VERSION", "GROUP", "SWITCHES", "Check", "NoDetails", "VIFPlugin"]

API_VERSION = 1
GROUP = "vifplug.plugins"
SWITCHES = "vifplug.switches"
"""The entry points of plugins whose switch may have something of any VIF, by one vif_type each."""


@dataclass(frozen=True, kw_only=True)
class NoDetails:
    """The details of a plugin that takes none."""


class VIFPlugin(abc.ABC):
    """Connects VIFs of one type (or of several that are much alike).

    ``api_version``  the contract's version that the plugin was written for
    ``details``      the dataclass of its own fields, each ``fields.declared``
    ``required``     paths of the VIF's fields without which it can't work, as ``network.bridge``
    ``uses``         paths of the fields that its VIFs use, by vnic_type ("" stands for any other):
                     whatever else a VIF asks for is refused, or noted if it is another system's.
                     None: the plugin itself sees to that
    ``defaults``     paths of fields that another system's VIF may lack, and the option that then
                     gives their value
    ``kinds``        the kinds of part that it uses, in the order in which they are un-made
    ``processes``    the ways in which it connects VIFs, where it knows several
    ``switch``       the module of its package that reads its switch, a ``vifplug.switch.Reader``,
                     where the plugin has a switch with a database of its own
    ``snapshot``     the kind of snapshot that this module returns
    ``unbridged``    its VIFs' devices may be in no bridge: an agent, or routes, connect them
    ``vif_type``     set by the registry: the type for which this instance was loaded
    ``vnic_types``   those that it connects; a caller that has another way for others uses that
    ``group``        its section of the configuration file, and the ``opts`` in it
    ``by_libvirt``   the values of its options by which libvirt makes the tap or the port, as it
                     does for a NIC of a libvirt network
    ``modules``      modules of the kernel that some VIFs need, and which, for ``vifplug doctor``
    """

    api_version: ClassVar[int]
    details: ClassVar[type[Any]] = NoDetails
    required: ClassVar[tuple[str, ...]] = ()
    uses: ClassVar[Mapping[str, Uses] | None] = None
    defaults: ClassVar[Mapping[str, str]] = {}
    kinds: ClassVar[tuple[type[Part], ...]] = CORE
    processes: ClassVar[tuple[str, ...]] = ("",)
    switch: ClassVar[str] = ""
    snapshot: ClassVar[type[Snapshot] | None] = None
    unbridged: ClassVar[bool] = False
    vif_type: str = ""
    vnic_types: ClassVar[tuple[str, ...]] = ("normal",)
    group: ClassVar[str] = ""
    opts: ClassVar[Sequence[Any]] = ()
    by_libvirt: ClassVar[Mapping[str, Any]] = {}
    modules: ClassVar[Mapping[str, str]] = {}

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        """``options`` are the values of ``opts`` by name; their defaults where not given."""
        self.options = {opt.dest: opt.default for opt in self.opts} | dict(options or {})

    @abc.abstractmethod
    def wire(self, vif: VIF, host: Host) -> Wiring:
        """Return what this VIF needs on this host.

        Pure: no input or output but the arguments; what it must know of the host, it asks
        ``host``. The VIF has passed :meth:`check`. May raise InvalidVIF or Conflict.
        """

    def leave(self, vif: Departure, host: Host) -> Sequence[Operation]:
        """Return what takes a VIF out of the plugin's switch, for the plan of a move. Pure."""
        return ()

    def remove(self, vif: Departure, host: Host) -> Sequence[Operation]:
        """Return what an unplug takes out of the plugin's switch, for the plan of it. Pure."""
        return self.leave(vif, host)

    def doctor(self, host: Host) -> Iterable[Check]:
        """Return what this plugin needs of a host and whether it is there. Pure as well."""
        return ()

    @classmethod
    def present(cls, options: Mapping[str, Any]) -> bool:
        """Whether this host may have the plugin's switch; see ``vifplug.switch.Presence``."""
        return True

    # What follows is the core's; a plugin leaves it as it is.

    def completed(self, vif: VIF) -> VIF:
        """Return a VIF; if it is another system's, with the ``defaults`` of what it lacks."""
        for path, option in self.defaults.items() if vif.foreign else ():
            vif = _with_default(vif, path.split("."), self.options[option])
        return vif

    def check(self, vif: VIF) -> None:
        """Raise InvalidVIF where the VIF lacks a required field or its details are wrong."""
        for path in self.required:
            value: Any = vif
            kind: Any = None
            for name in path.split("."):
                kind, value = fields.kinds(type(value))[name], getattr(value, name)
            if value is None:
                needed = f"{kind.allowed} (vif_type {vif.vif_type} needs it)"
                raise vif.refuse(path, None, needed)
        self.details_of(vif)

    def passed_over(self, vif: VIF) -> tuple[str, ...]:
        """Return notes on what a VIF asks for and its type does not use.

        Raises InvalidVIF for a VIF in our own format: what somebody wrote is never ignored.
        """
        if self.uses is None:
            return ()
        uses = self.uses[vif.vnic_type if vif.vnic_type in self.uses else ""]
        every = passed_over(vif, self.details_of(vif), uses)
        found = [field for field in every if field.path not in self.required]
        if not vif.foreign:
            self.require_vnic_type(vif)
            for field in (field for field in found if field.path not in NOTED):
                raise vif.refuse(field.path, field.value, field.allowed(vif))
        notes = [field.note(vif) for field in found]
        if vif.vnic_type not in self.vnic_types:
            has = f"vif_type {vif.vif_type} has {', '.join(self.vnic_types)}"
            notes.insert(0, f"vnic_type {vif.vnic_type} left out: {has}")
        return tuple(notes)

    def require_vnic_type(self, vif: VIF) -> None:
        """Raise InvalidVIF for a vnic_type that the plugin does not connect."""
        if vif.vnic_type not in self.vnic_types:
            allowed = f"{', '.join(self.vnic_types)} (vif_type {vif.vif_type})"
            raise vif.refuse("vnic_type", vif.vnic_type, allowed)

    def details_of(self, vif: VIF) -> Any:
        """Return the VIF's details as this plugin's own dataclass. Raises InvalidVIF.

        Unknown ones are an error, but for those of a ``foreign`` VIF.
        """
        refuse = partial(InvalidVIF, vif.id)
        return fields.load(self.details, vif.details, refuse, at="details", lenient=vif.foreign)

    @classmethod
    def privileged(cls) -> str:
        """Return the name of the module that holds the plugin's PrivContext and entrypoints."""
        return cls._beside("privileged")

    @classmethod
    def reader(cls) -> str | None:
        """Return the name of the module that ``switch`` means, or None."""
        return cls._beside(cls.switch) if cls.switch else None

    @classmethod
    def _beside(cls, module: str) -> str:
        return f"{cls.__module__.rpartition('.')[0]}.{module}"

    @classmethod
    def schema(cls, vif_type: str) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of a VIF of this type."""
        found = fields.schema(VIF)
        found["$schema"] = "https://json-schema.org/draft/2020-12/schema"
        found["title"] = f"A VIF of type {vif_type}"
        found["properties"]["vif_type"] = {"const": vif_type}
        found["properties"]["details"] = fields.schema(cls.details)
        for path in cls.required:
            place = found
            *outer, last = path.split(".")
            for name in outer:
                place.setdefault("required", [])
                if name not in place["required"]:
                    place["required"].append(name)
                place = place["properties"][name]
            place.setdefault("required", []).append(last)
        return found


def _with_default(record: Any, path: Sequence[str], value: Any) -> Any:
    """Return a record with a value in a field, at a path, that is None."""
    name, *further = path
    old = getattr(record, name)
    if further:
        return dataclasses.replace(record, **{name: _with_default(old, further, value)})
    return dataclasses.replace(record, **{name: value}) if old is None else record
