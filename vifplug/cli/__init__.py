# SPDX-License-Identifier: Apache-2.0
"""The command line, ``vifplug``: one command a file, each loaded when it is asked for.

Exit status: 0 done; 1 at least one VIF failed on the host; 2 bad usage or an invalid VIF, and
nothing was touched; 3 ``check`` found drift. Errors are one line each on standard error.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

DONE, FAILED, REFUSED, DRIFT = 0, 1, 2, 3
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vifplug`` with arguments (the process' own by default); return its exit status."""
    _repair_streams()
    from vifplug.cli.app import App

    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = App().run(arguments)
        sys.stdout.flush()
    except OSError as error:
        return give_up_output(error)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:
        print("vifplug: interrupted", file=sys.stderr)
    return status


def give_up_output(error: OSError) -> int:
    """Say that standard output took nothing more, unless its reader has gone; return FAILED."""
    if not isinstance(error, BrokenPipeError):
        print(f"vifplug: standard output: {error.strerror}", file=sys.stderr)
    # Python would complain once more at the very end.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return FAILED


def _repair_streams() -> None:
    """Have three standard streams that can be used, whatever the caller closed.

    What takes the place of a closed one fails when it is used, but for standard error; and no
    socket gets its number.
    """
    modes = (("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_RDWR))
    for number, (name, mode) in enumerate(modes):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free
            stream = open(number, "w" if number else "r", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
