# SPDX-License-Identifier: Apache-2.0
"""Values for the declared fields of parts and of VIFs: sensible ones, and names of others."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.fuzz.names import (
    ALTNAMES,
    BRIDGES,
    FOREIGN,
    MACS,
    PORTS,
    SWITCHES,
    UPLINKS,
    VICTIMS,
    derived,
)
from vifplug import fields
from vifplug.fields import Address, Boolean, Choice, Integer, Kind, Many, Record, Table, Text
from vifplug_ovs.names import SOCKET

_MACS = ("00:00:00:00:00:01", "02:00:00:00:00:01", "fe:ff:ff:ff:ff:fe", "02:00:00:00:0b:01")
_MTUS = (68, 1000, 1279, 1280, 1400, 1450, 1500, 9000, 65521, 65535)
_PCIS = ("0000:00:00.0", "0000:00:01.0", "0000:81:00.3")
_TEXTS = ("x", "vm1", "vifplug:shared::bridge:br-a")


@dataclass(frozen=True)
class Values:
    """Makes values up for one hostile VIF. ``sockets`` is the folder of the switch's sockets."""

    random: random.Random
    vif_id: str
    sockets: str = "/run/openvswitch"

    def of(self, kind: Kind) -> Any:
        """Return a value that a field of this kind takes."""
        return self._maker(kind)()

    def _maker(self, kind: Kind) -> Callable[[], Any]:
        pick = self.random
        known: dict[int, Callable[[], Any]] = {
            id(fields.DEVICE): self.device,
            id(fields.UUID): self.id,
            id(fields.MAC): self.mac,
            id(fields.MTU): lambda: pick.choice(_MTUS),
            id(fields.PCI): lambda: pick.choice(_PCIS),
            id(fields.WORD): lambda: pick.choice(("bridge", "ovs", "macvtap", "virtio", "tap")),
            id(SOCKET): self.socket,
            id(fields.CIDR): lambda: pick.choice(("192.0.2.0/24", "2001:db8:9::/64")),
            id(fields.IP): lambda: pick.choice(("192.0.2.9", "2001:db8:9::9")),
        }
        if id(kind) in known:
            return known[id(kind)]
        match kind:
            case Boolean():
                return lambda: pick.random() < 0.5
            case Choice():
                return lambda: pick.choice(kind.words)
            case Integer():
                return lambda: pick.choice(
                    (kind.least, kind.most, pick.randint(kind.least, min(kind.most, 5000)))
                )
            case Many():
                return lambda: [self.of(kind._of) for _ in range(pick.randint(0, 3))]
            case Record():
                return lambda: self.record(kind.of)
            case Table():
                return dict
            case Address() | Text():
                return lambda: pick.choice(_TEXTS)
        raise NotImplementedError(kind)

    def record(self, of: type[Any], *, rare: float = 0.3) -> dict[str, Any]:
        """Return a record as plain data, with its required fields and some others."""
        required = set(fields.schema(of).get("required", ()))
        return {
            name: self.of(kind)
            for name, kind in fields.kinds(of).items()
            if name in required or self.random.random() < rare
        }

    def device(self) -> str:
        """Return the name of a device: the VIF's own, the host's, another VIF's, or a free one."""
        free = ("br-x", "br-y", "eth1", "tapx", "vlan7", "qvo-free", "macvtap9")
        sets: Sequence[tuple[int, Sequence[str]]] = (
            (5, derived(self.vif_id)),
            (4, UPLINKS),
            (4, BRIDGES),
            (2, SWITCHES),
            (3, FOREIGN),
            (2, PORTS),
            (2, tuple(ALTNAMES)),
            (4, self._victims_devices()),
            (2, free),
        )
        weights = [weight for weight, _ in sets]
        (chosen,) = self.random.choices([names for _, names in sets], weights)
        return self.random.choice(chosen)

    def _victims_devices(self) -> Sequence[str]:
        name, vif_id = self.random.choice(list(VICTIMS.items()))
        return ("macvtape",) if name == "e" else derived(vif_id)

    def forged(self) -> str:
        """Return what no field takes: a mark or a claim of another VIF, a role, a path."""
        victim = self.random.choice(list(VICTIMS.values()))
        return self.random.choice((
            f"vifplug:{victim}::tap:bridge", f"vifplug:{victim}:hybrid:qvo:ovs",
            f"vifplug:{victim}::uses-bridge:bridge", "vifplug:shared::bridge:br-a",
            "vifplug:shared::uplink:br-b", "vifplug:claims:0", "representor.down",
            "vf.3.525400000001.100.0.0.1", "lower.fa163e000104.vepa", "uses-bridge", "shared",
            "../br-a", "br-a:x", "", "eth9@wire9",
        ))  # fmt: skip

    def id(self) -> str:
        """Return the VIF's own id, another VIF's, or that of none."""
        pick = self.random.random()
        if pick < 0.4:
            return self.vif_id
        if pick < 0.85:
            return self.random.choice(list(VICTIMS.values()))
        return fresh_id(self.random)

    def mac(self) -> str:
        """Return an address of the VIF's own, of another VIF's guest, or a low or a high one."""
        return self.random.choice((own_mac(self.vif_id), *_MACS, *MACS.values()))

    def socket(self) -> str:
        """Return the path of a socket: the switch's own, a guest's, or elsewhere."""
        names = ("db.sock", "ovs-vswitchd.ctl", f"vhu{self.vif_id[:11]}",
                 f"vhu{VICTIMS['a'][:11]}", "x.sock")  # fmt: skip
        path = f"{self.sockets}/{self.random.choice(names)}"
        return "/run/x.sock" if self.random.random() < 0.1 else path


def fresh_id(random: random.Random) -> str:
    """Return the id of a VIF that nobody knows."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))


def own_mac(vif_id: str) -> str:
    """Return the address of a VIF's guest."""
    return "fa:16:3e:" + ":".join((vif_id[:2], vif_id[2:4], vif_id[4:6]))
