# SPDX-License-Identifier: Apache-2.0
"""A plugin's privileged daemon, from its caller's side: started, given up, ended.

oslo.privsep does the work. We add four things: every wait has a time limit; a daemon serves one
process in one network namespace; it finishes the running call even after Ctrl-C; and it is a
ConfinedDaemon, whoever starts it.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from oslo_config import cfg
from oslo_privsep import capabilities, daemon, priv_context
from oslo_privsep.daemon import FailedToDropPrivileges
from oslo_privsep.daemon import _ClientChannel as ClientChannel

from vifplug import opts
from vifplug.daemon import frames
from vifplug.daemon.channels import STOP, ForkedChannel, HelperChannel, alive, ignoring_interrupts
from vifplug.daemon.confined import ConfinedDaemon
from vifplug.kernel.namespace import network_namespace

_START = 30.0
"""Seconds that the start of a daemon may take where nobody gave a deadline."""

MEND = "see helper_command in the plugin's _privileged group, and docs/security.md"


class Context(priv_context.PrivContext):
    """The privilege context of one plugin: one daemon, with these capabilities and no others."""

    def __init__(
        self,
        module: str,
        *,
        needs: Iterable[int] = (),
        own: Iterable[tuple[str, Sequence[Any]]] = (),
    ) -> None:
        """``module`` is the plugin's own ``__name__``; ``needs`` is beside CAP_NET_ADMIN.

        ``own`` are the plugin's own options by group, for :meth:`list_opts`.
        """
        package = module.partition(".")[0]
        self.needs = (capabilities.CAP_NET_ADMIN, *needs)
        self.confined = False
        self._own = [(group, [*options]) for group, options in own if options]
        # oslo.privsep's helper registers the option, imports this, and makes its Daemon by name.
        if "privsep_context" in cfg.CONF:
            daemon.Daemon = ConfinedDaemon  # type: ignore[misc,assignment]
        super().__init__(
            module,
            cfg_section=f"{package}_privileged",
            pypath=f"{module}.context",
            capabilities=self.needs,
        )
        opts.register(cfg.CONF)
        self._started: int | None = None
        self._readying = threading.Lock()
        self._process = os.getpid()

    def list_opts(self) -> list[tuple[str, list[Any]]]:
        """Return the plugin's own options, and oslo.privsep's, for the sample generator."""
        return [*self._own, (self.cfg_section, copy.deepcopy(priv_context.OPTS))]

    def set_client_mode(self, enabled: bool) -> None:
        """Note which side this is. Where it is the daemon's, have it read calls within bounds.

        oslo.privsep says so to a daemon that is ready. Raises FailedToDropPrivileges.
        """
        if not enabled and not self.confined:
            raise FailedToDropPrivileges(f"{self} is served by a ConfinedDaemon only")
        super().set_client_mode(enabled)
        if not enabled:
            for channel in frames.channels():
                frames.bound(channel)

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
        cfg.CONF.set_default("capabilities", list(self.needs), group=self.cfg_section)
        with ignoring_interrupts():
            fork = method is priv_context.Method.FORK
            self.channel = (ForkedChannel if fork else HelperChannel)(self, until)
        self._started, self._process = network_namespace(), os.getpid()

    def stop(self) -> None:
        """End the daemon; never wait long for one that hangs."""
        channel, self.channel = self.channel, None
        if channel is None:
            return
        with contextlib.suppress(OSError):
            channel.writer.close()
        channel.reader_thread.join(STOP)
        if not channel.reader_thread.is_alive():  # else it still reads from a daemon that hangs
            channel.writer.writesock.close()
        if isinstance(channel, ForkedChannel):
            channel.reap()

    def ready(self, deadline: float) -> ClientChannel:
        """Return the way to a daemon that this process started in this network namespace."""
        if self._process != os.getpid():
            self._forget()
        with self._readying:
            elsewhere = self._started != network_namespace()
            if self.channel is not None and (elsewhere or not alive(self.channel)):
                self.stop()
            if self.channel is None:
                self.start(self._method(), deadline)
            assert self.channel is not None  # noqa: S101 - what start() is for
            return self.channel

    def _forget(self) -> None:
        """After a fork, forget the parent's daemon, and replace locks that a thread may hold."""
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
