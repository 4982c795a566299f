# SPDX-License-Identifier: Apache-2.0
"""The privileged side: what a plugin's entrypoints do with a request, inside its daemon.

A plugin's own ``privileged`` module is a few lines: a :class:`Context` named for the module, and
the entrypoints ``plug`` and ``unplug`` that hand their request to the functions below. msgpack
carries plain types only, so a part travels as a dict, and is built and checked again here: this
side trusts nobody.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

from oslo_config import cfg

from vifplug import apply, fields, opts
from vifplug.daemon import locks
from vifplug.daemon.context import Context, Reply
from vifplug.errors import NO_VIF, PlugFailed, PrivilegeError, VifplugError
from vifplug.kernel.namespace import network_namespace
from vifplug.kernel.netlink import Netlink
from vifplug.model.host import Host
from vifplug.model.mark import Owner
from vifplug.parts import Bridge, FilterBridge, Part, build
from vifplug.query import firewall as forwarding

__all__ = ["Connected", "Context", "Reply", "plug", "unplug"]

_LONGEST = 24 * 3600.0
"""Seconds ahead that a deadline may lie: a caller's mistake must not hold a lock for ever."""

_BRIDGES = (Bridge, FilterBridge)
"""The parts by which a VIF's packets cross a Linux bridge, where a firewall may see them."""

_REQUEST = "call it through vifplug"
_PROCESS = fields.Text(r"[a-z]{0,16}", "a process' name")


def plug(
    request: Mapping[str, Any],
    *,
    kinds: Iterable[type[Part]],
    database: Callable[[float], Connected] | None = None,
    facts: Facts | None = None,
) -> list[Reply]:
    """Plug the VIFs of a request; one that fails hurts no other.

    ``kinds`` are the parts that the plugin may ask for. ``database`` opens its switch's database
    for a call until a deadline; then all VIFs' ports go in together. ``facts`` adds to the host
    what the plugin's parts must know of it besides, also until a deadline.
    """
    known = tuple(kinds)
    firewall = _Firewall()

    def one(vif: Mapping[str, Any]) -> apply.Job:
        return apply.Job(owner=_owner(vif), parts=[build(part, known) for part in vif["parts"]])

    def several(jobs: Sequence[apply.Job], call: _Call) -> Sequence[apply.Outcome]:
        vifs = [job.owner.vif_id for job in jobs]
        shared = {name for job in jobs for part in job.parts for name in part.shared}
        bridged = any(isinstance(part, _BRIDGES) for job in jobs for part in job.parts)
        means = replace(call.means, meanwhile=firewall.look if bridged else None)
        with call.locked(locks.several(vifs, shared), vifs[0]):
            outcomes = apply.plug(jobs, means)
        if bridged and any(isinstance(o, apply.Applied) and o.changed for o in outcomes):
            firewall.look()
        return outcomes

    replies = _each(request, one, several, database, facts)
    if firewall.found:
        # The caller may not look at a firewall; it warns of what we found.
        replies[0]["dropping"] = firewall.found
    return replies


@dataclass
class _Firewall:
    """The chains of this host that drop bridged packets, looked at once a request if at all."""

    found: list[str] | None = None

    def look(self) -> None:
        """Look at it, where that was not done yet; who may not look finds nothing."""
        if self.found is None:
            self.found = []
            with contextlib.suppress(OSError):
                self.found = forwarding.dropping()


def unplug(
    request: Mapping[str, Any], *, database: Callable[[float], Connected] | None = None
) -> list[Reply]:
    """Unplug the VIFs of a request; one that fails hurts no other."""
    remove_unused = request.get("remove_unused") is True

    def one(vif: Mapping[str, Any]) -> apply.Departure:
        vif_id = fields.UUID.check(vif["id"], lenient=False)
        known = vif.get("interface_id")
        interface_id = fields.UUID.check(known, lenient=False) if known is not None else None
        return apply.Departure(vif_id=vif_id, interface_id=interface_id)

    def several(vifs: Sequence[apply.Departure], call: _Call) -> Sequence[apply.Outcome]:
        vif_ids = [vif.vif_id for vif in vifs]

        def look() -> set[str]:
            found = (apply.used_by(vif_id, netlink=call.means.netlink) for vif_id in vif_ids)
            return {name for names in found for name in names} if remove_unused else set()

        with call.locked(locks.several(vif_ids), vif_ids[0]):
            # Only under its lock may a shared part be found unused and go.
            shared = look()
            while True:
                with call.held(locks.several((), shared), vif_ids[0]):
                    now = look()
                    if now <= shared:
                        return apply.unplug(vifs, call.means, remove_unused=remove_unused)
                shared = now  # another plug has joined an uplink meanwhile

    return _each(request, one, several, database)


class Facts(Protocol):
    """Adds to a host what a plugin's parts must know of it."""

    def __call__(self, host: Host, *, until: float) -> Host:
        """Return the host with it; ``until`` is absolute CLOCK_MONOTONIC."""


class Connected(apply.Database, Protocol):
    """A switch's database that is open for one call."""

    def close(self) -> None:
        """End the connection, once nothing is asked of it any more."""

    @property
    def lingering(self) -> bool:
        """Whether something that was asked, and its undo, are not answered yet."""

    def linger(self) -> None:
        """Wait, for a bounded time, until all is answered."""


@dataclass
class _Call:
    """One call: what it is carried out with, and the locks that it holds."""

    means: apply.Means
    connected: Connected | None

    def held(self, names: tuple[str, ...], vif_id: str) -> contextlib.AbstractContextManager[None]:
        """Hold locks for the length of a block."""
        return locks.held(_folder(), names, vif_id=vif_id, deadline=self.means.deadline)

    @contextlib.contextmanager
    def locked(self, names: tuple[str, ...], vif_id: str) -> Iterator[None]:
        """Hold locks; beyond the block where the database has not answered all yet."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.held(names, vif_id))
            yield
            if self.connected and self.connected.lingering:
                held, database = stack.pop_all(), self.connected
                threading.Thread(target=_linger, args=(database, held)).start()


def _linger(database: Connected, held: contextlib.ExitStack) -> None:
    """Keep a VIF to ourselves until what was done too late for it is undone."""
    with held:
        database.linger()
        database.close()


T = TypeVar("T")


def _each(
    request: Mapping[str, Any],
    one: Callable[[Mapping[str, Any]], T],
    several: Callable[[Sequence[T], _Call], Sequence[apply.Outcome]],
    database: Callable[[float], Connected] | None,
    facts: Facts | None = None,
) -> list[Reply]:
    """Carry out a request: each VIF by itself, or all together where there is a database."""
    try:
        deadline, vifs = float(request["deadline"]), [dict(vif) for vif in request["vifs"]]
        elsewhere = request["namespace"] != network_namespace()
    except (KeyError, TypeError, ValueError) as error:
        raise PrivilegeError("privileged daemon", f"refused: {error!r}", _REQUEST) from None
    if not deadline <= time.monotonic() + _LONGEST:
        raise PrivilegeError("privileged daemon", f"refused: deadline {deadline}", _REQUEST)
    if elsewhere:
        why = "the daemon is in another network namespace than its caller"
        raise PrivilegeError("privileged daemon", why, "start it from where the VIFs are")
    replies: list[Reply | None] = [None] * len(vifs)
    known: list[tuple[int, T]] = []
    for position, vif in enumerate(vifs):
        try:
            known.append((position, one(vif)))
        except (fields.NotAllowed, KeyError, TypeError, ValueError) as error:
            refused = PlugFailed(NO_VIF, "reading the request", f"refused: {error}")
            replies[position] = refused.to_dict()
    with Netlink() as netlink:
        for group in [known] if database and known else [[each] for each in known]:
            connected = database(deadline) if database else None
            means = apply.Means(
                netlink=netlink,
                deadline=deadline,
                database=connected,
                facts=partial(facts, until=deadline) if facts else None,
            )
            call = _Call(means, connected)
            outcomes = _outcomes([vif for _, vif in group], several, call)
            if connected and not connected.lingering:
                connected.close()
            for (position, _), outcome in zip(group, outcomes, strict=True):
                replies[position] = _reply(outcome, str(vifs[position].get("id")))
    return [reply for reply in replies if reply is not None]


def _outcomes(
    group: Sequence[T],
    several: Callable[[Sequence[T], _Call], Sequence[apply.Outcome]],
    call: _Call,
) -> Sequence[apply.Outcome | OSError]:
    try:
        return several(group, call)
    except (VifplugError, OSError) as error:
        return [error] * len(group)


def _reply(outcome: apply.Outcome | OSError, vif_id: str) -> Reply:
    if isinstance(outcome, VifplugError):
        return outcome.about(vif_id).to_dict()
    if isinstance(outcome, OSError):
        return PlugFailed(vif_id, "reading the host", str(outcome)).to_dict()
    return {"changed": outcome.changed, "devices": list(outcome.devices)}


def _owner(vif: Mapping[str, Any]) -> Owner:
    return Owner(
        vif_id=fields.UUID.check(vif["id"], lenient=False),
        vif_type=fields.WORD.check(vif["vif_type"], lenient=False),
        process=_PROCESS.check(vif["process"], lenient=False),
    )


def _folder() -> Path:
    return locks.folder(cfg.CONF[opts.GROUP].lock_path)
