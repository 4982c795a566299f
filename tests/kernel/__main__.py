# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.kernel COMMAND...``: run a command in the other kernel, for a look around."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.kernel.machine import run_inside


def main() -> int:
    """Run the command, print what it said, and return its status."""
    with tempfile.TemporaryDirectory(prefix="vifplug-kernel.") as folder:
        ended = run_inside(sys.argv[1:], shared=Path(folder), timeout=600)
    sys.stdout.write(ended.output)
    if ended.status is None:
        sys.stderr.write(ended.console)
        return 125
    return ended.status


if __name__ == "__main__":
    sys.exit(main())
