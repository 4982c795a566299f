# SPDX-License-Identifier: Apache-2.0
"""Plans carried out: all or nothing for a plug, all that can be for an unplug, then looked at.

This runs inside a plugin's privileged daemon, under its locks, but is itself plain code.
"""

from vifplug.apply.job import Applied, Departure, Job, Outcome
from vifplug.apply.means import Database, Means, Refused
from vifplug.apply.plugging import plug
from vifplug.apply.unplugging import unplug, used_by

__all__ = [
    "Applied",
    "Database",
    "Departure",
    "Job",
    "Means",
    "Outcome",
    "Refused",
    "plug",
    "unplug",
    "used_by",
]
