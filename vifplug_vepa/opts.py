# SPDX-License-Identifier: Apache-2.0
"""The plugin's own options, section ``[vifplug_vepa]``."""

from __future__ import annotations

from oslo_config import cfg

GROUP = "vifplug_vepa"

OPTS = [
    cfg.StrOpt(
        "lldpad_pid_file",
        default="/run/lldpad.pid",
        help="Where lldpad writes its process id. libvirt looks for it in /run/lldpad.pid, "
        "whatever this says.",
    ),
    cfg.BoolOpt(
        "remove_unused",
        default=False,
        help="On unplug, remove a VLAN device that vifplug made, and set a device down that it "
        "brought up, once nothing uses it.",
    ),
]
