# SPDX-License-Identifier: Apache-2.0
"""VIFs as Nova has them, generated: of every type that Nova and we both know, and of others."""

from __future__ import annotations

import random
import uuid
from typing import Any

PARAMETERS = {"managerid": "11", "typeid": "1193047", "typeidversion": "2",
              "instanceid": "15e0f4a6-0c5e-4a5b-8d3e-9d1c2b3a4f50"}  # fmt: skip
_PCI = "0000:0a:00.3"
_MODELS = (None, "virtio", "e1000", "rtl8139", "vmxnet3", "lan9118", "netfront")
_QUOTAS = tuple(f"quota:vif_{way}_{word}" for way in ("inbound", "outbound")
                for word in ("average", "peak", "burst"))  # fmt: skip

OTHERS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("ovs", "direct", {}),
    ("ovs", "vdpa", {}),
    ("ovs", "remote-managed", {}),
    ("vhostuser", "normal", {"vhostuser_mode": "client", "vhostuser_socket": "/run/vhu1"}),
    (
        "vhostuser",
        "normal",
        {"vhostuser_mode": "server", "vhostuser_socket": "/run/vhu1", "vhostuser_ovs_plug": True},
    ),
    ("hw_veb", "direct", {"vlan": "100"}),
    ("hw_veb", "macvtap", {"vlan": "100"}),
    ("hostdev_physical", "direct-physical", {}),
    ("vrouter", "normal", {}),
    ("midonet", "normal", {}),
    ("unbound", "normal", {}),
    ("binding_failed", "normal", {}),
    ("wibble", "normal", {}),
)
"""vif_type, vnic_type and details of what stays Nova's, claimed by nobody or left as by default."""


def cases(count: int, *, types: tuple[str, ...], seed: int) -> list[dict[str, Any]]:
    """Return cases for the oracle: VIFs of some types that are ours, in all their ways."""
    dice = random.Random(seed)
    return [case(dice, dice.choice(types)) for _ in range(count)]


def others(seed: int) -> list[dict[str, Any]]:
    """Return cases of VIFs that stay Nova's, each under ten hosts and flavors."""
    dice = random.Random(seed)
    return [
        case(dice, vif_type, vnic_type, details)
        for vif_type, vnic_type, details in OTHERS
        for _ in range(10)
    ]


def case(
    dice: random.Random, vif_type: str, vnic_type: str = "normal",
    details: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Return one case, what is not given left to the dice."""
    vif_id = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    mtu = dice.choice((None, 1450, 9000))
    bridges = {"ovs": "br-int", "bridge": f"brq{vif_id[:11]}"}
    network: dict[str, Any] = {
        "id": str(uuid.UUID(int=dice.getrandbits(128), version=4)),
        "label": "private",
        "bridge": bridges.get(vif_type, "br-int"),
        "subnets": [],
        "meta": {"injected": False, "tenant_id": "p"} | ({"mtu": mtu} if mtu else {}),
    }
    if vif_type == "802.1qbg":
        network["meta"]["interface"] = "eth1.100"
    if vif_type == "bridge":
        network["meta"]["should_create_bridge"] = True
    if details is None:
        details = _details(dice, vif_type)
    vif = {
        "id": vif_id,
        "address": dice.choice(("fa:16:3e:11:22:33", "FA:16:3E:AA:BB:CC")),
        "type": vif_type,
        "vnic_type": vnic_type,
        "devname": dice.choice((f"tap{vif_id[:11]}", f"tap{vif_id[:11]}", None)),
        "ovs_interfaceid": dice.choice((vif_id, None)) if vif_type == "ovs" else None,
        "details": details,
        "profile": {"pci_slot": _PCI} if vnic_type != "normal" else dice.choice(({}, None)),
        "delegate_create": vif_type != "ovs" or dice.choice((True, True, False)),
        "active": True,
        "qbg_params": PARAMETERS if vif_type == "802.1qbg" else None,
        "qbh_params": None,
        "preserve_on_delete": False,
        "network": network,
        "meta": {},
    }
    if not vif["delegate_create"]:
        # Nova of a release whose Neutron tells the drivers always delegates.
        vif["details"].pop("bound_drivers", None)
    if vnic_type != "normal" or vif_type == "hostdev_physical":
        vif["profile"] = {"pci_slot": _PCI, "card_serial_number": "MT1", "pf_mac_address":
                          "52:54:00:11:22:33", "vf_num": 1}  # fmt: skip
    model = dice.choice(_MODELS) if dice.random() < 0.4 else None
    image = {"hw_vif_model": model} if model else {}
    specs = {quota: str(dice.choice((0, 1000, 2000))) for quota in _QUOTAS if dice.random() < 0.25}
    if dice.random() < 0.3:
        specs["hw:vif_multiqueue_enabled"] = "true"
    if dice.random() < 0.2:
        specs["hw:virtio_packed_ring"] = "true"
    return {
        "vif": vif,
        "image": image,
        "extra_specs": specs,
        "vcpus": dice.choice((1, 2, 4)),
        "libvirt_version": dice.choice(("8.0.0", "8.10.0", "9.0.0", "11.1.0")),
        "libvirt_options": {
            "virt_type": dice.choice(("kvm", "kvm", "qemu", "parallels", "lxc")),
            "use_virtio_for_bridges": dice.random() < 0.9,
            "rx_queue_size": dice.choice((None, 512)),
            "tx_queue_size": dice.choice((None, 256)),
            "max_queues": dice.choice((None, None, None, 1, 8)),
        },
    }


def _details(dice: random.Random, vif_type: str) -> dict[str, Any]:
    found: dict[str, Any] = {"port_filter": dice.random() < 0.5, "connectivity": "l2"}
    if vif_type == "ovs":
        found["bridge_name"] = "br-int"
        found["datapath_type"] = "system"
        found["bound_drivers"] = {"0": "openvswitch"}
        found |= dice.choice(({}, {}, {"ovs_hybrid_plug": True}, {"ovs_create_tap": True}))
    if vif_type == "macvtap":
        found["macvtap_source"] = dice.choice(("eth1", "eth1.100"))
        found["macvtap_mode"] = dice.choice(("vepa", "bridge", "private", "passthrough"))
        found["physical_interface"] = "eth1"
        found |= {"vlan": 100} if found["macvtap_source"] == "eth1.100" else {}
    if vif_type == "tap" and dice.random() < 0.5:
        found["mac_address"] = "00:61:fe:ed:ca:fe"
    return found
