# SPDX-License-Identifier: Apache-2.0
"""Everything that tells of changes: the kernel, and each switch that can. Nothing is polled."""

from __future__ import annotations

import contextlib
import importlib
import logging
import selectors
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vifplug.errors import VifplugError
from vifplug.kernel.notices import Notices
from vifplug.plugin import VIFPlugin
from vifplug.switch import Watch

LOG = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 1.0
"""Seconds between two tries to hear of a switch that is gone."""

_OPENING = 3.0
"""Seconds that a switch may take until it is watched."""

_QUIET, _LONGEST = 0.01, 0.04
"""Seconds without a change after which those before are looked at; and the longest such wait.

Other programs need some steps for one change, as libvirt does for a tap.
"""

Opener = Callable[..., Watch | None]


@dataclass(kw_only=True)
class Changed:
    """What has changed: names of devices, bridges and ports. ``whole``: anything may have.

    ``made`` are those of new devices. ``since`` is when the first change was heard of, as
    CLOCK_MONOTONIC tells it.
    """

    names: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    whole: bool = False
    since: float = 0.0

    def __bool__(self) -> bool:
        return bool(self.names) or self.whole


@dataclass(kw_only=True)
class _Switch:
    """A switch that is watched; without ``watch`` it is tried again at ``again``."""

    key: str
    module: str
    options: Mapping[str, Any]
    opener: Opener
    watch: Watch | None = None
    again: float = 0.0
    pause: float = _FIRST_PAUSE
    needed: bool = True


class Sources:
    """The kernel and some switches, as one. ``wake`` is a socket that ends a wait."""

    def __init__(self, wake: socket.socket) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake = wake
        self._selector.register(wake, selectors.EVENT_READ)
        self._notices = Notices()
        self._selector.register(self._notices, selectors.EVENT_READ)
        self._switches: dict[str, _Switch] = {}
        self._deaf: set[str] = set()

    def close(self) -> None:
        """Stop listening."""
        for switch in self._switches.values():
            self._drop(switch)
        self._notices.close()
        self._selector.close()

    def learn(self) -> None:
        """Take the devices as they are now for what is known: a whole look follows."""
        self._notices.learn()

    def watch(self, plugins: Iterable[VIFPlugin], *, needed: Iterable[VIFPlugin]) -> None:
        """Hear of the switches of these plugins too; those that are ``needed`` also later."""
        wanted = {plugin.reader() for plugin in needed}
        for plugin in plugins:
            module = plugin.reader()
            if module is None or module in self._switches or module in self._deaf:
                continue
            key = plugin.snapshot.key if plugin.snapshot else module
            opener = self._opener(module)
            if opener is None:
                self._deaf.add(module)
                if module in wanted:
                    LOG.warning("the switch %s does not tell of its changes", key)
                continue
            switch = _Switch(key=key, module=module, options=plugin.options, opener=opener)
            switch.needed = module in wanted
            self._switches[module] = switch
            self._open(switch)

    @staticmethod
    def _opener(module: str) -> Opener | None:
        with contextlib.suppress(Exception):  # its VIFs' own errors tell what is wrong with it
            opener: Opener | None = getattr(importlib.import_module(module), "watch", None)
            return opener
        return None

    @property
    def away(self) -> bool:
        """Whether a switch that VIFs need can't be heard now."""
        return any(switch.needed and switch.watch is None for switch in self._switches.values())

    def wait(self, until: float | None) -> Changed:
        """Wait for changes and return them; or nothing at ``until`` (CLOCK_MONOTONIC), or if woken.

        A switch that is gone is waited for. Once it is there again, anything may have changed.
        """
        changed = Changed()
        while not changed:
            times = [until, *(s.again for s in self._switches.values() if self._is_tried(s))]
            first = min((each for each in times if each is not None), default=None)
            woken = self._gather(changed, first)
            changed.since = time.monotonic()
            if woken:
                return changed
            opened = [self._open(switch) for switch in self._due()]
            changed.whole |= any(opened)
            if until is not None and time.monotonic() >= until:
                break
        last = time.monotonic() + _LONGEST
        while changed and not changed.whole and (now := time.monotonic()) < last:
            before = len(changed.names)
            if self._gather(changed, min(now + _QUIET, last)) or len(changed.names) == before:
                break
        return changed

    @staticmethod
    def _is_tried(switch: _Switch) -> bool:
        return switch.watch is None and switch.needed

    def _due(self) -> list[_Switch]:
        now = time.monotonic()
        return [s for s in self._switches.values() if self._is_tried(s) and s.again <= now]

    def _gather(self, changed: Changed, until: float | None) -> bool:
        """Add what has changed once something comes, at the latest at ``until``; whether woken."""
        wait = None if until is None else max(until - time.monotonic(), 0.0)
        for key, _ in self._selector.select(wait):
            if key.fileobj is self._wake:
                self._wake.recv(4096)
                return True
            if key.fileobj is self._notices:
                names: Iterable[str] | None = self._notices.changed()
                changed.made |= self._notices.made()
            else:
                names = self._heard(key.fileobj)
            if names is None:
                changed.whole = True
            else:
                changed.names.update(names)
        return False

    def _heard(self, source: Any) -> Iterable[str] | None:
        """Return the names that a switch tells of."""
        switch = next(each for each in self._switches.values() if each.watch is source)
        watch: Watch = source
        try:
            return watch.changed()
        except Exception as error:
            self._complain(switch, error)
            self._drop(switch)
            switch.again, switch.pause = time.monotonic(), _FIRST_PAUSE
            return ()

    @staticmethod
    def _complain(switch: _Switch, error: Exception) -> None:
        """Tell once that a switch can't be heard; not where no VIF needs it."""
        if switch.needed:
            why = error if isinstance(error, VifplugError) else f"{type(error).__name__}: {error}"
            LOG.warning("the switch %s can't be watched until it is there again: %s",
                        switch.key, why)  # fmt: skip

    def _drop(self, switch: _Switch) -> None:
        watch, switch.watch = switch.watch, None
        if watch is not None:
            self._selector.unregister(watch)
            with contextlib.suppress(Exception):
                watch.close()

    def _open(self, switch: _Switch) -> bool:
        """Try to hear of a switch; whether it worked."""
        watch = None
        try:
            watch = switch.opener(switch.options, deadline=time.monotonic() + _OPENING)
        except Exception as error:
            if not switch.again:
                self._complain(switch, error)
        if watch is None:
            switch.again = time.monotonic() + switch.pause
            switch.pause = min(2 * switch.pause, _LONGEST_PAUSE)
            return False
        if switch.again:
            LOG.warning("the switch %s is watched again", switch.key)
        switch.watch, switch.pause, switch.again = watch, _FIRST_PAUSE, 0.0
        self._selector.register(watch, selectors.EVENT_READ)
        return True
