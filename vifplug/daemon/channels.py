# SPDX-License-Identifier: Apache-2.0
"""The ways to a privileged daemon: started by a helper, or forked. Every wait has a time limit."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO, TYPE_CHECKING, Any, NoReturn

from oslo_privsep.comm import Deserializer, Message, ServerChannel
from oslo_privsep.daemon import FailedToDropPrivileges
from oslo_privsep.daemon import _ClientChannel as ClientChannel

from vifplug.daemon.confined import ConfinedDaemon
from vifplug.daemon.folder import socket_path

if TYPE_CHECKING:
    from vifplug.daemon.context import Context

STOP = 2.0
"""Seconds that the end of a daemon may take."""

_TERMINALS = (signal.SIGINT, signal.SIGHUP)


class NotInTime(FailedToDropPrivileges):
    """A daemon was not ready by the deadline."""


class _BoundedChannel(ClientChannel):
    """A way to a daemon which has to answer by a deadline for the first time."""

    def __init__(self, connection: socket.socket, context: Context, deadline: float) -> None:
        self._deadline = deadline
        super().__init__(connection, context)

    def _reader_main(self, reader: Deserializer) -> None:
        """Read replies until the daemon ends, and tell the calls that wait, however it ends."""
        # oslo.privsep's own tells them of an end of file only: a killed daemon resets the socket.
        try:
            super()._reader_main(reader)
        except Exception as error:
            with contextlib.suppress(OSError):  # so that no further call is sent
                self.writer.writesock.shutdown(socket.SHUT_RDWR)
            with self.lock:
                for waiting in self.outstanding_msgs.values():
                    waiting.set_exception(OSError(str(error)))
                self.running = False

    def out_of_band(self, message: Any) -> None:
        """Log a line of the daemon's under its own name: oslo.privsep's is that of a library."""
        if message[0] != Message.LOG:
            super().out_of_band(message)
            return
        record = logging.makeLogRecord(message[1])
        logger = logging.getLogger(record.name)
        if logger.isEnabledFor(record.levelno):
            logger.handle(record)

    def exchange_ping(self) -> None:
        """Ask whether the daemon is ready. Raises FailedToDropPrivileges."""
        left = max(self._deadline - time.monotonic(), 0.0)
        try:
            answer = self.send_recv((Message.PING.value,), left)[0]
        except OSError as error:
            raise FailedToDropPrivileges(f"it ended before it was ready: {error}") from error
        if answer != Message.PONG:
            raise NotInTime("it was not ready in time")


class HelperChannel(_BoundedChannel):
    """The way to a daemon that the configured helper_command starts, and that connects to us."""

    def __init__(self, context: Context, deadline: float) -> None:
        with contextlib.ExitStack() as stack:
            try:
                path = stack.enter_context(socket_path())
                said = stack.enter_context(tempfile.TemporaryFile())
                listening = stack.enter_context(socket.socket(socket.AF_UNIX))
                listening.bind(path)
                listening.listen(1)
            except OSError as error:
                raise FailedToDropPrivileges(f"no socket for it: {error}") from error
            command = context.helper_command(path)
            try:
                connection = _connected(listening, command, said, deadline)
            except OSError as error:
                kind = NotInTime if isinstance(error, TimeoutError) else FailedToDropPrivileges
                raise kind(f"{command[0]}: {error}{_words(said)}") from error
        super().__init__(connection, context, deadline)


def _words(said: IO[bytes]) -> str:
    """Return what a helper has said, as the end of a message; of a traceback the last line."""
    said.seek(0, os.SEEK_END)
    said.seek(max(said.tell() - 4096, 0))
    lines = [line for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    trace = any(line.startswith(("Traceback ", "Error in sys.excepthook")) for line in lines)
    words = " ".join(" ".join(lines[-1:] if trace else lines).split())
    return f": {words[:400]}" if words else ""


def _connected(
    listening: socket.socket, command: list[str], said: IO[bytes], deadline: float
) -> socket.socket:
    """Run a helper; return its daemon's connection. Raises OSError, at the deadline at the latest.

    The helper connects, forks the daemon and ends.
    """
    connection = None
    null = subprocess.DEVNULL
    process = subprocess.Popen(command, stdin=null, stdout=null, stderr=said)  # noqa: S603
    try:
        while True:
            status = process.poll()
            if connection is None:
                listening.settimeout(0.02)
                with contextlib.suppress(TimeoutError):
                    connection, _ = listening.accept()
            elif status == 0:
                connection.settimeout(None)
                return connection
            else:
                time.sleep(0.002)
            if status or (status == 0 and connection is None):
                raise OSError(f"ended with status {status} and started no daemon")
            if time.monotonic() > deadline:
                raise TimeoutError("started no daemon in time")
    except BaseException:
        if connection is not None:
            connection.close()
        with contextlib.suppress(PermissionError):  # sudo's is root's
            process.kill()
            process.wait(STOP)
        raise


class ForkedChannel(_BoundedChannel):
    """The way to a daemon that is this process' own fork.

    Unlike oslo.privsep's, it ends only after the calls it works on are done or undone, also when
    its caller goes away in the middle of one.
    """

    def __init__(self, context: Context, deadline: float) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _serve(theirs, context)
        theirs.close()
        super().__init__(ours, context, deadline)

    def reap(self) -> None:
        """Wait for the daemon's end, but not for one that hangs."""
        end = time.monotonic() + STOP
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.monotonic() < end:
                time.sleep(0.002)


def _serve(connection: socket.socket, context: Context) -> NoReturn:
    try:
        daemon = ConfinedDaemon(ServerChannel(connection), context)
        try:
            daemon.run()
        finally:
            daemon.thread_pool.shutdown(wait=True)
            daemon.connection.close()
            for thread in threading.enumerate():  # one may still wait to undo what comes late
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()
    finally:
        os._exit(0)


@contextlib.contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Have processes that are started meanwhile ignore a terminal's Ctrl-C and end.

    sudo may run a helper on a terminal of its own, which ends with the helper and not the daemon.
    A thread can't say so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _TERMINALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def alive(channel: ClientChannel) -> bool:
    """Whether the daemon at the other end of a channel has not ended."""
    # oslo.privsep's reader may die of a reset connection and leave ``running`` true.
    return channel.running and channel.reader_thread.is_alive()
