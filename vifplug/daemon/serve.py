# SPDX-License-Identifier: Apache-2.0
"""What a daemon does with a request: it checks it, takes the locks, applies, and answers."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from oslo_config import cfg

from vifplug import apply, opts
from vifplug.daemon import intake, locks
from vifplug.daemon.request import Reply, Request
from vifplug.errors import NO_VIF, DeadlineExceeded, PlugFailed, VifplugError
from vifplug.kernel import namespace
from vifplug.kernel.claims import ClaimsFolder
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.notes import NotesFolder
from vifplug.kernel.perform import Kernel
from vifplug.model.mark import CLAIMS, SharedMark
from vifplug.model.note import note_of, noted
from vifplug.model.snapshot import Snapshot
from vifplug.parts.part import Part, build
from vifplug.plan.place import Lookup
from vifplug.plan.shape import require_used
from vifplug.query import firewall
from vifplug.switch import Departure, Switch, Wanted

LOG = logging.getLogger(__name__)

_GROUP = 256
"""VIFs that are changed in a switch together: the daemon holds the locks of all of them."""

Open = Callable[[float], Switch]
"""Opens a plugin's switch for one call, until a deadline."""

Read = Callable[[float], Iterable[Snapshot]]
"""Reads what a plugin's parts must know besides devices and its switch, until a deadline."""

Require = Callable[[Part], None]
"""Raises ValueError for a part that the daemon's own configuration does not allow."""

T = TypeVar("T")


def plug(
    data: Mapping[str, Any],
    *,
    kinds: Iterable[type[Part]],
    switch: Open | None = None,
    snapshots: Read | None = None,
    require: Require | None = None,
    remove_unused: bool = False,
) -> list[dict[str, Any]]:
    """Plug the VIFs of a request; one that fails hurts no other. See ``vifplug.privileged``."""
    known = tuple(kinds)
    derived = Lookup.of(known, ())
    dropping = _Firewall()
    notes: dict[str, str] = {}

    def one(request: Request, position: int) -> apply.Plugging:
        vif = request.plug(position)
        if vif.note and (note := note_of(noted(vif.note, vif.vif_id))):
            notes[vif.vif_id] = note
        parts = tuple(build(part, known) for part in vif.parts)
        require_used(parts)
        if require:
            for part in parts:
                require(part)
        wanted = Wanted(owner=vif.owner, parts=parts, interface_id=vif.interface_id, move=vif.move)
        # Its own names as well, because a caller may keep some to itself.
        names = (*vif.elsewhere, *derived.names(vif.vif_id))
        return apply.Plugging(wanted=wanted, elsewhere=names)

    def several(vifs: Sequence[apply.Plugging], call: _Call) -> Sequence[apply.Outcome]:
        ids = [vif.vif_id for vif in vifs]
        shared = {name for vif in vifs for part in vif.wanted.parts for name in part.shared}
        bridges = {p.title for vif in vifs for p in vif.wanted.parts if p.crosses_bridge}
        look = partial(dropping.look, bridges)
        means = replace(call.means, meanwhile=look if bridges else None)
        moving = [vif.vif_id for vif in vifs if vif.wanted.move]
        leaves = apply.used_by(moving, means, remove_unused=True)
        while True:
            shared |= leaves
            with call.locked(locks.several(ids, shared), ids[0]):
                leaves = apply.used_by(moving, means, remove_unused=True)
                if leaves <= shared:
                    outcomes = apply.plug(vifs, means)
                    if moving and remove_unused:
                        outcomes = apply.unmake_unused(vifs, outcomes, leaves, means)
                    _note(ids, outcomes, notes)
                    break
        changed = any(isinstance(o, apply.Applied) and o.changed for o in outcomes)
        if changed and time.monotonic() < means.deadline:
            look()
        return outcomes

    replies = _each(data, one, several, known, switch, snapshots, "plug")
    if dropping.chains and replies:
        # The caller may not look at a firewall; it warns of what we found.
        replies[0] = replace(replies[0], dropping=tuple(dropping.chains))
    return [reply.to_dict() for reply in replies]


@dataclass
class _Firewall:
    """The chains of this host that drop what crosses the bridges of a request's VIFs."""

    chains: dict[str, None] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    def look(self, bridges: Iterable[str]) -> None:
        """Look at the firewall for those bridges for which that was not done yet."""
        new = sorted(set(bridges) - self._seen)
        self._seen.update(new)
        if new:
            self.chains |= dict.fromkeys(firewall.look(new).dropping)


def unplug(
    data: Mapping[str, Any],
    *,
    kinds: Iterable[type[Part]],
    switch: Open | None = None,
    remove_unused: bool = False,
) -> list[dict[str, Any]]:
    """Unplug the VIFs of a request; one that fails hurts no other. See ``vifplug.privileged``."""

    def one(request: Request, position: int) -> Departure:
        vif = request.unplug(position)
        return Departure(
            vif_id=vif.vif_id,
            interface_id=vif.interface_id,
            force=vif.force,
            unused=vif.unused,
        )

    def several(vifs: Sequence[Departure], call: _Call) -> Sequence[apply.Outcome]:
        ids = [vif.vif_id for vif in vifs]
        look = partial(apply.used_by, ids, call.means, remove_unused=remove_unused)
        with call.locked(locks.several(ids), ids[0]):
            # Only under its lock may a claim go, or a shared part be found unused.
            shared = look()
            while True:
                with call.held(locks.several((), shared), ids[0]):
                    now = look() if shared else shared
                    if now <= shared:
                        outcomes = apply.unplug(vifs, call.means, remove_unused=remove_unused)
                        _note(ids, outcomes, {})
                        break
                shared = now  # another plug has joined an uplink meanwhile
            return _tidied(vifs, _cleared(outcomes, call, ids[0]), call)

    replies = _each(data, one, several, tuple(kinds), switch, None, "unplug")
    return [reply.to_dict() for reply in replies]


def _note(ids: Sequence[str], outcomes: Sequence[apply.Outcome], notes: Mapping[str, str]) -> None:
    """Write the notes of VIFs that are plugged, or remove those of VIFs that are gone.

    A note that can't be written hurts no VIF: it only describes.
    """
    folder = NotesFolder(_lock_path())
    for vif_id, outcome in zip(ids, outcomes, strict=True):
        if not isinstance(outcome, apply.Applied):
            continue
        try:
            if vif_id in notes:
                folder.put(vif_id, notes[vif_id])
            else:
                folder.remove(vif_id)
        except OSError as error:
            LOG.warning("note %s: %s", folder.title(vif_id), apply.words(error))


def _cleared(
    outcomes: Sequence[apply.Outcome], call: _Call, vif_id: str
) -> Sequence[apply.Outcome]:
    """Remove marks that lead nowhere; the first VIF's outcome tells that the host has changed."""
    cleared = False
    for mark in tuple(call.means.lost):
        of = SharedMark.parse(mark.altname)
        with call.held(locks.several((), [mark.device, *([of.of] if of else [])]), vif_id):
            cleared = apply.clear(mark, call.means) or cleared
    first = outcomes[0]
    if not cleared or not isinstance(first, apply.Applied):
        return outcomes
    return [replace(first, changed=True), *outcomes[1:]]


def _tidied(
    vifs: Sequence[Departure], outcomes: Sequence[apply.Outcome], call: _Call
) -> Sequence[apply.Outcome]:
    """Un-make unused devices where a VIF's request asks for it; its outcome tells them."""
    found = list(outcomes)
    for position, vif in enumerate(vifs):
        before = outcomes[position]
        if not vif.unused or not isinstance(before, apply.Applied):
            continue
        devices = apply.unused_devices(call.means)
        while devices:
            with call.held(locks.several((), devices), vif.vif_id):
                now = apply.unused_devices(call.means)
                if now <= devices:
                    found[position] = _both(before, apply.tidy(vif.vif_id, call.means))
                    break
            devices = now  # another plug has joined an uplink meanwhile
    return found


def _both(before: apply.Applied, after: apply.Outcome) -> apply.Outcome:
    if not isinstance(after, apply.Applied):
        return after
    removed = dict.fromkeys((*before.removed, *after.removed))
    return replace(before, changed=before.changed or after.changed, removed=tuple(removed))


@dataclass
class _Call:
    """One call: what it is carried out with, and the locks that it holds."""

    means: apply.Means

    def held(self, names: tuple[str, ...], vif_id: str) -> contextlib.AbstractContextManager[None]:
        """Hold locks for the length of a block."""
        return locks.held(
            namespace.folder(_lock_path()), names, vif_id=vif_id, deadline=self.means.deadline
        )

    @contextlib.contextmanager
    def locked(self, names: tuple[str, ...], vif_id: str) -> Iterator[None]:
        """Hold locks; beyond the block where the switch has not answered everything yet."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.held(names, vif_id))
            yield
            switch = self.means.switch
            if switch and switch.lingering:
                threading.Thread(target=_linger, args=(switch, stack.pop_all())).start()


def _close(switch: Switch | None) -> None:
    """End a switch that answers nothing more. What goes wrong changes nothing of what was done."""
    try:
        if switch and not switch.lingering:
            switch.close()
    except Exception as error:
        LOG.warning("a switch can't be closed: %s", apply.words(error))


def _linger(switch: Switch, held: contextlib.ExitStack) -> None:
    """Hold the VIF's locks until a late transaction has been undone."""
    with held:
        switch.linger()
        switch.close()


def _each(
    data: Mapping[str, Any],
    one: Callable[[Request, int], T],
    several: Callable[[Sequence[T], _Call], Sequence[apply.Outcome]],
    kinds: Sequence[type[Part]],
    open_switch: Open | None,
    snapshots: Read | None,
    word: str,
) -> list[Reply]:
    """Carry out a request: each VIF by itself, or some together where there is a switch."""
    request = intake.checked(data)
    replies: list[Reply | None] = [None] * len(request.vifs)
    known = intake.known(request, one, word, replies)
    size = _GROUP if open_switch else 1
    groups = [known[start : start + size] for start in range(0, len(known), size)]
    try:
        netlink = Netlink()
    except OSError as error:  # too many files are open, say
        for position, _ in known:
            replies[position] = _reply(error, request.vif_id(position))
        return [reply for reply in replies if reply is not None]
    with netlink:
        kernel = Kernel(netlink, ClaimsFolder(_lock_path()))
        void: set[str] = set()

        def carried_out(vifs: Sequence[T]) -> Sequence[apply.Outcome]:
            switch = open_switch(request.deadline) if open_switch else None
            if switch:
                switch.claim_files = kernel.claims
            means = apply.Means(
                kernel=kernel,
                deadline=request.deadline,
                kinds=kinds,
                switch=switch,
                snapshots=tuple(snapshots(request.deadline)) if snapshots else (),
                allowed=opts.allowed(cfg.CONF[opts.GROUP]),
            )
            try:
                return several(vifs, _Call(means))
            finally:
                void.update(_void(switch, kernel.claims))
                _close(switch)

        for number, group in enumerate(groups):
            vifs = [vif for _, vif in group]
            late = number and time.monotonic() > request.deadline
            outcomes = _too_late(vifs) if late else _outcomes(vifs, carried_out)
            for (position, _), outcome in zip(group, outcomes, strict=True):
                vif_id = request.vif_id(position)
                replies[position] = reply = _reply(outcome, vif_id)
                _log(word, vif_id, request.vifs[position], reply)
        kernel.let_go()
        _sweep(kernel, void)
    return [reply for reply in replies if reply is not None]


def _outcomes(
    group: Sequence[T], carried_out: Callable[[Sequence[T]], Sequence[apply.Outcome]]
) -> Sequence[apply.Outcome | Exception]:
    try:
        return carried_out(group)
    except Exception as error:
        return [error] * len(group)


def _too_late(group: Sequence[T]) -> Sequence[Exception]:
    """Return the errors of VIFs that are not begun, because the deadline has passed."""
    return [DeadlineExceeded(NO_VIF, "the first step", "failed")] * len(group)


def _reply(outcome: apply.Outcome | Exception, vif_id: str) -> Reply:
    if isinstance(outcome, VifplugError):
        return Reply(error=outcome.about(vif_id))
    if isinstance(outcome, Exception):
        return Reply(error=PlugFailed(vif_id, "reading the host", apply.words(outcome)))
    return Reply(
        changed=outcome.changed,
        devices=outcome.devices,
        made=outcome.made,
        removed=outcome.removed,
    )


def _log(word: str, vif_id: str, vif: Mapping[str, Any], reply: Reply) -> None:
    """Log what became of a VIF. oslo.privsep hands the line to the caller's log."""
    way = " ".join(str(vif[key]) for key in ("vif_type", "process") if vif.get(key))
    about = ", ".join(
        each for each in (way, f"guest {vif['guest']}" if "guest" in vif else "") if each
    )
    title = vif_id + (f" ({about})" if about else "")
    if reply.error is not None:
        LOG.info("%s VIF %s: %s", word, title, reply.error)
    else:
        change = "changed" if reply.changed else "unchanged"
        LOG.info("%s VIF %s: %s: %s", word, title, change, ", ".join(reply.devices) or "no device")


def _void(switch: Switch | None, claims: ClaimsFolder) -> Iterable[str]:
    """Return the tokens of a switch's bridges that are gone."""
    try:
        return switch.void(claims.tokens("")) if switch else ()
    except Exception as error:
        LOG.warning("a switch can't tell which bridges are gone: %s", apply.words(error))
        return ()


def _sweep(kernel: Kernel, void: Iterable[str]) -> None:
    """Remove the claims on devices that are gone, and those under some ``void`` tokens.

    A folder without a claim goes too: a daemon that was killed has left it. If some of them stay,
    that hurts nothing.
    """
    with contextlib.suppress(OSError, VifplugError):
        if _unused(kernel) or void:
            with kernel.claims.locked():
                # Asked again: under the lock no claim is half made.
                kernel.claims.sweep({*_unused(kernel), *void})


def _unused(kernel: Kernel) -> set[str]:
    """Return the tokens that no device bears, and those of switches' bridges without a claim."""
    claims = kernel.claims
    tokens = claims.tokens()
    borne = kernel.netlink.bearing([CLAIMS + token for token in tokens])
    unborne = set(tokens) - {name.removeprefix(CLAIMS) for name in borne}
    return unborne | {token for token in claims.tokens("") if claims.is_empty(token)}


def _lock_path() -> str:
    return str(cfg.CONF[opts.GROUP].lock_path)
