# SPDX-License-Identifier: Apache-2.0
"""A scenario: one or more hostile plugs of one VIF, and its unplug. Made up from a seed."""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fuzz.names import VICTIMS
from tests.fuzz.values import Values, fresh_id, own_mac
from vifplug import VIF, fields
from vifplug.fields import Kind
from vifplug.parts import Part

TEMPLATE_ID = "7e3a91c4-5b60-4d1f-8a2e-90c1d2e3f4a5"
TEMPLATE_MAC = "fa:16:3e:99:99:99"
PARTS, FILE = "parts", "file"
"""The two ways in: parts straight to a daemon, or a VIF through the driver."""


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a well-meant VIF is plugged with: the request that the driver makes of it."""

    plugin: str
    request: Mapping[str, Any]

    def of(self, vif_id: str) -> dict[str, Any]:
        """Return the request for a VIF of another id, with the names that follow from it."""
        text = json.dumps(self.request).replace(TEMPLATE_MAC, own_mac(vif_id))
        text = text.replace(f"fe{TEMPLATE_MAC[2:]}", f"fe{own_mac(vif_id)[2:]}")
        for size in (36, 12, 11):
            text = text.replace(TEMPLATE_ID[:size], vif_id[:size])
        request: dict[str, Any] = json.loads(text)
        return request


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Plugs of one VIF, in order, and its unplug.

    ``before`` are commands of ip(8) that another program ran for this VIF. ``options`` are the
    caller's configuration. ``shell``: by the command line.
    """

    way: str
    plugin: str
    vif_id: str
    plugs: Sequence[Mapping[str, Any]]
    unplug: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    shell: bool = False

    def __str__(self) -> str:
        shown = {name: value for name, value in vars(self).items() if value}
        return json.dumps(shown)

    @property
    def words(self) -> set[str]:
        """All texts in the plugs: what they name."""
        return set(re.findall(r'"([^"]*)"', json.dumps(list(self.plugs))))


class Maker:
    """Makes scenarios up. ``kinds`` are each plugin's kinds of part.

    The VIF's id is fresh, or that of scenarios before, or it begins as another VIF's: devices have
    names of its first digits.
    """

    def __init__(
        self,
        templates: Sequence[Template],
        kinds: Mapping[str, Sequence[type[Part]]],
        details: Mapping[str, type[Any]],
        bases: Sequence[Mapping[str, Any]],
        *,
        sockets: str,
    ) -> None:
        self._templates, self._kinds, self._details = templates, kinds, details
        self._bases, self._sockets = bases, sockets

    def scenario(self, seed: str, number: int, way: str, plugin: str = "") -> Scenario:
        """Return the scenario of a number; the same for the same seed."""
        pick = random.Random(f"{seed} {way} {plugin} {number}")
        known = random.Random(f"{seed} {number // 50}")
        vif_id = fresh_id(known if pick.random() < 0.3 else pick)
        alike = pick.random() < 0.05
        if alike:
            vif_id = pick.choice(list(VICTIMS.values()))[:24] + vif_id[24:]
        values = Values(pick, vif_id, self._sockets)
        before = self._before(pick, values) if pick.random() < 0.08 and not alike else ()
        several = pick.choice((1, 1, 1, 1, 2, 2, 3))
        unplug: dict[str, Any] = {"force": pick.random() < 0.5}
        if pick.random() < 0.3:
            unplug["interface_id"] = values.id()
        if way == PARTS:
            plugs = [self._request(pick, values, plugin) for _ in range(several)]
            return Scenario(way=way, plugin=plugin, vif_id=vif_id, plugs=plugs, unplug=unplug,
                            before=before)  # fmt: skip
        plugs = [self._vif(pick, values) for _ in range(several)]
        options = {"create_tap": pick.random() < 0.4, "per_port_bridge": pick.random() < 0.2,
                   "process": pick.choice(("choose", "manual", "automatic", "hybrid")),
                   "move": pick.random() < 0.2}  # fmt: skip
        return Scenario(way=way, plugin="", vif_id=vif_id, plugs=plugs, unplug=unplug,
                        before=before, options=options, shell=pick.random() < 0.01)  # fmt: skip

    def _before(self, pick: random.Random, values: Values) -> tuple[str, ...]:
        """Return what another program made for this VIF before: libvirt, Nova or os-vif."""
        tap, qbr, qvb, qvo = (
            prefix + values.vif_id[:11] for prefix in ("tap", "qbr", "qvb", "qvo")
        )
        master = pick.choice(("", f" master {pick.choice(('brhost', 'brfree', 'br-a'))}"))
        address = f"fe{own_mac(values.vif_id)[2:]}"
        joined = f"link set {tap} address {address} up{master}"
        return pick.choice(((f"tuntap add {tap} mode tap", joined),
                            (f"link add {qbr} type bridge",),
                            (f"link add {qvb} type veth peer name {qvo}",)))  # fmt: skip

    # Parts.

    def _request(self, pick: random.Random, values: Values, plugin: str) -> dict[str, Any]:
        templates = [each for each in self._templates if each.plugin == plugin]
        request = pick.choice(templates).of(values.vif_id)
        parts: list[dict[str, Any]] = request["parts"]
        for _ in range(pick.choice((0, 1, 1, 1, 2, 2, 3, 5))):
            self._change(pick, values, plugin, parts)
        if pick.random() < 0.15:
            request["process"] = pick.choice(("", "manual", "automatic", "hybrid"))
        if pick.random() < 0.15:
            request["vif_type"] = pick.choice(("bridge", "tap", "ovs", "macvtap", "vhostuser"))
        if pick.random() < 0.15:
            request["interface_id"] = values.id()
        if pick.random() < 0.1:
            request["elsewhere"] = [pick.choice((values.device, values.forged))()
                                    for _ in range(pick.randint(1, 3))]  # fmt: skip
        if pick.random() < 0.1:
            request["move"] = True
        return request

    def _change(
        self, pick: random.Random, values: Values, plugin: str, parts: list[dict[str, Any]]
    ) -> None:
        """Change a field of a part, or add, drop, repeat or shift a part."""
        kinds = {kind.kind: kind for kind in self._kinds[plugin]}
        chance = pick.random()
        if not parts or chance < 0.3:
            kind = pick.choice(list(kinds.values()))
            made = {"kind": kind.kind, **values.record(kind)}
            parts.insert(pick.randint(0, len(parts)), made)
            return
        at = pick.randrange(len(parts))
        if chance < 0.75:
            declared = fields.kinds(kinds[parts[at]["kind"]])
            name = pick.choice(list(declared))
            forged = pick.random() < 0.04
            parts[at][name] = values.forged() if forged else values.of(declared[name])
        elif chance < 0.85:
            # One name everywhere, as a hostile caller would have it.
            named = [v for part in parts for v in part.values() if isinstance(v, str)]
            old, new = pick.choice(named), values.device()
            for part in parts:
                part.update({n: new for n, v in part.items() if v == old and n != "kind"})
        elif chance < 0.93:
            parts.pop(at)
        else:
            parts.insert(pick.randint(0, len(parts)), parts.pop(at))

    # VIFs.

    def _vif(self, pick: random.Random, values: Values) -> dict[str, Any]:
        base = copy.deepcopy(dict(pick.choice(self._bases)))
        vif = {"id": values.vif_id, "address": own_mac(values.vif_id), **base}
        details = self._details[str(vif["vif_type"])]
        for _ in range(pick.choice((0, 1, 1, 2, 2, 3, 4))):
            path, kind = pick.choice(list(_leaves(VIF, details)))
            if path[0] not in ("id", "vif_type"):
                _put(vif, path, values.of(kind))
        return vif


def _leaves(of: type[Any], details: type[Any]) -> Iterator[tuple[tuple[str, ...], Kind]]:
    """Yield the paths of a VIF's fields, those of its records one by one, and their kinds."""
    for name, kind in fields.kinds(of).items():
        record = details if of is VIF and name == "details" else getattr(kind, "of", None)
        if isinstance(record, type):
            yield from (((name, *path), leaf) for path, leaf in _leaves(record, details))
        else:
            yield (name,), kind


def _put(data: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    *outer, last = path
    for name in outer:
        data = data.setdefault(name, {})
    data[last] = value


def bases(*, with_switch: bool) -> list[dict[str, Any]]:
    """Return VIFs that a well-meant caller may plug on the host, without ids and addresses."""
    networks: list[dict[str, Any]] = [
        {"bridge": "br-a"},
        {"bridge": "br-a", "mtu": 1400},
        {"bridge": "br-x", "should_create_bridge": True, "mtu": 1450},
        {"bridge": "br-x", "should_create_bridge": True, "interface": "eth9"},
        {"bridge": "br-x", "should_create_bridge": True, "interface": "eth8"},
        {"bridge": "br-y", "should_create_bridge": True, "interface": "eth6"},
        {"bridge": "br-a", "should_create_bridge": True, "interface": "eth6"},
        {"bridge": "brfree"},
        {"bridge": "brhost", "mtu": 1400},
        {"bridge": "brstp"},
        {"bridge": "br-x", "should_create_vlan": True, "interface": "eth6", "vlan": 7},
    ]
    found = [{"vif_type": "bridge", "network": network} for network in networks]
    found += [{"vif_type": "tap"}, {"vif_type": "tap", "devname": "tapx"}]
    lower = ("eth6", "eth6", "eth5", "wire9")
    found += [{"vif_type": "macvtap", "network": {"interface": name}} for name in lower]
    modes = ("vepa", "private", "bridge", "passthrough")
    found += [{"vif_type": "macvtap", "network": {"interface": "eth6"},
               "details": {"macvtap_mode": mode}} for mode in modes]  # fmt: skip
    if not with_switch:
        return found
    on = [{"bridge": "br-int"}, {"bridge": "br-int", "mtu": 1400}, {"bridge": "br-ex", "mtu": 1400},
          {"bridge": "br-z", "should_create_bridge": True}]  # fmt: skip
    found += 2 * [{"vif_type": "ovs", "network": network} for network in on]
    found += [{"vif_type": "ovs", "network": on[0], "interface_id": VICTIMS["k"]}]
    found += [{"vif_type": "ovs", "network": {"bridge": "br-z", "should_create_bridge": True},
               "details": {"datapath_type": "netdev"}}]  # fmt: skip
    return found
