# SPDX-License-Identifier: Apache-2.0
"""Ports of vif_type bridge, at which Nova 34 stops already when it reads them from Neutron."""

from __future__ import annotations

import functools
import logging
from typing import Any

from nova.network import model, neutron

from vifplug.sources.binding import quantum_bridge

LOG = logging.getLogger(__name__)

_READ = "_nw_info_build_network"


def read_bridges() -> None:
    """Have this process read a port of vif_type bridge as Nova 33 did: brq, to be created.

    Only where this Nova refuses it. Said in the log, once.
    """
    read = getattr(neutron.API, _READ)
    if getattr(read, "reads_bridges", False):
        return

    @functools.wraps(read)
    def reading_bridges(
        self: Any, context: Any, port: Any, networks: Any, subnets: Any
    ) -> tuple[Any, Any]:
        if port.get("binding:vif_type") != model.VIF_TYPE_BRIDGE:
            found: tuple[Any, Any] = read(self, context, port, networks, subnets)
            return found
        # A type of whose network Nova makes nothing by itself.
        as_another = {**port, "binding:vif_type": model.VIF_TYPE_TAP}
        network, interface_id = read(self, context, as_another, networks, subnets)
        details = port.get("binding:vif_details") or {}
        named = details.get(model.VIF_DETAILS_BRIDGE_NAME)
        cut = named[: model.NIC_NAME_LEN] if named else quantum_bridge(port["network_id"])
        network["bridge"] = cut
        network["should_create_bridge"] = True
        return network, interface_id

    reading_bridges.reads_bridges = True  # type: ignore[attr-defined]
    setattr(neutron.API, _READ, reading_bridges)
    LOG.info("nova-compute reads ports of vif_type bridge, as configured")
