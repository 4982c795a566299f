# SPDX-License-Identifier: Apache-2.0
"""Plans carried out: all or nothing for a plug, all that can be for an unplug, then looked at.

This runs inside a plugin's privileged daemon, under its locks, but is itself plain code.
"""

from vifplug.apply.clearing import unmake_unused
from vifplug.apply.means import Means
from vifplug.apply.outcome import Applied, Outcome, words
from vifplug.apply.plugging import Plugging, plug
from vifplug.apply.tidying import tidy, unused_devices
from vifplug.apply.unplugging import clear, unplug, used_by

__all__ = [
    "Applied",
    "Means",
    "Outcome",
    "Plugging",
    "clear",
    "plug",
    "tidy",
    "unmake_unused",
    "unplug",
    "unused_devices",
    "used_by",
    "words",
]
