# SPDX-License-Identifier: Apache-2.0
"""A caller of the daemon plugs a VIF, and nothing of other VIFs or of the host changes by it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.bridge.vifs import IDS, bridge_vif, tap_of
from vifplug import Conflict, GenericVIFDriver
from vifplug.kernel.namespace import network_namespace
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import fork
from vifplug.testing.dumps import differences
from vifplug_bridge import privileged
from vifplug_bridge.plugin import BridgePlugin

X = "9f3c52aa-1111-4222-8333-444455556666"
A, B, BESIDE = bridge_vif(0, bridge="br-a"), bridge_vif(1, bridge="br-b"), bridge_vif(2)
TAP_A, TAP_B = tap_of(A), tap_of(B)

OWN_TAP = {"kind": "tap", "name": f"tap{X[:11]}", "address": "fe:16:3e:00:00:01"}
BR_X = ({"kind": "bridge", "name": "br-x", "create": True}, {"kind": "claim", "on": "br-x"})


def port(device: str, bridge: str = "br-x") -> dict[str, Any]:
    return {"kind": "port", "device": device, "bridge": bridge}


def uplink(device: str, bridge: str = "br-x") -> dict[str, Any]:
    return {"kind": "uplink", "device": device, "bridge": bridge}


def claim(on: str, role: str = "bridge") -> dict[str, Any]:
    return {"kind": "claim", "on": on, "role": role}


class Victims:
    """A host with two VIFs, an uplink with addresses, and a bridge of the host's own.

    A has a tap of ours in br-a. B has libvirt's tap in br-b. The host is on eth9, and on the
    bridge brhost with the port hport, which udev has given another name.
    """

    def __init__(self, namespace: NetworkNamespace, driver: GenericVIFDriver, conf: Config):
        self.namespace, self.driver = namespace, driver
        driver.plug(None, B)
        conf.config(group="vifplug_bridge", create_tap=True)
        GenericVIFDriver().plug(None, A)
        for line in (
            f"tuntap add {TAP_B} mode tap vnet_hdr",
            f"link set {TAP_B} master br-b up",
            "tuntap add vnet7 mode tap vnet_hdr",
            "link set vnet7 up",
            "link add eth9 type veth peer name wire9",
            "link set wire9 up",
            "link set eth9 mtu 1450 up",
            "addr add 192.0.2.9/24 dev eth9",
            "addr add 2001:db8::9/64 dev eth9 nodad",
            "route add default via 192.0.2.1",
            "link add eth8 type veth peer name wire8",
            "link set eth8 up",
            "link add brhost type bridge",
            "link add hport type veth peer name wire7",
            "link property add dev hport altname enp0s3",
            "link set hport master brhost up",
            "link set brhost up",
            "addr add 198.51.100.1/24 dev brhost",
        ):
            namespace.ip(*line.split())
        self.before = self.everything()

    def everything(self) -> dict[str, Any]:
        return {**self.namespace.everything(), "claims": every_claim()}

    @property
    def differences(self) -> list[str]:
        return differences(self.before, self.everything())

    def plug(self, *parts: dict[str, Any], **vif: Any) -> dict[str, Any]:
        found = {"vif_id": X, "vif_type": "bridge", "parts": list(parts), **vif}
        (reply,) = privileged.plug(self._request(found))
        return reply

    def unplug(self, vif_id: str = X) -> dict[str, Any]:
        (reply,) = privileged.unplug(self._request({"vif_id": vif_id, "force": True}))
        return reply

    @staticmethod
    def _request(vif: dict[str, Any]) -> dict[str, Any]:
        return {"namespace": network_namespace(), "deadline": time.monotonic() + 20, "vifs": [vif]}


@pytest.fixture
def victims(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> Iterator[Victims]:
    conf.config(group="vifplug_bridge", remove_unused=True)
    fork(BridgePlugin)  # the daemon has its options from its start
    yield Victims(namespace, driver, conf)


REFUSED = [
    ((claim("eth9"),), "eth9 is a veth device; needed: a bridge that VIFs share"),
    ((claim("lo", "vlan"),), "lo is the loopback device"),
    ((claim(TAP_A, "vlan"),), f"{TAP_A} belongs to VIF {A.id}"),
    ((claim(TAP_B, "vlan"),), f"{TAP_B} is named after another VIF"),
    ((claim("nowhere"),), "nowhere is not there"),
    ((*BR_X, port(TAP_A)), f"{TAP_A} is not ours"),
    ((*BR_X, claim(TAP_A, "vlan"), port(TAP_A)), f"{TAP_A} belongs to VIF {A.id}"),
    ((*BR_X, port(TAP_B)), f"{TAP_B} is not ours"),
    ((*BR_X, port("eth9")), "eth9 is not ours"),
    ((*BR_X, claim("eth9", "vlan"), port("eth9")), "eth9 is not ours"),
    ((*BR_X, port("enp0s3")), "enp0s3 is another name of hport"),
    ((*BR_X, port("nowhere")), "nowhere is not there"),
    ((*BR_X, OWN_TAP, port(OWN_TAP["name"], "eth8")), "eth8 is a veth device"),
    ((*BR_X, OWN_TAP, port(OWN_TAP["name"], TAP_B)), f"{TAP_B} is named after another VIF"),
    ((*BR_X, uplink(TAP_A)), f"{TAP_A} is a port of br-a"),
    ((*BR_X, uplink(TAP_B)), f"{TAP_B} is a port of br-b"),
    ((*BR_X, uplink("hport")), "hport is a port of brhost"),
    ((*BR_X, uplink("enp0s3")), "enp0s3 is another name of hport"),
    ((OWN_TAP | {"name": f"tap{IDS[2][:11]}"},), "is the name of another VIF's device"),
    ((OWN_TAP | {"name": f"qvo{A.id[:11]}"},), "is the name of another VIF's device"),
    ((OWN_TAP | {"name": TAP_B},), f"{TAP_B} is there and not ours"),
    (({"kind": "bridge", "name": f"qbr{A.id[:11]}", "create": True}, claim(f"qbr{A.id[:11]}")),
     "is the name of another VIF's device"),
    (({"kind": "bridge", "name": "br-x", "create": True, "ipv6": True}, claim("br-x")),
     "ipv6 is True"),
]  # fmt: skip


@pytest.mark.parametrize(("parts", "says"), REFUSED, ids=lambda value: str(value)[:120])
def test_what_is_not_the_vifs_is_a_conflict_and_nothing_changes(
    parts: tuple[dict[str, Any], ...], says: str, victims: Victims
) -> None:
    reply = victims.plug(*parts)
    assert says in reply.get("error", {}).get("text", "no error")
    assert victims.differences == []
    assert victims.unplug()["changed"] is False
    assert victims.differences == []


def test_a_vif_of_its_own_is_plugged_by_the_same_requests(victims: Victims) -> None:
    reply = victims.plug(*BR_X, OWN_TAP, port(str(OWN_TAP["name"])), uplink("eth8"))
    assert reply.get("changed") is True, "else the requests above are refused for another reason"
    assert victims.unplug()["changed"] is True
    assert victims.differences == []


@pytest.mark.parametrize("device", [TAP_A, TAP_B, "vnet7", "eth8"])
def test_a_tap_that_is_not_named_after_the_vif_is_left_alone(device: str, victims: Victims) -> None:
    guest = {"kind": "guest", "device": device, "bridge": "br-x", "mtu": 1400}
    assert victims.plug(*BR_X, guest).get("changed") is True
    assert {line for line in victims.differences if device in line} == set()
    victims.unplug()
    assert victims.differences == []


def test_a_bridge_of_others_stays_when_one_more_vif_has_left_it(victims: Victims) -> None:
    assert victims.plug(claim("br-a")).get("changed") is True
    assert victims.unplug()["changed"] is True
    assert victims.differences == []


def test_a_vif_with_the_same_ten_digits_has_nothing_of_anothers(victims: Victims) -> None:
    namesake = B.id[:14] + X[14:]
    parts = (*BR_X, {"kind": "guest", "device": TAP_B, "bridge": "br-x"})
    reply = victims.plug(*parts, vif_id=namesake)
    assert f"{TAP_B} is on br-b already" in reply["error"]["text"]
    assert victims.unplug(namesake)["changed"] is False
    assert victims.differences == []
    own_tap = OWN_TAP | {"name": TAP_B}
    assert "is not ours" in victims.plug(own_tap, vif_id=namesake)["error"]["text"]
    victims.namespace.ip("link", "del", TAP_B)
    before = victims.everything()
    taken = victims.plug(own_tap, vif_id=namesake)["error"]["text"]
    assert f"{TAP_B} is a name of VIF {B.id} too" in taken, "before B's guest starts, too"
    assert differences(before, victims.everything()) == []
    for line in (f"tuntap add {TAP_B} mode tap vnet_hdr", f"link set {TAP_B} master br-b up"):
        victims.namespace.ip(*line.split())
    victims.before = victims.everything()
    # Where that tap is as the VIF wants it, a plug changes nothing of it, and no unplug takes it.
    assert victims.plug(claim("br-b"), parts[-1] | {"bridge": "br-b"}, vif_id=namesake)["changed"]
    assert victims.unplug(namesake)["changed"] is True
    assert victims.differences == []


def mtu_of(namespace: NetworkNamespace, device: str) -> int:
    return int(namespace.everything()["links"][device]["mtu"])


def test_no_vif_gives_a_shared_bridge_more_than_its_uplink_has(
    victims: Victims, namespace: NetworkNamespace
) -> None:
    bridge = {"kind": "bridge", "name": "br-x", "create": True, "mtu": 1400}
    assert victims.plug(bridge, claim("br-x"), uplink("eth9")).get("changed") is True
    assert mtu_of(namespace, "br-x") == 1400
    for other, mtu in ((IDS[2], 65535), (B.id.replace("1c", "77"), 68)):
        assert victims.plug(bridge | {"mtu": mtu}, claim("br-x"), vif_id=other)["changed"] is True
        assert mtu_of(namespace, "br-x") == 1450
        victims.unplug(other)
    victims.unplug()
    assert victims.differences == []


def test_the_hosts_traffic_fits_through_an_uplink_that_joins(
    victims: Victims, namespace: NetworkNamespace
) -> None:
    bridge = {"kind": "bridge", "name": "br-x", "create": True, "mtu": 9000}
    assert victims.plug(bridge, claim("br-x"), uplink("eth9")).get("changed") is True
    assert mtu_of(namespace, "br-x") == 1450
    assert "2001:db8::9" in str(namespace.everything()["addresses"]), "IPv6 came along"
    assert victims.plug(bridge, claim("br-x"), uplink("eth9")).get("changed") is False


def test_no_vif_raises_the_mtu_of_a_bridge_of_others(
    victims: Victims, namespace: NetworkNamespace
) -> None:
    fixed = {"kind": "mtu", "bridge": "brhost", "device": OWN_TAP["name"], "mtu": 68, "at": 65535}
    victims.plug(fixed, claim("brhost"))
    victims.unplug()
    # eth9 has a smaller MTU, and does not join.
    victims.plug(fixed | {"at": 1500, "uplink": "eth9"}, claim("brhost"))
    assert mtu_of(namespace, "brhost") == 1500
    victims.unplug()
    assert victims.differences == []


def test_a_caller_that_tells_no_place_moves_its_vif_nowhere(victims: Victims) -> None:
    tap = str(OWN_TAP["name"])
    assert victims.plug(*BR_X, OWN_TAP, port(tap), uplink("eth8")).get("changed") is True
    before = victims.everything()
    for parts in ((OWN_TAP, port(tap, "br-a")), (port(tap, "br-a"),)):
        assert f"{tap} is on br-x already" in victims.plug(*parts)["error"]["text"]
    assert differences(before, victims.everything()) == []
    victims.unplug()
    assert victims.differences == []


def test_no_tap_lowers_the_mtu_of_a_bridge_of_others(victims: Victims) -> None:
    small = OWN_TAP | {"mtu": 68}
    joins = port(str(OWN_TAP["name"]), "brhost")
    reply = victims.plug(small, joins)
    assert "would give brhost, which others made, the MTU" in reply["error"]["text"]
    assert victims.differences == []
    fixed = {"kind": "mtu", "bridge": "brhost", "device": OWN_TAP["name"], "mtu": 68, "at": 1500}
    assert victims.plug(fixed, small, joins).get("changed") is True
    assert mtu_of(victims.namespace, "brhost") == 1500
    victims.unplug()
    assert victims.differences == []
    assert victims.plug(claim("brhost"))["changed"] is True, "it says that a plug was here"
    assert "would give brhost" in victims.plug(fixed, small, joins)["error"]["text"]
    victims.unplug()
    assert victims.differences == []


def test_no_tap_changes_a_bridge_of_others_that_it_is_in(
    victims: Victims, namespace: NetworkNamespace
) -> None:
    joins = port(str(OWN_TAP["name"]), "brhost")
    assert victims.plug(OWN_TAP | {"mtu": 1500}, joins)["changed"] is True
    smaller = victims.plug(OWN_TAP | {"mtu": 1200}, joins)
    assert "would give brhost, which others made, the MTU 1200" in smaller["error"]["text"]
    assert mtu_of(namespace, "brhost") == 1500
    victims.unplug()
    namespace.ip("link", "set", "hport", "address", "02:00:00:00:77:77")
    victims.before = victims.everything()
    low = victims.plug(OWN_TAP | {"address": "02:00:00:00:00:01"}, joins)
    assert "02:00:00:00:00:01, which brhost would take" in low["error"]["text"]
    assert victims.differences == []


@pytest.mark.parametrize(
    ("option", "parts", "says"),
    [
        ("allowed_bridges", (claim("br-a"),), "br-a is not allowed on this host"),
        ("allowed_bridges", BR_X, "br-x is not allowed on this host"),
        ("allowed_uplinks", (*BR_X, uplink("eth8")), "eth8 is not allowed on this host"),
    ],
)
def test_an_operator_limits_what_vifs_may_use(
    option: str,
    parts: tuple[dict[str, Any], ...],
    says: str,
    victims: Victims,
    conf: Config,
    driver: GenericVIFDriver,
) -> None:
    conf.config(group="vifplug", **{option: ["tenant*", "eth7"]})
    fork(BridgePlugin)
    assert says in victims.plug(*parts)["error"]["text"]
    assert victims.differences == []
    conf.config(group="vifplug", **{option: ["tenant*", "br-[ax]", "eth[78]"]})
    fork(BridgePlugin)
    assert victims.plug(*parts).get("changed") is True


def test_a_plan_tells_what_an_operator_does_not_allow(
    victims: Victims, conf: Config, driver: GenericVIFDriver
) -> None:
    conf.config(group="vifplug", allowed_bridges=["tenant*"])
    with pytest.raises(Conflict, match="needed: a name as the option allowed_bridges lists"):
        GenericVIFDriver().plan(None, BESIDE)
    assert not driver.check(None, A), "a VIF that is plugged already stays"


def test_a_bridge_of_others_that_has_taps_only_takes_one_more(
    namespace: NetworkNamespace, conf: Config, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "br100", "type", "bridge")
    namespace.ip("tuntap", "add", "vnet0", "mode", "tap")
    namespace.ip("link", "set", "vnet0", "address", "fe:54:00:99:99:99", "master", "br100")
    conf.config(group="vifplug_bridge", create_tap=True)
    found = GenericVIFDriver().plug(None, bridge_vif(should_create_bridge=False))
    assert found.changed
    assert namespace.everything()["links"]["br100"]["address"] == "fe:16:3e:11:22:00"


def test_no_tap_raises_the_mtu_of_a_bridge_of_others_without_ports(victims: Victims) -> None:
    victims.namespace.ip("link", "add", "brnone", "type", "bridge")
    victims.before = victims.everything()
    large, joins = OWN_TAP | {"mtu": 9000}, port(str(OWN_TAP["name"]), "brnone")
    reply = victims.plug(large, joins)
    assert "would give brnone, which others made, the MTU 9000" in reply["error"]["text"]
    assert victims.differences == []
    assert victims.plug(OWN_TAP | {"mtu": 1500}, joins)["changed"] is True
    assert "would give brnone" in victims.plug(large, joins)["error"]["text"]
    assert mtu_of(victims.namespace, "brnone") == 1500
