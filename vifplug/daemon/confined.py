# SPDX-License-Identifier: Apache-2.0
"""A daemon's own process: it can't become more than it is, and a bad call hurts only its caller.

oslo.privsep drops the capabilities. We add the rest: no program that the daemon starts gets more,
no file or signal of its caller reaches it, and a caller can call ``plug`` and ``unplug`` only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oslo_privsep.comm import Deserializer, Message, ServerChannel
from oslo_privsep.daemon import Daemon, FailedToDropPrivileges, PrivsepLogHandler, replace_logging

from vifplug.errors import shown

if TYPE_CHECKING:
    from vifplug.daemon.context import Context

LOG = logging.getLogger(__name__)

_SET_DUMPABLE, _BOUNDING_READ, _BOUNDING_DROP, _NO_NEW_PRIVILEGES = 4, 23, 24, 38
_libc = ctypes.CDLL(None, use_errno=True)


class ConfinedDaemon(Daemon):
    """oslo.privsep's daemon with limits that hold for it and for every program that it starts."""

    context: Context

    def __init__(self, channel: ServerChannel, context: Context) -> None:
        connection = _above_stdio(channel.writer.writesock)
        if connection is not channel.writer.writesock:
            channel.writer.writesock = connection
            channel.reader_iter = iter(Deserializer(connection))
        super().__init__(channel, context)
        self.connection = connection
        self._calls = {f"{context.prefix}.{name}" for name in ("plug", "unplug")}
        # The configuration may take a capability away. It can't add one.
        self.caps &= set(context.needs)
        logging.getLogger().handlers.clear()  # oslo.privsep's next line leaves every second one
        replace_logging(_LogHandler(channel, processName=str(context)))

    def run(self) -> None:
        """Set the limits; serve requests until the caller closes the channel."""
        os.chdir("/")
        os.umask(0o077)
        with contextlib.suppress(PermissionError):  # it leads a session already
            os.setsid()  # a terminal's signals stop neither it nor the locks that it holds
        _reset_signals()
        _let_go_of_files(self.connection.fileno())
        threading.excepthook, sys.excepthook = _log_thread, _log_error
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        _cut_bounding_set(self.caps)
        _prctl(_NO_NEW_PRIVILEGES, 1)
        self._drop_privs()
        # Last, because a change of the user resets it. No core dump, and no look into its memory.
        _prctl(_SET_DUMPABLE, 0)
        self.context.confined = True
        self.loop()

    def loop(self) -> None:
        """Serve requests. What is no request ends the daemon, with a line in its caller's log."""
        try:
            super().loop()
        except Exception as error:
            words = f"{type(error).__name__}: {error}"[:200]
            LOG.error("the privileged daemon ends, as it can't read a request: %s", words)

    def _process_cmd(self, msgid: str, cmd: Message, *args: Any) -> tuple[Any, ...]:
        # Before oslo.privsep looks: it imports the module that a caller names, and so runs it.
        name = args[0] if args else None
        if cmd == Message.CALL and not (isinstance(name, str) and name in self._calls):
            words = f"refused: {shown(name)}; allowed: {', '.join(sorted(self._calls))}"
            return Message.ERR.value, "builtins.NameError", (words,), ""
        try:
            return super()._process_cmd(msgid, cmd, *args)
        except BaseException as error:  # SystemExit too: it would end the thread, and then the next
            words = f"{type(error).__name__}: {error}"[:200]
            LOG.error("the privileged daemon goes on after %s", words)
            return Message.ERR.value, "builtins.RuntimeError", (words,), ""


class _LogHandler(PrivsepLogHandler):
    """Sends log lines to the caller; one that has gone away gets none, and breaks no call."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)


def _above_stdio(connection: socket.socket) -> socket.socket:
    """Return a socket as a descriptor above 2: a caller may have closed its 0 to 2."""
    if connection.fileno() > 2:
        return connection
    return socket.socket(fileno=fcntl.fcntl(connection.fileno(), fcntl.F_DUPFD_CLOEXEC, 3))


def _let_go_of_files(channel: int) -> None:
    """Let each descriptor but the channel's lead to /dev/null.

    None is closed: objects that a fork has copied from its caller would later close the number,
    which may be another file's by then.
    """
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for name in [path.name for path in Path("/proc/self/fd").iterdir()]:
        if int(name) not in (channel, null):
            with contextlib.suppress(OSError):  # the listing's own
                os.fstat(int(name))
                os.dup2(null, int(name), inheritable=int(name) < 3)
    for standard in range(3):
        os.dup2(null, standard)
    if null > 2:
        os.close(null)
    else:  # the caller had closed this one
        os.set_inheritable(null, True)


def _reset_signals() -> None:
    """Forget the handlers of a caller. A program would inherit what the caller ignores."""
    signal.set_wakeup_fd(-1)
    ignored = {signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ}
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        with contextlib.suppress(OSError, ValueError):
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _cut_bounding_set(keep: Container[int]) -> None:
    """Take each capability but some out of the bounding set, where the process may do so."""
    number = 0
    while (held := _libc.prctl(_BOUNDING_READ, ctypes.c_ulong(number), 0, 0, 0)) >= 0:
        if held and number not in keep and _libc.prctl(_BOUNDING_DROP, number, 0, 0, 0) < 0:
            # Without CAP_SETPCAP. No program gets more all the same: no new privileges.
            LOG.info("the bounding set stays: %s", os.strerror(ctypes.get_errno()))
            return
        number += 1


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) < 0:
        why = os.strerror(ctypes.get_errno())
        raise FailedToDropPrivileges(f"prctl({option}, {value}): {why}")


def _log_thread(error: threading.ExceptHookArgs) -> None:
    LOG.error("a thread of the privileged daemon has ended: %s", error.exc_value)


def _log_error(_: object, error: BaseException, trace: object) -> None:
    LOG.error("the privileged daemon has ended: %s", error)
