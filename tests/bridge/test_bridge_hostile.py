# SPDX-License-Identifier: Apache-2.0
"""A caller that lies to the privileged side: refused, and nothing touched."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from tests.bridge.vifs import IDS, bridge_vif
from tests.faults.dumps import differences
from vifplug import GenericVIFDriver, PrivilegeError
from vifplug.kernel.namespace import network_namespace
from vifplug.testing import NetworkNamespace
from vifplug_bridge import privileged

TAP = {"kind": "tap", "name": "tap0b6a9d0e-7a", "address": "fe:16:3e:11:22:33"}
BRIDGE = {"kind": "bridge", "name": "br100", "create": True}


def request(**changes: Any) -> dict[str, Any]:
    vif = {"id": IDS[0], "vif_type": "bridge", "process": "", "parts": [BRIDGE]}
    found = {
        "namespace": network_namespace(),
        "deadline": time.monotonic() + 5,
        "vifs": [vif | changes.pop("vif", {})],
    }
    return found | changes


@pytest.mark.parametrize(
    "vif",
    [
        {"id": "../../etc"},
        {"id": None},
        {"id": IDS[0] + "\n"},
        {"vif_type": "a:b"},
        {"process": "x:y"},
        {"parts": None},
        {"parts": "bridge"},
        {"parts": [None]},
        {"parts": [{"kind": "shell", "command": "true"}]},
        {"parts": [{"kind": ["bridge"]}]},
        {"parts": [BRIDGE | {"name": "../../x"}]},
        {"parts": [BRIDGE | {"name": "all"}]},
        {"parts": [BRIDGE | {"name": "a b"}]},
        {"parts": [BRIDGE | {"mtu": 70000}]},
        {"parts": [BRIDGE | {"mtu": True}]},
        {"parts": [BRIDGE | {"create": "yes"}]},
        {"parts": [BRIDGE | {"more": 1}]},
        {"parts": [TAP | {"address": "01:00:5e:00:00:01"}]},
        {"parts": [TAP | {"mtu": 65522}]},
        # The host's own devices: its uplink into a bridge, its uplink or its bridge as a VIF's.
        {"parts": [BRIDGE, {"kind": "port", "device": "uplink", "bridge": "br100"}]},
        {"parts": [TAP | {"name": "uplink"}]},
        {"parts": [TAP | {"name": "foreign"}]},
        {"parts": [BRIDGE | {"name": "lo"}]},
        {"parts": [{"kind": "claim", "on": "nowhere"}]},
        {"parts": [{"kind": "port", "device": "nowhere", "bridge": "nowhere"}]},
    ],
)
def test_a_part_or_owner_that_is_none_is_refused(
    vif: dict[str, Any], namespace: NetworkNamespace, driver: GenericVIFDriver
) -> None:
    namespace.ip("link", "add", "uplink", "type", "veth", "peer", "name", "far")
    namespace.ip("tuntap", "add", "foreign", "mode", "tap")
    before = namespace.everything()
    (reply,) = privileged.plug(request(vif=vif))
    assert "error" in reply
    assert differences(before, namespace.everything()) == []
    assert driver.plug(None, bridge_vif()).changed, "the daemon goes on"


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
        {"vifs": ["x"]},
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
    assert reply["error"] == "DeadlineExceeded"
    assert differences(before, namespace.everything()) == []


def test_only_entrypoints_can_be_called(driver: GenericVIFDriver) -> None:
    channel = privileged.context.ready(time.monotonic() + 10)
    for name in ("os.system", "vifplug.apply.plug", "vifplug_bridge.privileged.list_opts"):
        with pytest.raises(NameError, match="not exported"):
            channel.remote_call(name, (), {}, 5)
