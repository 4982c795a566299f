# SPDX-License-Identifier: Apache-2.0
"""A caller of the daemon plugs a VIF, and no row or device of others changes by it."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.ovs.conftest import Host
from tests.ovs.vifs import ovs_vif
from vifplug import Conflict, GenericVIFDriver, VifplugError
from vifplug.kernel.namespace import network_namespace
from vifplug.model.mark import Owner
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.configured import forked
from vifplug_ovs import privileged
from vifplug_ovs.plugin import OvsPlugin

X = "9f3c52aa-1111-4222-8333-444455556666"
MAC = "fa:16:3e:00:00:01"
MANUAL, AUTOMATIC, OWN, HYBRID = (ovs_vif(number) for number in range(4))
TAP = {"kind": "tap", "name": f"tap{X[:11]}", "address": "fe:16:3e:00:00:01"}


def port(name: str, bridge: str, **more: Any) -> dict[str, Any]:
    return {"kind": "ovs-port", "name": name, "bridge": bridge, "address": MAC, **more}


def patch(name: str, bridge: str, peer: str, **more: Any) -> dict[str, Any]:
    return port(name, bridge, type="patch", peer=peer, **more)


def own_bridge(name: str) -> dict[str, Any]:
    return {"kind": "ovs-own-bridge", "name": name, "datapath_type": "netdev"}


def shared(name: str) -> dict[str, Any]:
    return {"kind": "ovs-bridge", "name": name}


class Victims(Host):
    """A switch with a VIF of each process, and with an uplink and a patch that nobody marked.

    AUTOMATIC has no port yet: its guest does not run.
    """

    def __init__(
        self, namespace: NetworkNamespace, ovs: OpenVSwitch, driver: GenericVIFDriver, conf: Config
    ):
        for vif, process in ((MANUAL, "manual"), (AUTOMATIC, "automatic"), (HYBRID, "hybrid")):
            conf.config(group="vifplug_ovs", process=process)
            GenericVIFDriver().plug(None, vif)
        conf.config(group="vifplug_ovs", process="manual", per_port_bridge=True)
        GenericVIFDriver().plug(None, OWN)
        conf.config(group="vifplug_ovs", process="choose", per_port_bridge=False)
        ovs.add_bridge("br-ex")
        for line in (
            "link add eth9 type veth peer name wire9",
            "link set eth9 up",
            "link set wire9 up",
            "link set br-ex up",
            "link add brhost address 02:00:00:00:00:01 type bridge",
            "addr add 192.0.2.9/24 dev br-ex",
            "link add eth8 type veth peer name wire8",
            "link set eth8 up",
            "addr add 192.0.2.8/24 dev eth8",
            "route add default via 192.0.2.1 dev eth8",
        ):
            namespace.ip(*line.split())
        ovs.vsctl("add-port", "br-ex", "eth9")
        ovs.vsctl("add-port", "br-int", "int-br-ex", "--", "set", "interface", "int-br-ex",
                  "type=patch", "options:peer=phy-br-ex")  # fmt: skip
        ovs.vsctl("add-port", "br-ex", "phy-br-ex", "--", "set", "interface", "phy-br-ex",
                  "type=patch", "options:peer=int-br-ex")  # fmt: skip
        super().__init__(namespace, ovs, driver)

    def plug(self, *parts: dict[str, Any], **vif: Any) -> dict[str, Any]:
        found = {"vif_id": X, "vif_type": "ovs", "process": "manual", "parts": list(parts), **vif}
        (reply,) = privileged.plug(self._request(found))
        return reply

    def unplug(self, interface_id: str | None = None, vif_id: str = X) -> dict[str, Any]:
        found = {"vif_id": vif_id, "interface_id": interface_id, "force": True}
        (reply,) = privileged.unplug(self._request(found))
        return reply

    @staticmethod
    def _request(vif: dict[str, Any]) -> dict[str, Any]:
        return {"namespace": network_namespace(), "deadline": time.monotonic() + 25, "vifs": [vif]}


@pytest.fixture
def victims(namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config) -> Any:
    with forked(OvsPlugin) as driver:
        yield Victims(namespace, br_int, driver, conf)


PB_X, PB_OWN = f"pb{X[:12]}", f"pb{OWN.id[:12]}"
QBR_X = f"qbr{X[:11]}"
TAP_MANUAL, TAP_AUTOMATIC = f"tap{MANUAL.id[:11]}", f"tap{AUTOMATIC.id[:11]}"
QVO = f"qvo{HYBRID.id[:11]}"

REFUSED = [
    # A port without an interface id is on a bridge of the VIF's own.
    ((port("eth9", "br-ex"),), "OVS bridge br-ex is not ours"),
    ((port("eth9", "br-ex", mtu=68),), "OVS bridge br-ex is not ours"),
    ((patch("int-br-ex", "br-int", "evil"),), "has no name of this VIF's"),
    ((patch("int-br-ex", "br-int", "phy-br-ex", interface_id=X),), "has no name of this VIF's"),
    ((port("eth9", "br-ex", interface_id=X),), "OVS port eth9 is there and not ours"),
    ((port(TAP_MANUAL, PB_OWN),), f"OVS bridge {PB_OWN} is not ours"),
    ((own_bridge(PB_X), port(TAP_MANUAL, PB_X)), f"belongs to VIF {MANUAL.id}"),
    # A device that is not the VIF's becomes no port.
    ((port("eth8", "br-int", interface_id=X),), "eth8 is not ours"),
    ((own_bridge(PB_X), port("eth8", PB_X)), "eth8 is not ours"),
    ((port("nowhere", "br-int", interface_id=X),), "nowhere is not there"),
    (({"kind": "claim", "on": "eth8", "role": "vlan"}, port("eth8", "br-int", interface_id=X)),
     "eth8 is not ours"),
    (({"kind": "representor", "device": "eth8"}, port("eth8", "br-int", interface_id=X)),
     "eth8 is no representor"),
    (({"kind": "guest-port", "name": "eth8", "bridge": "br-int", "address": MAC,
       "interface_id": X}, port("eth8", "br-int", interface_id=X)), "eth8 is not ours"),
    # An interface id is that of the VIF which the database names.
    ((TAP, port(str(TAP["name"]), "br-int", interface_id=MANUAL.id)), f"of VIF {MANUAL.id}"),
    ((TAP, port(str(TAP["name"]), "br-int", interface_id=AUTOMATIC.id)), f"of VIF {AUTOMATIC.id}"),
    (({"kind": "ovs-claim", "on": "br-int", "interface_id": MANUAL.id},), f"of VIF {MANUAL.id}"),
    (({"kind": "ovs-claim", "on": "br-int", "interface_id": AUTOMATIC.id},),
     f"of VIF {AUTOMATIC.id}"),
    # A bridge of a VIF's own has one name, and no other VIF joins it.
    ((own_bridge(TAP_MANUAL),), f"OVS bridge {TAP_MANUAL} is no VIF's own"),
    ((own_bridge("br-int"),), "OVS bridge br-int is no VIF's own"),
    ((own_bridge("br-ex"),), "OVS bridge br-ex is no VIF's own"),
    ((own_bridge(PB_OWN),), f"OVS bridge {PB_OWN} is no VIF's own"),
    ((shared(PB_OWN), TAP, port(str(TAP["name"]), PB_OWN, interface_id=X)),
     f"{PB_OWN} is named after another VIF"),
    ((shared(PB_OWN), {"kind": "ovs-claim", "on": PB_OWN, "interface_id": X}),
     f"{PB_OWN} is named after another VIF"),
    (({"kind": "ovs-bridge", "name": f"pb{MANUAL.id[:12]}", "create": True},
      {"kind": "ovs-claim", "on": f"pb{MANUAL.id[:12]}", "interface_id": X}),
     "is the name of another VIF's device"),
    # br-ex has an address of the host's.
    ((shared("br-ex"), TAP | {"mtu": 68}, port(str(TAP["name"]), "br-ex", interface_id=X)),
     "would lower br-ex, which the host uses"),
    ((shared("br-ex"), TAP, port(str(TAP["name"]), "br-ex", interface_id=X, mtu=68)),
     "would lower br-ex, which the host uses"),
    # vswitchd gives a bridge the lowest address of its ports.
    ((shared("br-int"), TAP | {"address": "00:00:00:00:00:01"},
      port(str(TAP["name"]), "br-int", interface_id=X)),
     "has the MAC address 00:00:00:00:00:01, which br-int would take"),
    # Linux devices beside the switch.
    (({"kind": "qbr", "name": QBR_X}, {"kind": "uplink", "device": "eth8", "bridge": QBR_X},
      {"kind": "veth", "name": f"qvb{X[:11]}", "peer": f"qvo{X[:11]}"},
      {"kind": "port", "device": f"qvb{X[:11]}", "bridge": QBR_X}),
     f"{QBR_X} is this VIF's own"),
    (({"kind": "qbr", "name": QBR_X}, {"kind": "port", "device": QVO, "bridge": QBR_X}),
     f"{QVO} is not ours"),
    (({"kind": "veth", "name": f"qvb{X[:11]}", "peer": f"qvo{X[:11]}"},
      {"kind": "port", "device": f"qvb{X[:11]}", "bridge": "brhost"}),
     "has a random MAC address, which brhost would take"),
    (({"kind": "qbr", "name": f"qbr{MANUAL.id[:11]}"},), "is the name of another VIF's device"),
    (({"kind": "veth", "name": f"qvb{X[:11]}", "peer": f"qvo{MANUAL.id[:11]}"},),
     "is the name of another VIF's device"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "says"), REFUSED, ids=lambda value: str(value)[:120])
def test_what_is_not_the_vifs_is_a_conflict_and_nothing_changes(
    parts: tuple[dict[str, Any], ...], says: str, victims: Victims
) -> None:
    reply = victims.plug(*parts)
    assert says in reply.get("error", {}).get("text", "no error")
    assert victims.differs(victims.before) == []
    assert victims.unplug()["changed"] is False
    assert victims.differs(victims.before) == []


@pytest.mark.parametrize(
    "parts",
    [
        (TAP, port(str(TAP["name"]), "br-int", interface_id=X)),
        (TAP, own_bridge(PB_X), port(str(TAP["name"]), PB_X),
         patch(f"pbp{X[:11]}", PB_X, f"ibp{X[:11]}"),
         patch(f"ibp{X[:11]}", "br-int", f"pbp{X[:11]}", interface_id=X,
               beside=[TAP["name"], f"pbp{X[:11]}"])),
        ({"kind": "ovs-claim", "on": "br-int", "interface_id": X},),
    ],
    ids=["manual", "own bridge", "automatic"],
)  # fmt: skip
def test_a_vif_of_its_own_is_plugged_by_such_requests(
    parts: tuple[dict[str, Any], ...], victims: Victims
) -> None:
    reply = victims.plug(*parts)
    assert reply.get("changed") is True, "else the requests above are refused for another reason"
    assert victims.unplug()["changed"] is True
    assert victims.differs(victims.before) == []


@pytest.mark.parametrize(
    ("tap", "parts"),
    [
        (TAP["name"], (TAP, port(str(TAP["name"]), "br-int", interface_id=X))),
        (TAP["name"], (port(str(TAP["name"]), "br-int", interface_id=X),)),
        (TAP["name"], ({"kind": "ovs-claim", "on": "br-int", "interface_id": X},)),
        ("own", (port("own", "br-int", interface_id=X),)),
    ],
    ids=["tap", "port", "claim", "port with a name of its own"],
)
def test_a_caller_that_tells_no_place_has_its_vif_in_no_two_switches(
    tap: str, parts: tuple[dict[str, Any], ...], victims: Victims
) -> None:
    mark = Owner(vif_id=X, vif_type="bridge").mark("tap")
    for line in ("link add brlx type bridge", f"tuntap add {tap} mode tap vnet_hdr",
                 f"link property add dev {tap} altname {mark}",
                 f"link set {tap} master brlx up"):  # fmt: skip
        victims.namespace.ip(*line.split())
    before = victims.everything()
    assert f"{tap} is on brlx already" in victims.plug(*parts)["error"]["text"]
    assert victims.differs(before) == []


@pytest.mark.parametrize("other", [MANUAL, AUTOMATIC, HYBRID, OWN], ids=["manual", "automatic",
                         "hybrid", "own bridge"])  # fmt: skip
def test_an_unplug_with_another_vifs_interface_id_is_a_conflict(
    other: Any, victims: Victims
) -> None:
    assert f"is that of VIF {other.id}" in victims.unplug(other.id)["error"]["text"]
    hostile = dataclasses.replace(ovs_vif(9), interface_id=other.id)
    for call in (victims.driver.plug, victims.driver.check):
        with pytest.raises(VifplugError, match=f"interface_id .* is that of VIF {other.id}"):
            call(None, hostile)
    with pytest.raises(Conflict, match=f"is that of VIF {other.id}"):
        victims.driver.unplug(None, hostile, force=True)
    assert victims.differs(victims.before) == []


def test_an_interface_id_that_another_vif_claims_is_found_beside_its_own_id(
    victims: Victims,
) -> None:
    odd = "5e0dcf31-ad6f-4d91-a088-6c4c3d6f5e44"
    claim = {"kind": "ovs-claim", "on": "br-int", "interface_id": odd}
    first = ovs_vif(10).id
    assert victims.plug(claim, vif_id=first, process="automatic")["changed"] is True
    assert f"is that of VIF {first}" in victims.plug(claim, process="automatic")["error"]["text"]
    assert f"is that of VIF {first}" in victims.unplug(odd)["error"]["text"]
    assert victims.unplug(vif_id=first)["changed"] is True
    assert victims.differs(victims.before) == []


@pytest.mark.dpdk
@pytest.mark.parametrize(
    ("name", "socket"),
    [
        ("db.sock", None),
        ("vhu12345678-90", None),
        (f"vhu{X[:11]}", "db.sock"),
        (f"vhu{X[:11]}", "vhu12345678-90"),
        ("int-br-ex", f"vhu{X[:11]}"),
    ],
)
def test_a_socket_has_no_name_but_the_vifs(
    name: str, socket: str | None, namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> None:
    folder = str(br_int.rundir)
    conf.config(group="vifplug_ovs", vhostuser_dir=folder)
    more: dict[str, Any] = {"type": "dpdkvhostuser"}
    if socket:
        more = {"type": "dpdkvhostuserclient", "socket": f"{folder}/{socket}"}
    with forked(OvsPlugin) as driver:
        host = Host(namespace, br_int, driver)
        (reply,) = privileged.plug(
            Victims._request(
                {"vif_id": X, "vif_type": "vhostuser",
                 "parts": [port(name, "br-int", interface_id=X, **more)]}
            )
        )  # fmt: skip
        assert "name of" in reply["error"]["text"]
        assert host.differs(host.before) == []
        assert (br_int.rundir / "db.sock").is_socket()
        host.works()


def test_the_port_of_a_guest_that_vifplug_does_not_know_is_anothers(victims: Victims) -> None:
    odd = "5e0dcf31-ad6f-4d91-a088-6c4c3d6f5e44"
    victims.namespace.ip("tuntap", "add", "vnet3", "mode", "tap")
    victims.ovs.vsctl("add-port", "br-int", "vnet3", "--", "set", "interface", "vnet3",
                      f"external_ids:iface-id={odd}")  # fmt: skip
    before = victims.everything()
    own_port = port(str(TAP["name"]), "br-int", interface_id=odd)
    assert f"is that of VIF {odd}" in victims.plug(TAP, own_port)["error"]["text"]
    assert f"is that of VIF {odd}" in victims.unplug(odd)["error"]["text"]
    assert victims.differs(before) == []
    assert victims.unplug(vif_id=odd)["changed"] is True, "whoever has the id has the port"
