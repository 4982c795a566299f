# SPDX-License-Identifier: Apache-2.0
"""Whether this host may have an Open vSwitch: it costs next to nothing to tell that it has none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vifplug_ovs import opts
from vifplug_ovs.ovsdb.endpoint import Endpoint


class OvsPresence:
    """The plugin's ``vifplug.switch.Presence``."""

    group = opts.GROUP
    opts = opts.OPTS

    @staticmethod
    def present(options: Mapping[str, Any]) -> bool:
        """Whether the database's socket is there; a database elsewhere may always be."""
        endpoint = Endpoint.parse(options["ovsdb_connection"])
        if endpoint.kind != "unix":
            return True
        try:
            return Path(endpoint.path).exists()
        except OSError:  # who may not look does not know
            return True
