# SPDX-License-Identifier: Apache-2.0
"""A caller of the daemon plugs a VIF, and nothing of other VIFs or of the host changes by it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.vepa.vifs import card, direct_vif, macvtap
from vifplug import GenericVIFDriver
from vifplug.kernel.namespace import network_namespace
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.dumps import differences
from vifplug_vepa import privileged

X = "9f3c52aa-1111-4222-8333-444455556666"
OTHER = "5e0dcf31-ad6f-4d91-a088-6c4c3d6f5e44"
TAP_OTHER = f"tap{OTHER[:11]}"
VICTIM = direct_vif()


def lower(device: str, mode: str = "vepa", address: str = "fa:16:3e:00:00:01") -> dict[str, Any]:
    return {"kind": "lower", "device": device, "mode": mode, "address": address}


def ask(entrypoint: Any, **vif: Any) -> dict[str, Any]:
    request = {"namespace": network_namespace(), "deadline": time.monotonic() + 20, "vifs": [vif]}
    (reply,) = entrypoint(request)
    found: dict[str, Any] = reply
    return found


@pytest.fixture
def before(namespace: NetworkNamespace, driver: GenericVIFDriver) -> dict[str, Any]:
    """A host with a card below the macvtap of another VIF's guest, which is shut off, and taps."""
    card(namespace)
    driver.plug(None, VICTIM)
    macvtap(namespace, VICTIM)
    namespace.ip("link", "add", "eth2", "type", "ifb")
    for name in (TAP_OTHER, "vnet7"):
        namespace.ip("tuntap", "add", name, "mode", "tap")
    return everything(namespace)


def everything(namespace: NetworkNamespace) -> dict[str, Any]:
    return {**namespace.everything(), "claims": every_claim()}


REFUSED = [
    (lower(TAP_OTHER), f"{TAP_OTHER} is named after another VIF"),
    (lower("lo"), "lo is a loopback device"),
    ({"kind": "vlan", "name": TAP_OTHER, "lower": "eth1", "vlan": 7},
     f"{TAP_OTHER} has no claim or port of this VIF"),
    ({"kind": "vf", "pci": "0000:01:00.1", "device": "eth1", "number": 0,
      "address": "fa:16:3e:00:00:01"}, "is there no more, or another's"),
    ({"kind": "claim", "on": "macvtap0", "role": "bridge"}, "macvtap0 is a macvtap device"),
    ({"kind": "claim", "on": TAP_OTHER, "role": "vlan"}, "is named after another VIF"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "says"), REFUSED, ids=lambda value: str(value)[:100])
def test_what_is_not_the_vifs_is_a_conflict_and_nothing_changes(
    part: dict[str, Any], says: str, namespace: NetworkNamespace, before: dict[str, Any]
) -> None:
    reply = ask(privileged.plug, vif_id=X, vif_type="macvtap", parts=[part])
    assert says in reply.get("error", {}).get("text", "no error")
    assert differences(before, everything(namespace)) == []
    assert ask(privileged.unplug, vif_id=X, force=True)["changed"] is False
    assert differences(before, everything(namespace)) == []


def test_the_macvtap_of_another_vifs_guest_stays(
    namespace: NetworkNamespace, before: dict[str, Any]
) -> None:
    same = lower("eth1", address=VICTIM.address)
    ask(privileged.plug, vif_id=X, vif_type="macvtap", parts=[same])
    assert namespace.ip_json("link", "show", "macvtap0")
    ask(privileged.unplug, vif_id=X, force=True)
    assert differences(before, everything(namespace)) == []


def test_a_vif_of_its_own_is_plugged_by_such_a_request(
    namespace: NetworkNamespace, before: dict[str, Any]
) -> None:
    reply = ask(privileged.plug, vif_id=X, vif_type="macvtap", parts=[lower("eth2")])
    assert reply.get("changed") is True, "else the requests above are refused for another reason"
    assert ask(privileged.unplug, vif_id=X, force=True)["changed"] is True
    assert differences(before, everything(namespace)) == []
