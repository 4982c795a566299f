# SPDX-License-Identifier: Apache-2.0
"""The driver's own options, section ``[vifplug_nova]`` of nova.conf."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = "vifplug_nova"

OPTS = [
    cfg.ListOpt(
        "leave",
        default=[
            "ovs:direct",
            "ovs:vdpa",
            "ovs:remote-managed",
            "vhostuser",
            "hw_veb",
            "hostdev_physical",
            "802.1qbh",
        ],
        help="What stays Nova's and os-vif's although an installed plugin claims it: a vif_type, "
        "or vif_type:vnic_type. By default what no test has seen through Nova.",
    ),
    cfg.BoolOpt(
        "linux_bridge",
        default=False,
        help="Have nova-compute read ports of vif_type bridge, which Nova 34 refuses already when "
        "it reads the port. Needs vifplug_bridge, and a Neutron that binds such ports.",
    ),
]


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options for oslo.config's sample generator (entry point oslo.config.opts)."""
    return [(GROUP, OPTS)]


def register(conf: Any) -> Any:
    """Register the options with a configuration and return their group's values."""
    conf.register_opts(OPTS, group=GROUP)
    return conf[GROUP]
