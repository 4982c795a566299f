# SPDX-License-Identifier: Apache-2.0
"""The command line, ``vifplug``: one command a file, each loaded when it is asked for.

Exit status: 0 done; 1 at least one VIF failed on the host; 2 bad usage or an invalid VIF, and
nothing was touched; 3 ``check`` found drift. Errors are one line each on standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

DONE, FAILED, REFUSED, DRIFT = 0, 1, 2, 3
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vifplug`` with arguments (the process' own by default); return its exit status."""
    from vifplug.cli.app import App

    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = App().run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read our output has gone; Python would complain once more at the very end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return FAILED
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:
        print("vifplug: interrupted", file=sys.stderr)
    return status
