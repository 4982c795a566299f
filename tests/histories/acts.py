# SPDX-License-Identifier: Apache-2.0
"""What happens in a history, made up from a seed: calls, crashes, guests, and others' acts."""

from __future__ import annotations

import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vifplug import VIF
from vifplug.model.mark import derived_name

VIFS = 5
IDS = tuple(str(uuid.uuid5(uuid.NAMESPACE_OID, f"history {n}")) for n in range(VIFS))

WAYS: dict[str, dict[str, Any]] = {
    "bridge": {"vif_type": "bridge",
               "network": {"bridge": "br-a", "should_create_bridge": True}},
    "bridge-vlan": {"vif_type": "bridge",
                    "network": {"bridge": "br-b", "should_create_bridge": True,
                                "should_create_vlan": True, "interface": "eth9", "vlan": 100}},
    "bridge-vlan2": {"vif_type": "bridge",
                     "network": {"bridge": "br-c", "should_create_bridge": True,
                                 "should_create_vlan": True, "interface": "eth9", "vlan": 200}},
    "bridge-uplink": {"vif_type": "bridge",
                      "network": {"bridge": "br-d", "should_create_bridge": True,
                                  "interface": "eth8"}},
    "bridge-free": {"vif_type": "bridge", "network": {"bridge": "brfree"}},
    "tap": {"vif_type": "tap"},
    "macvtap": {"vif_type": "macvtap", "network": {"interface": "eth7"}},
    "manual": {"vif_type": "ovs", "network": {"bridge": "br-int"},
               "details": {"ovs_create_tap": True}},
    "automatic": {"vif_type": "ovs", "network": {"bridge": "br-int"}},
    "hybrid": {"vif_type": "ovs", "network": {"bridge": "br-int"},
               "details": {"ovs_hybrid_plug": True}},
    "manual-two": {"vif_type": "ovs",
                   "network": {"bridge": "br-two", "should_create_bridge": True},
                   "details": {"ovs_create_tap": True}},
    "automatic-two": {"vif_type": "ovs",
                      "network": {"bridge": "br-two", "should_create_bridge": True}},
    "hybrid-two": {"vif_type": "ovs",
                   "network": {"bridge": "br-two", "should_create_bridge": True},
                   "details": {"ovs_hybrid_plug": True}},
}  # fmt: skip
"""How a VIF can be asked for."""

MTUS = (None, 1400, 1450, 1500)
PREFIXES = ("tap", "qbr", "qvb", "qvo")
LINUX_BRIDGES = ("br-a", "br-b", "br-c", "br-d", "brfree")
SWITCH_BRIDGES = ("br-int", "br-two")
TAGS = (7, 4095)

_KILLED = 0.2
_MOST_STEPS = 14

SHARED = ((3, 1024), (5, 128), (7, 8))
"""So many first acts are the same in so many histories in a row: a simulation has them once."""

_MOST_MORE = 3
"""Acts that a history has of its own, at most."""


@dataclass(frozen=True)
class Wish:
    """How a VIF is asked for."""

    way: str
    mtu: int | None

    def vif(self, number: int) -> VIF:
        """Return the VIF of a number, asked for like this."""
        data = dict(WAYS[self.way])
        data["id"], data["address"] = IDS[number], f"fa:16:3e:77:00:{number:02x}"
        if self.mtu:
            data["network"] = {**data.get("network", {}), "mtu": self.mtu}
        return VIF.from_dict(data)


@dataclass(frozen=True)
class Act:
    """One act: its word, the number of its VIF, and what it takes besides.

    ``kill_at``: a daemon of the call is killed before this step.
    """

    word: str
    number: int = 0
    wish: Wish | None = None
    name: str = ""
    value: int = 0
    kill_at: int = -1

    def __str__(self) -> str:
        words = [self.word]
        if self.word not in ("gc", "reboot", "delete bridge"):
            words.append(f"VIF {self.number}")
        if self.wish:
            words.append(f"as {self.wish.way}, MTU {self.wish.mtu or 'none'}")
        words += [self.name] if self.name else []
        words += [str(self.value)] if self.value else []
        words += [f"daemon killed before step {self.kill_at}"] if self.kill_at >= 0 else []
        return " ".join(words)


@dataclass(frozen=True)
class History:
    """One history: its seed and number, how the VIFs are asked for at first, and the acts."""

    seed: str
    number: int
    create_tap: bool
    wishes: tuple[Wish, ...]
    acts: tuple[Act, ...]


def history(seed: str, number: int) -> History:
    """Return the history of a number."""
    first = _chance(seed, number, SHARED[0][1])
    create_tap = first.random() < 0.5
    wishes = tuple(_wish(first) for _ in range(VIFS))
    acts = [_call(first, "plug"), _call(first, "plug")]
    for many, shared in SHARED:
        chance = _chance(seed, number, shared)
        acts += [_act(chance) for _ in range(many - len(acts))]
    rest = _chance(seed, number, 1)
    acts += [_act(rest) for _ in range(rest.randint(1, _MOST_MORE))]
    return History(seed, number, create_tap, wishes, tuple(acts))


def _chance(seed: str, number: int, shared: int) -> random.Random:
    return random.Random(f"{seed} {shared} {number // shared}")


def _wish(chance: random.Random) -> Wish:
    return Wish(chance.choice(tuple(WAYS)), chance.choice(MTUS))


def _call(chance: random.Random, word: str) -> Act:
    killed = chance.random() < _KILLED
    kill_at = chance.randrange(_MOST_STEPS) if killed else -1
    return Act(word, chance.randrange(VIFS), kill_at=kill_at)


def _act(chance: random.Random) -> Act:
    word = chance.choices(tuple(_WEIGHTS), weights=tuple(_WEIGHTS.values()))[0]
    number = chance.randrange(VIFS)
    match word:
        case "plug" | "unplug" | "force":
            return _call(chance, word)
        case "change" | "move":
            call = _call(chance, word)
            return Act(word, call.number, wish=_wish(chance), kill_at=call.kill_at)
        case "gc":
            return Act(word, value=chance.randrange(1 << VIFS))
        case "nomaster" | "mtu" | "rename":
            name = derived_name(chance.choice(PREFIXES), IDS[number])
            return Act(word, number, name=name, value=1400 if word == "mtu" else 0)
        case "tag":
            return Act(word, number, value=chance.choice(TAGS))
        case "delete bridge":
            return Act(word, name=chance.choice((*LINUX_BRIDGES, *SWITCH_BRIDGES)))
        case "reboot":
            return Act(word)
    return Act(word, number)


_WEIGHTS = {
    "plug": 20, "change": 10, "move": 12, "unplug": 12, "force": 6, "gc": 4, "start": 10,
    "stop": 5, "reboot": 2, "nomaster": 4, "mtu": 3, "rename": 2, "delete port": 3, "tag": 3,
    "delete bridge": 4,
}  # fmt: skip


def numbers(kept: int) -> Sequence[str]:
    """Return the ids of the VIFs that a mask of bits names."""
    return [vif_id for position, vif_id in enumerate(IDS) if kept >> position & 1]
