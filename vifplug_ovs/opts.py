# SPDX-License-Identifier: Apache-2.0
"""The plugin's own options, section ``[vifplug_ovs]``."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg, types

from vifplug.fields import DEVICE
from vifplug.guest.nwfilter import FILTER_OPTS
from vifplug_ovs.names import CHOOSE, DATAPATHS, PROCESSES, QOS_TYPES, SOCKET
from vifplug_ovs.ovsdb.endpoint import ALLOWED, Endpoint

GROUP = "vifplug_ovs"


class _EndpointType(types.String):
    """An endpoint, refused when the configuration is read."""

    def __call__(self, value: Any) -> str:
        return Endpoint.parse(super().__call__(value)).text


class _PathType(types.String):
    """A folder for sockets, refused when the configuration is read."""

    def __call__(self, value: Any) -> str:
        text = super().__call__(value).rstrip("/")
        if not SOCKET.pattern.fullmatch(text):
            raise ValueError(f"{text!r} is no folder for sockets; allowed: {SOCKET.allowed}")
        return text


OPTS = [
    cfg.Opt(
        "ovsdb_connection",
        type=_EndpointType(),
        default="unix:/run/openvswitch/db.sock",
        help=f"Where Open vSwitch's database listens: {ALLOWED}.",
    ),
    cfg.StrOpt("ssl_key_file", help="Our private key, for an ssl: connection."),
    cfg.StrOpt("ssl_cert_file", help="Our certificate, for an ssl: connection."),
    cfg.StrOpt("ssl_ca_cert_file", help="The CA that we trust on an ssl: connection."),
    cfg.StrOpt(
        "process",
        default=CHOOSE,
        choices=[CHOOSE, *PROCESSES],
        help="How VIFs are connected. To choose: hybrid where this host must apply a firewall, "
        "else automatic with a libvirt that can, else manual. A VIF that is plugged keeps its "
        "own until it is unplugged.",
    ),
    cfg.StrOpt(
        "integration_bridge",
        default="br-int",
        regex=f"^{DEVICE.pattern.pattern}$",
        help="The bridge of a VIF from Neutron or Nova that names none, and of the legacy "
        "drivers' VIFs.",
    ),
    cfg.StrOpt(
        "datapath_type",
        default="system",
        choices=list(DATAPATHS.words),
        help="That of a bridge which is made because should_create_bridge asks for it.",
    ),
    cfg.BoolOpt(
        "isolate",
        default=False,
        help="Make ports in the dead VLAN (tag 4095), from which Neutron's Open vSwitch agent "
        "takes them once it has wired them. This is for VIFs that do not tell by their "
        "bound_drivers who wires the port: the agent's are isolated, and OVN's are not. On the "
        "bridge of this host's OVN, such a VIF is not isolated either. A port that is there is "
        "left alone, and one of a trunk's bridge is never isolated.",
    ),
    cfg.BoolOpt(
        "per_port_bridge",
        default=False,
        help="Give a VIF whose port is made beforehand a bridge of its own, with a patch to the "
        "integration bridge: then OVN has its flows there before the guest comes.",
    ),
    cfg.StrOpt(
        "ovn_rundir",
        default="/run/ovn",
        help="Where ovn-controller has its socket, by which doctor asks it how it is.",
    ),
    cfg.Opt(
        "vhostuser_dir",
        type=_PathType(),
        default="/var/run/openvswitch",
        help="Where the sockets of vhost-user VIFs lie; others are refused.",
    ),
    cfg.BoolOpt(
        "remove_unused",
        default=False,
        help="Where a VIF moves to Open vSwitch, remove a Linux bridge or VLAN device that vifplug "
        "made once nothing uses it; the bridge's uplink gets its addresses and routes back.",
    ),
    cfg.StrOpt(
        "qos_type",
        default="linux-noop",
        choices=list(QOS_TYPES.words),
        help="The QoS row of our ports on a system datapath; linux-noop keeps the kernel's own "
        "queueing discipline from slowing them. Empty for none.",
    ),
    *FILTER_OPTS,
]
