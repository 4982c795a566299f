# SPDX-License-Identifier: Apache-2.0
"""A caller that lies to the privileged side: refused, and nothing touched."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from tests.bridge.vifs import IDS, bridge_vif
from vifplug import GenericVIFDriver, PrivilegeError
from vifplug.kernel.namespace import network_namespace
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import every_claim
from vifplug.testing.dumps import differences
from vifplug_bridge import privileged

TAP = {"kind": "tap", "name": "tap0b6a9d0e-7a", "address": "fe:16:3e:11:22:33"}
BRIDGE = {"kind": "bridge", "name": "br100", "create": True}
CLAIM = {"kind": "claim", "on": "br100"}


def request(**changes: Any) -> dict[str, Any]:
    vif = {"vif_id": IDS[0], "vif_type": "bridge", "process": "", "parts": [BRIDGE, CLAIM]}
    found = {
        "namespace": network_namespace(),
        "deadline": time.monotonic() + 5,
        "vifs": [vif | changes.pop("vif", {})],
    }
    return found | changes


@pytest.mark.parametrize(
    ("vif", "says"),
    [
        ({"vif_id": "../../etc"}, "vif_id is '../../etc'"),
        ({"vif_id": None}, "vif_id is missing"),
        ({"vif_id": IDS[0] + "\n"}, "vif_id is "),
        ({"id": IDS[0]}, "id is "),
        ({"vif_type": "a:b"}, "vif_type is 'a:b'"),
        ({"process": "x:y"}, "process is 'x:y'"),
        ({"interface_id": "../x"}, "interface_id is '../x'"),
        ({"elsewhere": "uplink"}, "elsewhere is 'uplink'"),
        ({"elsewhere": ["a b"]}, "elsewhere[0] is 'a b'"),
        ({"move": "yes"}, "move is 'yes'"),
        ({"parts": None}, "parts is missing"),
        ({"parts": "bridge"}, "parts is 'bridge'"),
        ({"parts": [None]}, "parts[0] is None"),
        ({"parts": [{"kind": "shell", "command": "true"}]}, "not a part: "),
        ({"parts": [{"kind": ["bridge"]}]}, "not a part: "),
        ({"parts": [BRIDGE | {"name": "../../x"}]}, "name is '../../x'"),
        ({"parts": [BRIDGE | {"name": "all"}]}, "name is 'all'"),
        ({"parts": [BRIDGE | {"name": "a b"}]}, "name is 'a b'"),
        ({"parts": [BRIDGE | {"mtu": 70000}]}, "mtu is 70000"),
        ({"parts": [BRIDGE | {"mtu": True}]}, "mtu is True"),
        ({"parts": [BRIDGE | {"create": "yes"}]}, "create is 'yes'"),
        ({"parts": [BRIDGE | {"more": 1}]}, "more is 1"),
        ({"parts": [TAP | {"address": "01:00:5e:00:00:01"}]}, "address is '01:00:5e:00:00:01'"),
        ({"parts": [TAP | {"mtu": 65522}]}, "mtu is 65522"),
        # A claim is text with these separators, and its file is named for the VIF alone.
        ({"parts": [{"kind": "claim", "on": "lo", "role": "bridge:x"}]}, "role is 'bridge:x'"),
        ({"parts": [{"kind": "claim", "on": "lo", "role": "bridge.1"}]}, "role is 'bridge.1'"),
        ({"parts": [{"kind": "claim", "on": "../lo"}]}, "on is '../lo'"),
        # The host's own devices: its uplink into a bridge, its uplink or its bridge as a VIF's.
        (
            {"parts": [BRIDGE, {"kind": "port", "device": "uplink", "bridge": "br100"}]},
            "uplink is not ours",
        ),
        ({"parts": [TAP | {"name": "uplink"}]}, "uplink is a veth device"),
        ({"parts": [TAP | {"name": "foreign"}]}, "foreign "),
        ({"parts": [BRIDGE | {"name": "lo"}, CLAIM | {"on": "lo"}]}, "lo is a loopback device"),
        ({"parts": [{"kind": "claim", "on": "nowhere"}]}, "nowhere is not there"),
        (
            {"parts": [{"kind": "port", "device": "nowhere", "bridge": "nowhere"}]},
            "nowhere is not there",
        ),
    ],
    ids=repr,
)
def test_a_part_or_owner_that_is_none_is_refused(
    vif: dict[str, Any], says: str, namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "uplink", "type", "veth", "peer", "name", "far")
    namespace.ip("tuntap", "add", "foreign", "mode", "tap")
    before = namespace.everything()
    (reply,) = privileged.plug(request(vif=vif))
    assert says in reply["error"]["text"]
    assert differences(before, namespace.everything()) == []
    assert every_claim() == {}
    assert driver.plug(None, bridge_vif()).changed, "the daemon goes on"


def test_a_request_as_the_caller_sends_it_is_taken(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    (reply,) = privileged.plug(request())
    assert reply["changed"] is True, "else the requests above are refused for another reason"


@pytest.mark.parametrize(
    "wrong",
    [
        {"namespace": 1},
        {"namespace": None},
        {"deadline": math.nan},
        {"deadline": math.inf},
        {"deadline": "soon"},
        {"deadline": None},
        {"vifs": 7},
        {"vifs": None},
    ],
)
def test_a_request_that_is_none_is_refused(
    wrong: dict[str, Any], namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    before = namespace.everything()
    for entrypoint in (privileged.plug, privileged.unplug):
        with pytest.raises(PrivilegeError, match="daemon"):
            entrypoint(request(**wrong))
    assert differences(before, namespace.everything()) == []


def test_a_deadline_that_has_passed_changes_nothing(
    namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    before = namespace.everything()
    (reply,) = privileged.plug(request(deadline=time.monotonic() - 1))
    assert reply["error"]["class"] == "vifplug.errors:DeadlineExceeded"
    assert differences(before, namespace.everything()) == []


def test_only_entrypoints_can_be_called(driver: GenericVIFDriver) -> None:
    channel = privileged.context.ready(time.monotonic() + 10)
    for name in ("os.system", "vifplug.apply.plug", "vifplug_bridge.privileged.list_opts"):
        with pytest.raises(NameError, match=r"refused: .*; allowed: "):
            channel.remote_call(name, ({},), {}, 5)
