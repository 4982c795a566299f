# SPDX-License-Identifier: Apache-2.0
"""Inside the other kernel there is none further in."""

from __future__ import annotations

from tests.kernel.inside import is_one

collect_ignore = ["test_other_kernel.py"] if is_one() else []
