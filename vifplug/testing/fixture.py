# SPDX-License-Identifier: Apache-2.0
"""What all fixtures of this package have in common."""

from __future__ import annotations

import fixtures


class PlainFixture(fixtures.Fixture):
    """A fixture whose setUp raises what went wrong, not fixtures' MultipleExceptions around it."""

    def setUp(self) -> None:
        """Set up, or undo what was done so far and raise the first error."""
        try:
            super().setUp()
        except fixtures.MultipleExceptions as errors:
            raise errors.args[0][1] from None
