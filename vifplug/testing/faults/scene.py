# SPDX-License-Identifier: Apache-2.0
"""The stage of a fault: a VIF on a host of its own, with a daemon, and what must hold of them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from vifplug import VIF, GenericVIFDriver
from vifplug.operations import Operation
from vifplug.plugin import VIFPlugin
from vifplug.privileged import Context
from vifplug.switch import Order
from vifplug.testing.cases import Case
from vifplug.testing.claims import every_claim, without_tokens
from vifplug.testing.configured import context_of
from vifplug.testing.dumps import differences, lasting
from vifplug.testing.faults.saboteur import Saboteur
from vifplug.testing.namespace import NetworkNamespace
from vifplug.testing.realhost import prepare

__all__ = ["Scene", "Subject", "kept", "scene", "scenes"]

SETTLES_WITHIN = 5.0
"""Seconds that a host gets to become what it was: some of it follows in the kernel's own time."""


@dataclass(frozen=True)
class Subject:
    """A VIF, what makes its host real in a namespace, and the plugin whose daemon plugs it.

    ``prepare`` is called in the namespace and returns a driver; what the host needs besides the
    namespace ends with the stack. ``dump`` returns all that a host has. ``order`` puts the VIF's
    operations in the order of its switch, where it has one. ``move``: the VIF is plugged elsewhere
    on that host, and a plug brings it over. ``switch`` returns the switch that runs on the host, as
    the tests of the plugin have it.
    """

    vif: VIF
    prepare: Callable[[NetworkNamespace, contextlib.ExitStack], GenericVIFDriver]
    plugin: type[VIFPlugin]
    dump: Callable[[NetworkNamespace], dict[str, Any]] = NetworkNamespace.everything
    order: Callable[[Sequence[Operation]], Order] = lambda all: Order(before=tuple(all))
    move: bool = False
    switch: Callable[[], Any] = lambda: None

    @classmethod
    def of(cls, case: Case, conf: Config) -> Subject:
        """Return a planning case whose host is devices only; ``conf`` has its plugin's options."""

        def prepared(host: NetworkNamespace, stack: contextlib.ExitStack) -> GenericVIFDriver:
            return prepare(case, conf, host)

        return cls(case.vif, prepared, case.plugin)

    @property
    def context(self) -> Context:
        """The context of the plugin's daemon."""
        return context_of(self.plugin)


@dataclass
class Scene:
    """A subject on a host of its own, with a daemon that is a fork of the test.

    ``before`` is the host as it was at first.
    """

    subject: Subject
    saboteur: Saboteur
    host: NetworkNamespace
    driver: GenericVIFDriver
    before: dict[str, Any]
    after: dict[str, Any] = field(default_factory=dict)
    """The host as it was when the VIF was last seen to have left nothing."""
    timeout: float = 0.1
    """Seconds that a call gets whose step comes too late."""

    @property
    def vif(self) -> VIF:
        """The subject's VIF."""
        return self.subject.vif

    @property
    def switch(self) -> Any:
        """The switch that runs on the host."""
        return self.subject.switch()

    def ip(self, *words: str) -> None:
        """Run ip(8) on the host, as another program would change it."""
        self.host.ip(*words)

    def devices(self, vif: VIF) -> list[str]:
        """Return the devices of a VIF's own that the host has, in the order of its parts."""
        there = {link["ifname"] for link in self.host.ip_json("link")}
        return [name for name in self.driver.plan(None, vif).devices if name in there]

    def call(self, call: str, *, timeout: float | None = None) -> None:
        """Plug, which may move, or unplug the VIF."""
        if call == "plug":
            self.driver.plug(None, self.vif, timeout=timeout, move=self.subject.move)
        else:
            # Of a VIF that moves, the guest runs.
            self.driver.unplug(None, self.vif, timeout=timeout, force=self.subject.move)

    def as_before(self) -> None:
        """Require that the host is what it was, in full."""
        assert lasting(self.before, self.everything, SETTLES_WITHIN) == []

    def everything(self) -> dict[str, Any]:
        """Return all that the host has, and the claims on its devices."""
        return {**without_tokens(self.subject.dump(self.host)), "claims": every_claim()}

    def works(self) -> None:
        """Require that plug converges and unplug leaves nothing, and no other's address went."""
        self.saboteur.rest()
        self.call("plug")
        assert not self.driver.check(None, self.vif)
        self.call("unplug")
        self.leaves_nothing()

    def leaves_nothing(self) -> None:
        """Require that nothing of the VIF is left, and all addresses and routes of the host are."""
        until = time.monotonic() + SETTLES_WITHIN
        while (found := self._left(self.everything())) and time.monotonic() < until:
            time.sleep(0.01)
        assert found == []
        assert self.vif.id not in {one.id for one in self.driver.list()}

    def _left(self, after: dict[str, Any]) -> list[str]:
        """Return what a dump still has of the VIF, and what of the host's addressing differs."""
        self.after = after
        taps = {name for name, link in after["links"].items()
                if link.get("linkinfo", {}).get("info_kind") == "tun"}  # fmt: skip
        found = [name for name in taps if name == self.vif.devname or self.vif.id[:11] in name]
        found += [line for line in differences({}, after) if self.vif.id in line]
        return found + differences(kept(self.before, after), kept(after, self.before))

    def with_another_daemon(self) -> None:
        """Start the daemon anew, on the host that is there."""
        self.saboteur.rest()
        self.subject.context.stop()
        self.subject.context.start(Method.FORK)


def kept(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Return the addresses of the devices that two dumps have, and the routes through them.

    Without the devices' names where an uplink has joined another's bridge, and stays there.
    """
    both = one["addresses"].keys() & other["addresses"].keys()
    moved = any(one["links"][name].get("master") != other["links"][name].get("master")
                for name in both)  # fmt: skip
    addresses: Any = {name: one["addresses"][name] for name in sorted(both)}
    routes = [r for family in one["routes"].values() for r in family]
    routes = [r for r in routes if r.get("dev", "lo") in both]
    if moved:
        pooled = [address for found in addresses.values() for address in found]
        addresses = sorted(str(address | {"label": ""}) for address in pooled)
        routes = sorted(str(route | {"dev": ""}) for route in routes)
    return {"addresses": addresses, "routes": routes}


@contextlib.contextmanager
def scene(subject: Subject, saboteur: Saboteur, host: NetworkNamespace) -> Iterator[Scene]:
    """Make the subject's host real in a namespace that the thread is in, and start its daemon."""
    saboteur.rest()
    with contextlib.ExitStack() as stack:
        driver = subject.prepare(host, stack)
        subject.context.stop()
        subject.context.start(Method.FORK)
        stack.callback(subject.context.stop)
        at = Scene(subject, saboteur, host, driver, {})
        at.before = at.everything()
        yield at


def scenes(subject: Subject, saboteur: Saboteur) -> Generator[Scene, None, None]:
    """Return scenes without end, each with a daemon of its own.

    The host stays the same for as long as it is what it was at first, in full. What a plug and an
    unplug change for good (drift that was repaired) needs a host made anew.
    """
    while True:
        with NetworkNamespace(enter=True) as host, scene(subject, saboteur, host) as at:
            yield at
            while not differences(at.before, at.after):
                at.with_another_daemon()
                yield at
