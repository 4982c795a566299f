# SPDX-License-Identifier: Apache-2.0
"""A VIF's lane in a picture: its devices from the guest to the trunk that it hangs on. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from vifplug.model.mark import is_derived
from vifplug.picture.graph import NOWHERE, Lane, Node
from vifplug.picture.wires import Wires, kind_of
from vifplug.plan.details import words_of
from vifplug.plan.plugged import Plugged, short_ids


class Lanes:
    """The lanes of all VIFs of a host."""

    def __init__(self, wires: Wires, vifs: Iterable[Plugged]) -> None:
        self._wires, self._vifs = wires, [*vifs]

    def all(self) -> tuple[Lane, ...]:
        """Return a lane for each VIF, those of one guest together."""
        short = short_ids([vif.id for vif in self._vifs])
        ordered = sorted(self._vifs, key=lambda one: (one.guest is None, one.guest or "", one.id))
        return tuple(self._lane(vif, short[vif.id]) for vif in ordered)

    def _lane(self, vif: Plugged, short: str) -> Lane:
        names, trunk = self._walked(vif)
        state = state_of(vif)
        told = (f"VIF {vif.id}", " ".join(word for word in (vif.vif_type, vif.process) if word))
        chain = [self._device(name, last=name == names[-1]) for name in names]
        if chain and chain[-1].shape == "port":
            # The device that the guest holds shows the state.
            words = (*chain[-1].words, *told, vif.words)
            chain[-1] = replace(chain[-1], words=words, state=state)
        guest = None
        if vif.guest is not None:
            runs = vif.interface.runs if vif.interface else None
            words = {None: (), True: ("it runs",), False: ("it is shut off",)}[runs]
            guest = Node(key=f"guest:{vif.guest}", shape="guest", kind="guest", name=vif.guest,
                         words=words, state="orphan" if state == "orphan" else "")  # fmt: skip
        return Lane(
            id=vif.id,
            short=short,
            trunk=trunk,
            chain=tuple(chain),
            guest=guest,
            state=state,
            words=vif.words,
            kind=told[1],
            address=vif.address or "",
            vlan=vif.vlan,
        )

    def _walked(self, vif: Plugged) -> tuple[Sequence[str], str]:
        """Return the names of a VIF's devices, the guest's last, and the trunk that these reach."""
        wires, here = self._wires, self._last(vif)
        found: list[str] = []
        if here and wires.is_bridge(here):  # its tap is not there yet
            here = self._across(here, found)
        elif here:
            found.append(here)
        while here:
            bridge = wires.bridge_of(here)
            if bridge is None:
                return found[::-1], wires.lower(here) or self._claimed(vif)
            if bridge not in vif.devices and not is_derived(bridge, vif.id):
                return found[::-1], bridge
            here = self._across(bridge, found)
        return found[::-1], self._claimed(vif)

    def _across(self, bridge: str, found: list[str]) -> str | None:
        """Note a VIF's own bridge, and what leads on from it; return the far end of that."""
        found.append(bridge)
        port = next(self._onward(bridge, found), None)
        if port is None:
            return None
        found.append(port)  # its node is that of both ends
        return self._wires.peer(port)

    def _last(self, vif: Plugged) -> str | None:
        """Return the device or port that the VIF's guest has, or will have."""
        wires = self._wires
        kinds = {name: link.kind for name in vif.devices if (link := wires.host.link(name))}
        for wanted in ("tap", "macvtap", "bridge"):
            if name := next((name for name in vif.devices if kinds.get(name) == wanted), None):
                return name
        ends = [name for name in vif.devices if kinds.get(name) != "veth"]
        return next(iter((*ends, *vif.devices)), None)

    def _onward(self, bridge: str, seen: Iterable[str]) -> Iterator[str]:
        """Yield the ports of a VIF's own bridge that lead away from its guest."""
        passed = {*seen}
        for port in self._wires.all_ports(bridge):
            if port not in passed and self._wires.peer(port):
                yield port

    def _claimed(self, vif: Plugged) -> str:
        """Return what a VIF should hang on: what it has a port on, or claims."""
        if vif.bridge and not is_derived(vif.bridge, vif.id):
            return vif.bridge
        claims = self._wires.host.claims_of(vif.id)
        claimed = [name for name, _ in claims if name not in vif.devices]
        return next(iter(claimed), NOWHERE)

    def _device(self, name: str, *, last: bool) -> Node:
        """Return a device; two ends of a patch are one thing, unless the guest has one of them."""
        link, port = self._wires.host.link(name), self._wires.switch_ports.get(name)
        if not last and (peer := self._wires.peer(name)):
            return self._wires.patch(name, peer)
        words = [*(port.words if port else ()), *((words_of(link),) if link else ())]
        shape = "bridge" if self._wires.is_bridge(name) else "port"
        kind = kind_of(link) if link else port.kind if port else "bridge"
        if name in self._wires.switches:
            shape, kind = "switch", f"{self._wires.switches[name]} bridge"
        return Node(key=f"device:{name}", shape=shape, kind=kind, name=name, words=tuple(words))


def state_of(vif: Plugged) -> str:
    """Return the state of a VIF as a picture shows it: a port that is not wired is one more."""
    return "unwired" if vif.unwired and vif.state not in ("drift", "orphan") else vif.state
