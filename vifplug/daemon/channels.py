# SPDX-License-Identifier: Apache-2.0
"""The ways to a privileged daemon: started by a helper, or forked. Every wait has a time limit."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import IO, NoReturn

from oslo_privsep.comm import Message, ServerChannel
from oslo_privsep.daemon import Daemon, FailedToDropPrivileges, PrivsepLogHandler, replace_logging
from oslo_privsep.daemon import _ClientChannel as ClientChannel
from oslo_privsep.priv_context import PrivContext

STOP = 2.0
"""Seconds that the end of a daemon may take."""


class _BoundedChannel(ClientChannel):
    """A way to a daemon which has to answer by a deadline for the first time."""

    def __init__(self, connection: socket.socket, context: PrivContext, deadline: float) -> None:
        self._deadline = deadline
        super().__init__(connection, context)

    def exchange_ping(self) -> None:
        """Ask whether the daemon is ready. Raises FailedToDropPrivileges."""
        left = max(self._deadline - time.monotonic(), 0.0)
        try:
            answer = self.send_recv((Message.PING.value,), left)[0]
        except OSError as error:
            raise FailedToDropPrivileges(f"it ended before it was ready: {error}") from error
        if answer != Message.PONG:
            raise FailedToDropPrivileges("it was not ready in time")


class HelperChannel(_BoundedChannel):
    """The way to a daemon that the configured helper_command starts, and that connects to us."""

    def __init__(self, context: PrivContext, deadline: float) -> None:
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as said:
            path = f"{folder}/privsep.sock"
            with socket.socket(socket.AF_UNIX) as listening:
                listening.bind(path)
                listening.listen(1)
                command = context.helper_command(path)
                try:
                    connection = _connected(listening, command, said, deadline)
                except OSError as error:
                    said.seek(0)
                    words = " ".join(said.read(400).decode(errors="replace").split())
                    why = f"{command[0]}: {error}" + (f": {words}" if words else "")
                    raise FailedToDropPrivileges(why) from error
        super().__init__(connection, context, deadline)


def _connected(
    listening: socket.socket, command: list[str], said: IO[bytes], deadline: float
) -> socket.socket:
    """Run a helper; return its daemon's connection. Raises OSError, at the deadline at the latest.

    The helper connects, forks the daemon and ends.
    """
    connection = None
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=said)  # noqa: S603
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
                raise OSError("started no daemon in time")
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

    def __init__(self, context: PrivContext, deadline: float) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _serve(theirs, context)
        theirs.close()
        super().__init__(ours, context, deadline)

    def reap(self) -> None:
        """Wait for the daemon's end, but not for one that hangs."""
        end = time.monotonic() + STOP
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.monotonic() < end:
                time.sleep(0.002)


def _serve(connection: socket.socket, context: PrivContext) -> NoReturn:
    try:
        channel = ServerChannel(connection)
        replace_logging(PrivsepLogHandler(channel, processName=str(context)))
        daemon = Daemon(channel, context)
        try:
            daemon.run()
        finally:
            daemon.thread_pool.shutdown(wait=True)
            connection.close()
            for thread in threading.enumerate():  # one may still wait to undo what comes late
                if thread is not threading.current_thread() and not thread.daemon:
                    thread.join()
    finally:
        os._exit(0)


@contextlib.contextmanager
def ignoring_interrupts() -> Iterator[None]:
    """Have processes that are started meanwhile ignore SIGINT; a thread can't say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def alive(channel: ClientChannel) -> bool:
    """Whether the daemon at the other end of a channel has not ended."""
    # oslo.privsep's reader may die of a reset connection and leave ``running`` true.
    return channel.running and channel.reader_thread.is_alive()
