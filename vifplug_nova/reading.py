# SPDX-License-Identifier: Apache-2.0
"""Nova's VIF, instance and flavor as a vifplug VIF, with the guest's side that Nova chose."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from oslo_serialization import jsonutils

from vifplug import VIF, Interface
from vifplug.guest.interface import GuestSide
from vifplug.sources import nova

_PARAVIRTUAL = ("bridge", "ethernet", "direct")
"""The interfaces whose guest's side is model, driver and rings; others have their own."""


def vif_of(vif: Any, instance: Any, *, flavor: Any = None, guest: Any = None) -> VIF:
    """Return the VIF of an entry of Nova's network model. Raises InvalidVIF.

    ``guest`` is what Nova's get_base_config() says of model, driver and queues; what the port's
    profile says of these goes before it.
    """
    specs = (flavor.get("extra_specs") if flavor else None) or {}
    found = nova.vif_of(
        {
            # As Nova keeps it in its database; its own classes can't even be compared with None.
            "vif": json.loads(jsonutils.dumps(vif)),
            "instance": {"uuid": instance.uuid, "name": instance.name},
            "flavor": {"extra_specs": dict(specs)},
        }
    )
    if guest is None:
        return found
    return dataclasses.replace(
        found,
        model=found.model or guest.model,
        driver=found.driver or guest.driver_name,
        queues=found.queues or guest.vhost_queues,
    )


def with_guest(interface: Interface, vif: VIF, guest: Any) -> Interface:
    """Return an interface with what Nova chose for the guest and a VIF has no field for."""
    if interface.type == "direct":
        # Nova gives a macvtap no name of its own; agents look for libvirt's, macvtapN.
        interface = dataclasses.replace(interface, target=None)
    side = interface.guest
    if interface.type not in _PARAVIRTUAL:
        return interface
    if vif.model is None:
        # Nova leaves the model to libvirt: [libvirt] use_virtio_for_bridges is off.
        side = GuestSide(inbound=side.inbound, outbound=side.outbound)
    elif side.model == "virtio":  # libvirt refuses packed rings of others
        ring = str(guest.vhost_rx_queue_size) if guest.vhost_rx_queue_size else None
        ring = ring if side.driver else None
        side = dataclasses.replace(side, packed=bool(guest.driver_packed), rx_queue_size=ring)
    return dataclasses.replace(interface, guest=side)
