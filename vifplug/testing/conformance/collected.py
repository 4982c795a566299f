# SPDX-License-Identifier: Apache-2.0
"""What pytest collects for ``vifplug conformance``: the classes of an installed distribution."""

from __future__ import annotations

from vifplug.testing.conformance.installed import asked_for

globals().update(asked_for())
