# SPDX-License-Identifier: Apache-2.0
"""The plugin's own options, section ``[vifplug_bridge]``."""

from __future__ import annotations

from oslo_config import cfg

from vifplug.guest.nwfilter import FILTER_OPTS

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
        help="On unplug, and when a VIF moves, remove a bridge or VLAN device that vifplug made "
        "once nothing uses it; the bridge's uplink gets its addresses and routes back.",
    ),
    *FILTER_OPTS,
]
