# SPDX-License-Identifier: Apache-2.0
"""Reads what VIFs must know of Open vSwitch, and no more: a host may have thousands of ports.

This module is the plugin's ``vifplug.switch.Reader``.
"""

from __future__ import annotations

import grp
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from vifplug.errors import NO_VIF, OVSDBError
from vifplug.model.host import Host
from vifplug.model.vif import VIF
from vifplug_ovs import ovn, passthrough, process
from vifplug_ovs.claims import Claims
from vifplug_ovs.names import OVS, VHOSTUSER, port_names
from vifplug_ovs.ovsdb import pool, queries
from vifplug_ovs.ovsdb.connection import Connection, Lost, Unanswered
from vifplug_ovs.ovsdb.endpoint import Endpoint, Keys
from vifplug_ovs.ovsdb.monitor import Monitor
from vifplug_ovs.ovsdb.queries import Reading, Sought
from vifplug_ovs.snapshot import Ovs

_OURS = (OVS, VHOSTUSER)
_ELSEWHERE = "set [vifplug_ovs] ovsdb_connection"
_SEE_WHY = "see why ovsdb-server does not answer: its log, and systemctl status ovsdb-server"


def read(
    options: Mapping[str, Any], vifs: Sequence[VIF] | None, host: Host, *, deadline: float
) -> Ovs:
    """Return what this host's Open vSwitch has of some VIFs, or with None of all.

    Never raises: the snapshot's ``error`` says why it can't be read. ``deadline`` is absolute
    CLOCK_MONOTONIC. A snapshot that the host has already is returned as it is.
    """
    if (told := host.switch(Ovs)) is not None:
        return told
    endpoint = options["ovsdb_connection"]
    sought = None
    if vifs is not None:
        sought = [_sought(vif, options, host) for vif in vifs]
    elif host.asked is not None:
        sought = [Sought(vif_id=vif_id) for vif_id in host.asked]
    ids = None if sought is None else [vif.vif_id for vif in sought]
    claims = Claims.of(host.claim_files, ids, [vif.interface_id for vif in sought or ()])
    reading = Reading(
        sought=sought, bridges=claims.claimed_rows, interface_ids=claims.interface_ids
    )
    ours = [vif for vif in vifs or () if vif.vif_type in _OURS]
    host.expect(mark for vif in ours for mark in process.marks(vif))
    host.expect(_bridge(vif, options) for vif in ours)
    try:
        with pool.lent(endpoint, deadline=deadline, keys=keys(options)) as connection:
            ovs = queries.read(connection, reading, deadline=deadline, meanwhile=host.read_ahead)
            ovs = claims.on(ovs)
            # No plug asks it, because none waits for it.
            if ovs.ovn and sought is None:
                controller = ovn.ask(ovs.ovn, options["ovn_rundir"], deadline=deadline)
                ovs = replace(ovs, ovn=controller)
            return ovs
    except OVSDBError as error:
        absent = isinstance(error.__cause__, FileNotFoundError)
        ended = isinstance(error.__cause__, FileNotFoundError | ConnectionRefusedError)
        mend = f"start openvswitch-switch, or {_ELSEWHERE}" if ended else _ELSEWHERE
        return Ovs(endpoint=endpoint, error=error.why, absent=absent, mend=mend)
    except PermissionError as error:
        why = f"{error.strerror}: only its owner and group may look, and root"
        return Ovs(endpoint=endpoint, error=why, mend=_admitted(endpoint))
    except (Lost, Unanswered) as error:
        return Ovs(endpoint=endpoint, error=str(error), mend=_SEE_WHY)


def watch(options: Mapping[str, Any], *, deadline: float) -> Monitor:
    """Return what hears of changes of this host's Open vSwitch. Raises OVSDBError."""
    endpoint = options["ovsdb_connection"]
    connection: Connection | None = None
    try:
        connection = Connection(endpoint, deadline=deadline, keys=keys(options), patience=0)
        return Monitor(connection, deadline=deadline)
    except BaseException as error:
        if connection:
            connection.close()
        if isinstance(error, OSError):
            raise OVSDBError(NO_VIF, endpoint, error.strerror or str(error)) from error
        raise


def _admitted(endpoint: str) -> str:
    """Return how a user gets the right to read the database."""
    socket = Path(Endpoint.parse(endpoint).path)
    try:
        group = grp.getgrgid(socket.stat().st_gid).gr_name
    except (OSError, KeyError):
        group = ""  # a folder above is closed too
    if group in ("", "root"):
        return f"run it as root, or give {socket} and its folder a group that this user is in"
    return f"run it as root, or add this user to the group {group}"


def keys(options: Mapping[str, Any]) -> Keys:
    """Return the files of a TLS connection that are configured."""
    return Keys(
        private_key=options["ssl_key_file"],
        certificate=options["ssl_cert_file"],
        ca_certificate=options["ssl_ca_cert_file"],
    )


def _bridge(vif: VIF, options: Mapping[str, Any]) -> str:
    return str(vif.network.bridge or options["integration_bridge"])


def _sought(vif: VIF, options: Mapping[str, Any], host: Host) -> Sought:
    """Return what is to be read for a VIF: for another plugin's, only rows with its mark or ids."""
    if vif.vif_type not in _OURS:
        return Sought(vif_id=vif.id, interface_id=vif.interface_id)
    slot = vif.details.get("pci_slot")
    return Sought(
        vif_id=vif.id,
        interface_id=vif.interface_id,
        bridge=_bridge(vif, options),
        ports=passthrough.ports(vif, host, slot) or port_names(vif, options),
    )
