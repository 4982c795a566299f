# SPDX-License-Identifier: Apache-2.0
"""A plugin's privileged daemon, from its caller's side: started, called, given up, ended.

oslo.privsep does the work; what is added is a bound on every wait, and that a daemon belongs to one
process and one network namespace, finishes what it works on, and is no matter of Ctrl-C.
"""

from __future__ import annotations

import contextlib
import copy
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from typing import IO, Any, NoReturn

from oslo_config import cfg
from oslo_privsep import capabilities, priv_context
from oslo_privsep.comm import Message, PrivsepTimeout, ServerChannel
from oslo_privsep.daemon import (
    Daemon,
    FailedToDropPrivileges,
    PrivsepLogHandler,
    replace_logging,
)
from oslo_privsep.daemon import _ClientChannel as ClientChannel

from vifplug import opts
from vifplug.errors import NO_VIF, DeadlineExceeded, PrivilegeError
from vifplug.look import network_namespace

Reply = dict[str, Any]
"""What became of one VIF: ``changed`` and ``devices``, or an error as its to_dict() has it."""

_GRACE = 1.0
"""Seconds past the deadline in which the daemon may still say that it has undone the call."""

_START = 30.0
"""Seconds that the start of a daemon may take where nobody gave a deadline."""

_STOP = 2.0
"""Seconds that the end of a daemon may take."""

_MEND = "see helper_command in the plugin's _privileged group, and docs/security.md"


class Context(priv_context.PrivContext):
    """The privilege context of one plugin: one daemon, with these capabilities and no others."""

    def __init__(self, module: str, *, needs: Iterable[int] = ()) -> None:
        """``module`` is the plugin's own ``__name__``; ``needs`` is beside CAP_NET_ADMIN."""
        package = module.partition(".")[0]
        self._capabilities = [capabilities.CAP_NET_ADMIN, *needs]
        super().__init__(
            module,
            cfg_section=f"{package}_privileged",
            pypath=f"{module}.context",
            capabilities=self._capabilities,
        )
        opts.register(cfg.CONF)
        self._started: int | None = None
        self._readying = threading.Lock()
        self._process = os.getpid()

    def list_opts(self) -> list[tuple[str, list[Any]]]:
        """Return oslo.privsep's options for this context, for the sample generator."""
        return [(self.cfg_section, copy.deepcopy(priv_context.OPTS))]

    def helper_command(self, sockpath: str) -> list[str]:
        """Return oslo.privsep's command, for root without the sudo that it doesn't need."""
        command: list[str] = super().helper_command(sockpath)
        if self.conf.helper_command or os.geteuid() != 0:
            return command
        main = "from oslo_privsep.daemon import helper_main; helper_main()"
        # What stands before is a service's own way to root (oslo.privsep's init()).
        arguments = command[command.index("privsep-helper") + 1 :]
        return [sys.executable, "-P", "-c", main, *arguments]

    def start(
        self,
        method: priv_context.Method = priv_context.Method.ROOTWRAP,
        deadline: float | None = None,
    ) -> None:
        """Start the daemon. It ignores SIGINT: Ctrl-C in a terminal is the caller's to handle.

        ``deadline`` is absolute CLOCK_MONOTONIC. Raises FailedToDropPrivileges.
        """
        until = time.monotonic() + _START if deadline is None else deadline
        # oslo.privsep keeps them as a default, which a reset of the configuration forgets.
        cfg.CONF.set_default("capabilities", self._capabilities, group=self.cfg_section)
        with _ignoring_interrupts():
            fork = method is priv_context.Method.FORK
            self.channel = (_ForkedChannel if fork else _HelperChannel)(self, until)
        self._started, self._process = network_namespace(), os.getpid()

    def stop(self) -> None:
        """End the daemon; never wait long for one that hangs."""
        channel, self.channel = self.channel, None
        if channel is None:
            return
        with contextlib.suppress(OSError):
            channel.writer.close()
        channel.reader_thread.join(_STOP)
        if not channel.reader_thread.is_alive():  # else it still reads from a daemon that hangs
            channel.writer.writesock.close()
        if isinstance(channel, _ForkedChannel):
            channel.reap()

    def ready(self, deadline: float) -> ClientChannel:
        """Return the way to a daemon that this process started in this network namespace."""
        if self._process != os.getpid():
            self._forget()
        with self._readying:
            elsewhere = self._started != network_namespace()
            if self.channel is not None and (elsewhere or not _alive(self.channel)):
                self.stop()
            if self.channel is None:
                self.start(self._method(), deadline)
            assert self.channel is not None  # noqa: S101 - what start() is for
            return self.channel

    def _forget(self) -> None:
        """Drop what a fork copied: the daemon, and locks that nobody here can free, are others'."""
        self._process = os.getpid()
        self._readying, self.start_lock = threading.Lock(), threading.Lock()
        if self.channel is not None:
            self.channel.writer.writesock.close()
            self.channel = None

    def _method(self) -> priv_context.Method:
        """Root in a process of one thread forks its daemon, a fraction of a second sooner."""
        single = os.geteuid() == 0 and threading.active_count() == 1
        fork = single and not self.conf.helper_command
        return priv_context.Method.FORK if fork else priv_context.Method.ROOTWRAP


class _BoundedChannel(ClientChannel):
    """A way to a daemon which has to answer by a deadline for the first time."""

    def __init__(self, connection: socket.socket, context: Context, deadline: float) -> None:
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


class _HelperChannel(_BoundedChannel):
    """The way to a daemon that the configured helper_command starts, and that connects to us."""

    def __init__(self, context: Context, deadline: float) -> None:
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
            process.wait(_STOP)
        raise


class _ForkedChannel(_BoundedChannel):
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
            ours.close()
            _serve(theirs, context)
        theirs.close()
        super().__init__(ours, context, deadline)

    def reap(self) -> None:
        """Wait for the daemon's end, but not for one that hangs."""
        end = time.monotonic() + _STOP
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(self.pid, os.WNOHANG) == (0, 0) and time.monotonic() < end:
                time.sleep(0.002)


def _serve(connection: socket.socket, context: Context) -> NoReturn:
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
def _ignoring_interrupts() -> Iterator[None]:
    """Have processes that are started meanwhile ignore SIGINT; a thread can't say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _alive(channel: ClientChannel) -> bool:
    # oslo.privsep's reader may die of a reset connection and leave ``running`` true.
    return channel.running and channel.reader_thread.is_alive()


def call(
    context: Context,
    entrypoint: str,
    vifs: list[dict[str, Any]],
    *,
    deadline: float,
    **options: bool,
) -> list[Reply]:
    """Call a plugin's privileged entrypoint for some VIFs; return one reply for each.

    Raises PrivilegeError where the daemon can't be started or ends, DeadlineExceeded with the
    outcome ``unknown`` where it doesn't answer in time.
    """
    first = vifs[0]["id"] if vifs else NO_VIF
    request = {"namespace": network_namespace(), "deadline": deadline, "vifs": vifs, **options}
    try:
        channel = context.ready(deadline)
        name = f"{context.prefix}.{entrypoint}"
        wait = max(deadline - time.monotonic(), 0.0) + _GRACE
        # A daemon that hangs does not even take a large request; its reader minds no time-out.
        channel.writer.writesock.settimeout(wait)
        replies: list[Reply] = channel.remote_call(name, (request,), {}, wait)
    except (PrivsepTimeout, TimeoutError) as error:
        if isinstance(error, TimeoutError):
            context.stop()  # the request went half-way: the rest of the stream is lost
        raise DeadlineExceeded(first, "the privileged daemon", "unknown") from error
    except FailedToDropPrivileges as error:
        raise PrivilegeError("privileged daemon", f"it can't be started: {error}", _MEND) from error
    except OSError as error:
        why = f"it has ended: {error}"
        raise PrivilegeError("privileged daemon", why, _MEND) from error
    return list(replies)
