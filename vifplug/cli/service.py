# SPDX-License-Identifier: Apache-2.0
"""A command as a service of systemd: what it tells the manager, its signals, and its unit.

Source: sd_notify(3), which describes the protocol as stable.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

UNIT = """\
[Unit]
Description=vifplug: {description}
After=network.target openvswitch-switch.service openvswitch.service

[Service]
Type=notify
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# The daemons of a repair end by themselves, once it is done.
KillMode=mixed
Restart=on-failure

[Install]
WantedBy=multi-user.target
"""


def unit(description: str, words: Sequence[str]) -> str:
    """Return a unit file that runs this program with some words."""
    # The service has another working folder. No symbolic link is followed: it may be there to stay.
    absolute = [os.path.abspath(word) if Path(word).exists() else word for word in words]  # noqa: PTH100
    program = os.path.abspath(sys.argv[0])  # noqa: PTH100
    return UNIT.format(description=description, command=_quoted([program, *absolute]))


def _quoted(words: Sequence[str]) -> str:
    # systemd takes % and $ for its own.
    return " ".join(shlex.quote(word).replace("%", "%%").replace("$", "$$") for word in words)


def notify(**state: str) -> None:
    """Tell the service manager of a state, as READY=1, if it asked for that."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    text = "\n".join(f"{name}={value}" for name, value in state.items())
    if address.startswith("@"):  # a socket without a file
        address = f"\0{address[1:]}"
    # A manager that does not listen is no reason to end, or to wait.
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
    ):
        manager.setblocking(False)
        manager.sendto(text.encode(), address)


class Signals:
    """SIGTERM and SIGHUP as flags; ``wake`` is readable once one has come."""

    def __init__(self) -> None:
        self.wake, self._waking = socket.socketpair()
        for end in (self.wake, self._waking):
            end.setblocking(False)
        self.ended = self._reload = False

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Take the signals for the length of a block."""
        before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
        waking = signal.set_wakeup_fd(self._waking.fileno(), warn_on_full_buffer=False)
        for each in before:
            signal.signal(each, self._note)
        try:
            yield
        finally:
            for each, handler in before.items():
                # A second SIGTERM, as to a whole group, must not break off an orderly end.
                signal.signal(each, signal.SIG_IGN if self.ended else handler)
            signal.set_wakeup_fd(waking)
            self.wake.close()
            self._waking.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGTERM:
            self.ended = True
        else:
            self._reload = True

    def reload(self) -> bool:
        """Whether a reload was asked for since this was asked."""
        asked, self._reload = self._reload, False
        if asked:
            notify(
                RELOADING="1",
                MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000),
            )
        return asked
