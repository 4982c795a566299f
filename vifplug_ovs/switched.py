# SPDX-License-Identifier: Apache-2.0
"""What every vif_type of the plugin has in common: its VIFs are in Open vSwitch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug.model.host import Host
from vifplug.operations import Operation
from vifplug.plugin import VIFPlugin
from vifplug.switch import Departure
from vifplug_ovs.parts.removal import leaving, removal
from vifplug_ovs.snapshot import Ovs


class Switched(VIFPlugin):
    """A plugin whose VIFs are in Open vSwitch, whichever of its vif_types put them there."""

    switch = "reader"
    snapshot = Ovs

    def leave(self, vif: Departure, host: Host) -> Sequence[Operation]:
        ovs = host.switch(Ovs)
        return leaving(vif.vif_id, vif.interface_id, ovs) if ovs and not ovs.error else ()

    def remove(self, vif: Departure, host: Host) -> Sequence[Operation]:
        ovs = host.switch(Ovs)
        return removal(vif.vif_id, vif.interface_id, ovs) if ovs and not ovs.error else ()
