# SPDX-License-Identifier: Apache-2.0
"""The plugin's own options, section ``[vifplug_bridge]``."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "vifplug_bridge"

OPTS = [
    cfg.BoolOpt(
        "create_tap",
        default=False,
        help="Make the tap before the guest starts, instead of letting libvirt make it.",
    ),
    cfg.BoolOpt(
        "remove_unused",
        default=False,
        help="On unplug, remove a bridge or VLAN device that vifplug made once nothing uses it; "
        "the bridge's uplink gets its addresses and routes back.",
    ),
    cfg.StrOpt(
        "filter_name",
        default="nova-instance-{instance}-{mac}",
        help="libvirt's nwfilter of a VIF where a firewall is required. {instance} is the "
        "instance's name, {mac} the VIF's address without colons, {id} its id.",
    ),
    cfg.BoolOpt(
        "filter_parameters",
        default=False,
        help="Give the filter its parameters (IP, DHCPSERVER, RASERVER, PROJNET, PROJMASK, "
        "PROJNET6, PROJMASK6) in the interface's XML.",
    ),
    cfg.BoolOpt("use_ipv6", default=False, help="Give the filter its IPv6 parameters too."),
]
