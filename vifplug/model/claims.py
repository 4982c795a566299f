# SPDX-License-Identifier: Apache-2.0
"""The claims that files hold, as whoever knows a token may read them."""

from __future__ import annotations

from typing import Protocol

from vifplug.model.mark import Mark


class ClaimFiles(Protocol):
    """Reads the claims on the bridges of switches. It changes none."""

    def tokens(self, switch: str) -> tuple[str, ...]:
        """Return the tokens of a switch's bridges that have a folder."""

    def on(self, token: str) -> tuple[Mark, ...]:
        """Return the claims under a token."""

    def by(self, token: str, vif_id: str) -> tuple[Mark, ...]:
        """Return the claims of one VIF under a token."""

    def is_unread(self, vif_id: str) -> bool:
        """Whether a claim of a VIF could not be read so far."""


class NoClaimFiles:
    """There are no such files, as on a host that is described."""

    def tokens(self, switch: str) -> tuple[str, ...]:
        """Return none."""
        return ()

    def on(self, token: str) -> tuple[Mark, ...]:
        """Return none."""
        return ()

    def by(self, token: str, vif_id: str) -> tuple[Mark, ...]:
        """Return none."""
        return ()

    def is_unread(self, vif_id: str) -> bool:
        """Return False."""
        return False
