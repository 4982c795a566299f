# SPDX-License-Identifier: Apache-2.0
"""os-vif's side of the bench: plug and unplug VIFs as its reader asks. Run by os-vif's Python.

Reads lines of JSON (``{"call": "plug", "process": ..., "numbers": [...]}``), answers each with the
seconds that every VIF took. A plug ends as ours does, when the port has its ofport; an unplug when
os-vif says so, which waits for ovs-vswitchd as little as ours.
"""

from __future__ import annotations

import json
import socket
import sys
import time
import uuid

import os_vif
from os_vif.objects import instance_info, network, vif
from oslo_config import cfg

INSTANCE = str(uuid.uuid5(uuid.NAMESPACE_DNS, "bench"))


def made(number: int, process: str) -> vif.VIFBase:
    """Return the VIF of a number: hybrid, on a Linux bridge, or a port with a tap made before."""
    vif_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{process}{number}"))
    net = network.Network(id=str(uuid.uuid4()), bridge="br-int", mtu=1450)
    more = {}
    if process == "manual":
        kind, name = vif.VIFOpenVSwitch, f"tap{vif_id}"[:14]
        more = {"create_port": True, "create_tap": True, "multiqueue": False}
    else:
        kind, name = vif.VIFBridge, f"qvo{vif_id}"[:14]
    if process == "bridge":
        net = network.Network(
            id=net.id, bridge="br100", bridge_interface="eth1", mtu=1450,
            should_provide_bridge=True, should_provide_vlan=False,
        )  # fmt: skip
        return kind(
            id=vif_id, address=_address(number), network=net, vif_name=f"tap{vif_id}"[:14],
            bridge_name="br100", has_traffic_filtering=False, plugin="linux_bridge",
        )  # fmt: skip
    profile = vif.VIFPortProfileOpenVSwitch(interface_id=vif_id, datapath_type="netdev", **more)
    return kind(
        id=vif_id,
        address=_address(number),
        network=net,
        vif_name=name,
        bridge_name=f"qbr{vif_id}"[:14] if process == "hybrid" else "br-int",
        port_profile=profile,
        plugin="ovs",
    )


def _address(number: int) -> str:
    return f"fa:16:3e:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"


class Database:
    """A bare connection to OVSDB that waits for a port's number, at next to no cost."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._socket: socket.socket | None = None

    def wait(self, name: str) -> None:
        """Return once an interface has its ofport."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.connect(self._endpoint.removeprefix("unix:"))
        where = [["name", "==", name]]
        wait = {"op": "wait", "table": "Interface", "timeout": 10000, "where": where}
        wait |= {"columns": ["ofport"], "until": "!=", "rows": [{"ofport": ["set", []]}]}
        request = {"id": 0, "method": "transact", "params": ["Open_vSwitch", wait]}
        self._socket.sendall(json.dumps(request).encode())
        answer = json.loads(self._socket.recv(65536))
        if answer["result"] != [{}]:
            sys.exit(f"{name}: {answer}")


def main(configuration: str) -> None:
    """Serve standard input."""
    cfg.CONF([], project="vifplug-bench", default_config_files=[configuration])
    os_vif.initialize()
    database = Database(cfg.CONF.os_vif_ovs.ovsdb_connection)
    info = instance_info.InstanceInfo(uuid=INSTANCE, name="bench")
    for line in sys.stdin:
        asked = json.loads(line)
        vifs = [made(number, asked["process"]) for number in asked["numbers"]]
        each = []
        for one in vifs:
            start = time.perf_counter()
            getattr(os_vif, asked["call"])(one, info)
            if asked["call"] == "plug" and one.plugin == "ovs":
                database.wait(one.vif_name)
            each.append(time.perf_counter() - start)
        print(json.dumps(each), flush=True)


main(*sys.argv[1:])
