# SPDX-License-Identifier: Apache-2.0
"""The command line, ``vifplug``: one command a file, each loaded when it is asked for.

Exit status: 0 done; 1 at least one VIF failed on the host; 2 bad usage or an invalid VIF, and
nothing was touched; 3 ``check`` found drift. Errors are one line each on standard error.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import FrameType, ModuleType
from typing import Any

from vifplug.cli import streams

DONE, FAILED, REFUSED, DRIFT = 0, 1, 2, 3
INTERRUPTED = 130


class _Ended(BaseException):
    """SIGTERM or SIGHUP: what is open is closed on the way out, as with SIGINT."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vifplug`` with arguments (the process' own by default); return its exit status."""
    streams.repair()
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup's stays ignored
                signal.signal(number, _end)
        status = _run([*(sys.argv[1:] if argv is None else argv)])
    except streams.OutputLost as lost:
        streams.drop_output()
        if lost.told:
            print(f"vifplug: standard output: {lost}", file=sys.stderr)
        status = FAILED
    except KeyboardInterrupt:
        status = INTERRUPTED
    except _Ended as ended:
        streams.drop_output()
        print(f"vifplug: {signal.strsignal(ended.number)}", file=sys.stderr)
        os.kill(os.getpid(), ended.number)  # so that the parent sees what ended it
        return 128 + ended.number
    if status == INTERRUPTED:
        streams.drop_output()
        print("vifplug: interrupted", file=sys.stderr)
    return status


def _run(arguments: list[str]) -> int:
    _load_configuration()
    from vifplug.cli.app import App

    try:
        status = App().run(arguments)
    except SystemExit as end:  # argparse's, for --help, --version and bad usage
        status = end.code if isinstance(end.code, int) else DONE
    sys.stdout.flush()
    return status


class _Later(ModuleType):
    """Stands for a module in the one that imports it, which is loaded when it is first used."""

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(self.__name__) is self:
            del sys.modules[self.__name__]
        return getattr(import_module(self.__name__), name)


def _load_configuration() -> None:
    """Load oslo.config without what it needs for types of options that we have not.

    That takes a tenth of a command's time. Only oslo.config meets what stands for it.
    """
    later = [_Later(name) for name in ("netaddr", "rfc3986") if name not in sys.modules]
    sys.modules.update({each.__name__: each for each in later})
    try:
        import_module("oslo_config.types")
    finally:
        for each in later:
            if sys.modules.get(each.__name__) is each:
                del sys.modules[each.__name__]


def _end(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_DFL)  # another one ends it at once
    raise _Ended(number)
