# SPDX-License-Identifier: Apache-2.0
"""A history as it happens on a machine, and what must hold after each act.

Nothing of a VIF is left after its unplug. No VIF is on another network than was asked for it, or
than another program has put it on. A call that fails changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.histories.acts import IDS, Act, History, Wish, numbers
from tests.histories.machine import Machine
from tests.histories.networks import Network, asked, left_of, left_of_ours, networks, tags
from vifplug.errors import Conflict, InUse, PrivilegeError, VifplugError
from vifplug.guest.interface import Interface
from vifplug.model.mark import derived_name

EXPECTED = (Conflict, InUse)
"""Errors that a call may raise on a host that is not as it should be."""


@dataclass
class Story:
    """What is known of the VIFs besides the host itself.

    ``allowed`` are the networks on which a VIF may be: asked for, or another program's doing.
    ``interfaces`` are those that the guests are defined with.
    """

    wishes: list[Wish]
    interfaces: dict[str, Interface] = field(default_factory=dict)
    allowed: dict[str, set[Network]] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)

    def copy(self) -> Story:
        """Return a story that goes on by itself."""
        allowed = {vif_id: set(found) for vif_id, found in self.allowed.items()}
        return Story(list(self.wishes), dict(self.interfaces), allowed, set(self.lost))


class Wrong(Exception):
    """Something that must hold does not."""


class Teller:
    """Has a history happen on a machine. ``outcomes`` counts what became of the calls.

    ``snapshot`` returns the host's state where a failed call's can be compared, else None.
    """

    def __init__(
        self, machine: Machine, story: Story, *, outcomes: Counter[str],
        snapshot: Callable[[], object] = lambda: None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:  # fmt: skip
        self.machine, self.story, self.outcomes = machine, story, outcomes
        self._snapshot, self._say = snapshot, say

    def happen(self, act: Act) -> None:
        """Carry out an act. Raises Wrong."""
        self._say(str(act))
        before = {vif_id: networks(vif_id, self.machine.host()) for vif_id in IDS}
        match act.word:
            case "plug" | "change" | "move":
                self._plug(act)
            case "unplug" | "force":
                self._unplug(act)
            case "gc":
                self._gc(numbers(act.value))
            case "start":
                if interface := self.story.interfaces.get(IDS[act.number]):
                    self.machine.start(IDS[act.number], interface)
            case "stop":
                self.machine.stop(IDS[act.number])
            case _:
                self._foreign(act)
                self._others_doing(before)
        self._require_right_networks(act)

    def end(self) -> None:
        """Stop all guests and take every VIF away. Raises Wrong where anything is left."""
        self._say("end")
        self.machine.arm(-1)
        for vif_id in IDS:
            self.machine.stop(vif_id)
        here = [vif_id for vif_id in IDS if left_of(vif_id, self.machine.host())]
        for outcome in self.machine.driver.unplug_ids(here, force=True) if here else ():
            if isinstance(outcome, VifplugError):
                raise Wrong(f"the last unplug: {type(outcome).__name__}: {outcome}")
        for vif_id in here:
            self._require_gone(vif_id)
        if left_of_ours(self.machine.host()):
            self._gc([])
        if left := left_of_ours(self.machine.host()):
            raise Wrong(f"left without a VIF: {', '.join(left)}")

    # Calls.

    def _plug(self, act: Act) -> None:
        vif_id, story = IDS[act.number], self.story
        if act.wish:
            story.wishes[act.number] = act.wish
        wish = story.wishes[act.number]
        vif = wish.vif(act.number)
        wanted = asked(wish)
        tags_before = tags(vif_id, self.machine.host())
        before = self._snapshot()
        self.machine.arm(act.kill_at)
        try:
            self.machine.driver.plug(None, vif, move=act.word == "move")
        except VifplugError as error:
            self._note(act, error)
            if isinstance(error, PrivilegeError):
                if wanted:
                    story.allowed.setdefault(vif_id, set()).add(wanted)
            elif self._snapshot() != before:
                raise Wrong(f"{act}: {error}: and the host is changed") from error
            return
        self.outcomes[f"{act.word} done"] += 1
        host = self.machine.host()
        driver = self.machine.driver
        ready = driver.ready(None, vif)
        view = driver.look([ready])
        wired = driver.wire(ready, view.host)
        story.interfaces[vif_id] = wired.wiring.interface
        now = networks(vif_id, host)
        # A VIF that asks for no bridge is wired by another program.
        story.allowed[vif_id] = {wanted} if wanted else now
        if vif_id not in story.lost and wanted and now and now != {wanted}:
            raise Wrong(f"{act}: it is on {now}, not on {wanted}")
        # A VIF that moves may get another port, which Neutron's agent has to wire again.
        for where, tag in tags_before.items() if act.word != "move" else ():
            if tags(vif_id, host).get(where, tag) != tag:
                raise Wrong(f"{act}: {where} has lost its VLAN {tag}")
        (differs,) = driver.checks([wired], view)
        if isinstance(differs, VifplugError) or differs:
            raise Wrong(f"{act}: done, and check finds: {differs}")

    def _unplug(self, act: Act) -> None:
        vif_id = IDS[act.number]
        vif = self.story.wishes[act.number].vif(act.number)
        before = self._snapshot()
        self.machine.arm(act.kill_at)
        try:
            self.machine.driver.unplug(None, vif, force=act.word == "force")
        except VifplugError as error:
            self._note(act, error)
            if isinstance(error, EXPECTED) and self._snapshot() != before:
                raise Wrong(f"{act}: {error}: and the host is changed") from error
            return
        self.outcomes[f"{act.word} done"] += 1
        self._require_gone(vif_id)

    def _gc(self, keep: Sequence[str]) -> None:
        self.machine.arm(-1)
        for found in self.machine.driver.gc(keep, everything=True):
            if found.error is None and found.id:
                self._require_gone(found.id)
            elif found.error:
                self._note(Act("gc"), found.error)
        self.outcomes["gc done"] += 1

    def _note(self, act: Act, error: VifplugError) -> None:
        """Count an error. Raises Wrong for one that has no reason."""
        killed = act.kill_at >= 0 and "has ended" in str(error)
        if not killed and not isinstance(error, EXPECTED):
            raise Wrong(f"{act}: {type(error).__name__}: {error}") from error
        self.outcomes[f"{act.word} {'killed' if killed else type(error).__name__}"] += 1

    # Others' acts.

    def _foreign(self, act: Act) -> None:
        machine, vif_id = self.machine, IDS[act.number]
        match act.word:
            case "reboot":
                machine.reboot()
                self.story.lost.clear()
            case "nomaster":
                machine.nomaster(act.name)
            case "mtu":
                machine.set_mtu(act.name, act.value)
            case "rename":
                machine.rename(act.name, f"x{act.number}{act.name[:3]}")
                self.story.lost.add(vif_id)
            case "delete port":
                for prefix in ("tap", "qvo"):
                    machine.delete_port(derived_name(prefix, vif_id))
            case "tag":
                for prefix in ("tap", "qvo"):
                    machine.set_tag(derived_name(prefix, vif_id), act.value)
            case "delete bridge":
                machine.delete_bridge(act.name)
        self.outcomes[act.word] += 1

    def _others_doing(self, before: dict[str, set[Network]]) -> None:
        """Take note of the networks on which another program has put VIFs."""
        host = self.machine.host()
        for vif_id, then in before.items():
            for network in networks(vif_id, host) - then:
                self.story.allowed.setdefault(vif_id, set()).add(network)

    # What must hold.

    def _require_gone(self, vif_id: str) -> None:
        self.story.allowed.pop(vif_id, None)
        self.story.lost.discard(vif_id)
        self.story.interfaces.pop(vif_id, None)
        if left := left_of(vif_id, self.machine.host()):
            raise Wrong(f"VIF {IDS.index(vif_id)} is unplugged, and left: {', '.join(left)}")

    def _require_right_networks(self, act: Act) -> None:
        host = self.machine.host()
        for number, vif_id in enumerate(IDS):
            allowed = self.story.allowed.get(vif_id, set())
            for network in networks(vif_id, host):
                if not any(network.is_within(other) for other in allowed):
                    raise Wrong(f"{act}: VIF {number} is on {network}, of {allowed}")


def told(history: History, teller: Teller) -> None:
    """Have a whole history happen. Raises Wrong."""
    for act in history.acts:
        teller.happen(act)
    teller.end()
