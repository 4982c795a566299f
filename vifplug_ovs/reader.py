# SPDX-License-Identifier: Apache-2.0
"""Reads what VIFs must know of Open vSwitch, and no more: a host may have thousands of ports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from vifplug.errors import OVSDBError
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug_ovs import ovn, passthrough, process
from vifplug_ovs.names import port_names
from vifplug_ovs.ovsdb import pool as kept
from vifplug_ovs.ovsdb.connection import Lost, Unanswered
from vifplug_ovs.ovsdb.endpoint import Keys
from vifplug_ovs.ovsdb.queries import Sought, read
from vifplug_ovs.snapshot import Ovs


def look(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Host:
    """Return the host with what its Open vSwitch has of some VIFs, or with None of all.

    Never raises: where it can't be read, ``host.ovs.error`` says why. ``deadline`` is absolute
    CLOCK_MONOTONIC. What somebody told us of it is left as it is.
    """
    if host.ovs is not None:
        return host
    endpoint = options["ovsdb_connection"]
    sought = None if vifs is None else [_sought(vif, options, host) for vif in vifs]
    host.expect(mark for vif in vifs or () for mark in process.marks(vif))
    try:
        with kept.lent(endpoint, deadline=deadline, keys=keys(options)) as connection:
            found = read(connection, sought, deadline=deadline, meanwhile=host.read_ahead)
            if found.ovn:
                controller = ovn.look(found.ovn, options["ovn_rundir"], deadline=deadline)
                found = replace(found, ovn=controller)
            return replace(host, ovs=found)
    except OVSDBError as error:
        absent = isinstance(error.__cause__, FileNotFoundError)
        return replace(host, ovs=Ovs(endpoint=endpoint, error=error.why, absent=absent))
    except PermissionError as error:
        why = f"{error.strerror}: only its owner and group may look, and root"
        return replace(host, ovs=Ovs(endpoint=endpoint, error=why))
    except (Lost, Unanswered) as error:
        return replace(host, ovs=Ovs(endpoint=endpoint, error=str(error)))


def keys(options: Mapping[str, Any]) -> Keys:
    """Return the files of a TLS connection that are configured."""
    return Keys(
        private_key=options["ssl_key_file"],
        certificate=options["ssl_cert_file"],
        ca_certificate=options["ssl_ca_cert_file"],
    )


def _sought(vif: VIF, options: Mapping[str, Any], host: Host) -> Sought:
    return Sought(
        vif_id=vif.id,
        interface_id=vif.interface_id,
        bridge=vif.network.bridge,
        ports=passthrough.ports(vif, host, vif.details.get("pci_slot")) or port_names(vif, options),
    )
