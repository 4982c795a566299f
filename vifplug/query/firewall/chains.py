# SPDX-License-Identifier: Apache-2.0
"""What becomes of a bridge's packets in a chain of firewall rules. Pure.

A rule has conditions. Some can be decided for every packet that crosses one bridge: the name of
the device that a packet comes in by, for example. The others match some packets, we can't say
which.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

ACCEPT, DROP, REJECT, RETURN = "accept", "drop", "reject", "return"
JUMP, GOTO, CONTINUE, UNKNOWN = "jump", "goto", "continue", "unknown"
"""What a rule does. UNKNOWN: we can't tell, so it may drop."""

_MOST_CHAINS = 64
"""Chains that are followed from one hook: a host may have some for each of its guests."""


@dataclass(frozen=True, kw_only=True)
class Packet:
    """What is known of every packet that crosses a bridge, at one hook; None is not known.

    ``family`` is 4, 6 or 0 (a frame in the bridge's own hooks). ``iif`` and ``oif`` are the devices
    by which the packet comes in and goes out, as this hook names them. ``bridged``: the packet
    stays on its bridge, and this hook knows it.
    """

    family: int
    iif: str | None = None
    oif: str | None = None
    iif_index: int | None = None
    oif_index: int | None = None
    bridged: bool | None = True


Condition = Callable[[Packet], bool | None]
"""Whether every packet fulfils it (True), none does (False), or some do (None)."""


def some(packet: Packet) -> bool | None:
    """Return what is said of a condition that we can't decide: some packets fulfil it."""
    return None


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule; ``chain`` is where a jump or goto leads."""

    conditions: tuple[Condition, ...] = ()
    action: str = CONTINUE
    chain: str = ""

    def matches(self, packet: Packet) -> bool | None:
        """Whether every such packet matches, none does, or some do."""
        found = [condition(packet) for condition in self.conditions]
        if False in found:
            return False
        return None if None in found else True


Read = Callable[[str], Iterable[Rule]]
"""Returns the rules of a chain."""


@dataclass(frozen=True, kw_only=True)
class Fate:
    """What becomes of the packets that no rule with further conditions takes.

    ``end`` is DROP, ACCEPT or RETURN (the chain ends, and its policy or its caller decides).
    ``chain`` is the chain that drops. ``unsure`` are chains with a rule that may drop some packets.
    """

    end: str
    chain: str = ""
    unsure: tuple[str, ...] = ()


@dataclass
class Walk:
    """Follows the packets of one bridge through chains."""

    packet: Packet
    read: Read
    _seen: dict[str, Fate] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def through(self, chain: str) -> Fate:
        """Return what becomes of the packets that come to a chain."""
        if chain not in self._seen:
            if chain in self._open or len(self._seen) + len(self._open) >= _MOST_CHAINS:
                return Fate(end=RETURN, unsure=(chain,))
            self._open.append(chain)
            self._seen[chain] = self._followed(chain)
            self._open.remove(chain)
        return self._seen[chain]

    def _followed(self, chain: str) -> Fate:
        unsure: list[str] = []

        def ends(end: str, where: str = "") -> Fate:
            return Fate(end=end, chain=where, unsure=tuple(dict.fromkeys(unsure)))

        for rule in self.read(chain):
            matches = rule.matches(self.packet)
            if matches is False or rule.action == CONTINUE:
                continue
            if rule.action in (DROP, REJECT):
                if matches:
                    return ends(DROP, chain)
                unsure.append(chain)
            elif rule.action == UNKNOWN:
                unsure.append(chain)
            elif rule.action in (ACCEPT, RETURN):
                if matches:
                    return ends(rule.action)
            else:
                there = self.through(rule.chain)
                unsure += there.unsure
                if matches and there.end != RETURN:
                    return ends(there.end, there.chain)
                if there.end == DROP:
                    unsure.append(there.chain)
                if matches and rule.action == GOTO:
                    return ends(RETURN)
        return ends(RETURN)


def named(wanted: str, *, prefix: bool, outgoing: bool, negated: bool) -> Condition:
    """Return the condition that a packet's device has a name, or one that begins so."""

    def condition(packet: Packet) -> bool | None:
        name = packet.oif if outgoing else packet.iif
        if name is None:
            # Each name begins with nothing.
            return (not negated) if prefix and not wanted else None
        return (name.startswith(wanted) if prefix else name == wanted) is not negated

    return condition


def numbered(wanted: int, *, outgoing: bool, negated: bool) -> Condition:
    """Return the condition that a packet's device has an index."""

    def condition(packet: Packet) -> bool | None:
        index = packet.oif_index if outgoing else packet.iif_index
        return None if index is None else (index == wanted) is not negated

    return condition


def of_family(family: int, *, negated: bool) -> Condition:
    """Return the condition that a packet is of a family of addresses."""

    def condition(packet: Packet) -> bool | None:
        return (packet.family == family) is not negated if packet.family else None

    return condition


def bridged(*, negated: bool) -> Condition:
    """Return the condition that a packet stays on its bridge, as far as this hook can tell."""
    return lambda packet: None if packet.bridged is None else packet.bridged is not negated
