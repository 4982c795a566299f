# SPDX-License-Identifier: Apache-2.0
"""A VIF that is to be unplugged: whose daemons are asked, and the one answer of all of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from vifplug.daemon.request import Reply, UnplugVIF
from vifplug.errors import UnplugFailed, VifplugError
from vifplug.model.vif import VIF
from vifplug.result import Result
from vifplug.switch import Departure


@dataclass(kw_only=True)
class Leaving:
    """A VIF that is to be unplugged: the privileged modules to ask, and what they answered."""

    departure: Departure
    vif_type: str
    vif: VIF | None
    modules: tuple[str, ...] = ()
    replies: list[Reply] = field(default_factory=list)

    @property
    def request(self) -> UnplugVIF:
        """What the daemons are asked."""
        departure, instance = self.departure, self.vif.instance if self.vif else None
        guest = (instance.name or instance.uuid) if instance else None
        return UnplugVIF(vif_id=departure.vif_id, interface_id=departure.interface_id, guest=guest)

    @property
    def outcome(self) -> Result | VifplugError:
        """What became of the VIF: one answer of all that were asked."""
        errors = [reply.error for reply in self.replies if reply.error]
        if len(errors) == 1:
            return errors[0]
        if errors:
            return UnplugFailed(self.departure.vif_id, [str(error) for error in errors])
        devices = (device for reply in self.replies for device in reply.devices)
        return Result(
            id=self.departure.vif_id,
            vif_type=self.vif_type,
            process=None,
            changed=any(reply.changed for reply in self.replies),
            devices=tuple(dict.fromkeys(devices)),
        )
