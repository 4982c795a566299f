# SPDX-License-Identifier: Apache-2.0
"""The daemon: its entrypoints, and nftables as the plugin's switch."""

from __future__ import annotations

from collections.abc import Sequence

from vifplug import privileged
from vifplug.operations import SwitchOperation
from vifplug.switch import Departure, OneByOne
from vifplug_routed.guard import TABLE, WHOLE, Guards, SetGuard, load, nft, removal
from vifplug_routed.plugin import RoutedPlugin


class Nftables(OneByOne[Guards]):
    """The set of taps that are checked, for one call."""

    def read(self, vif_ids: Sequence[str] | None) -> Guards:
        return load(self.deadline)

    def removal(self, vif: Departure, snapshot: Guards) -> Sequence[SetGuard]:
        return removal(vif, snapshot)

    def do(self, operation: SwitchOperation, *, until: float) -> None:
        assert isinstance(operation, SetGuard)  # noqa: S101 - the plugin has no other
        tap = f'guests {{ "{operation.device}" comment "{operation.mark}" }}\n'
        # Added first, because nft does not delete what is gone.
        script = f"{WHOLE}add element {TABLE} {tap}"
        if not operation.on:
            script += f'delete element {TABLE} guests {{ "{operation.device}" }}\n'
        nft("-f", "-", script=script, until=until)

    def close(self) -> None:
        """Between two changes, nothing is open."""


context, plug, unplug = privileged.entrypoints(__name__, RoutedPlugin, switch=Nftables)
