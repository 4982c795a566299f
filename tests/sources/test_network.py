# SPDX-License-Identifier: Apache-2.0
"""The VIF of a port of a libvirt network, as libvirt 9.0 tells a hook of the port."""

from __future__ import annotations

from typing import Any

import pytest

from vifplug.errors import InvalidVIF
from vifplug.sources.network import parse

pytestmark = pytest.mark.unit

PORT = "cd9b04e7-8ca5-4e04-b421-83862727af16"
INTERFACE = "5e925be9-595c-4318-8e50-639c87a03766"
OWNER = "ad66f299-1fc0-498a-9b44-e2a82873e778"
LAN = '{"vif_type": "bridge", "network": {"should_create_bridge": true}}'
OVS = f"<virtualport type='openvswitch'><parameters interfaceid='{INTERFACE}'/></virtualport>"


def told(
    template: str = LAN,
    *,
    version: str = "1",
    element: str = "vif",
    forward: str = "<forward mode='bridge'/>",
    plug: str = "<plug type='bridge' bridge='br100'/>",
    port: str = "",
) -> bytes:
    return f"""<hookData>
  <network connections='1'>
    <name>lan</name>
    <uuid>df594a39-296c-4762-a061-a1e9bff1ebac</uuid>
    <metadata>
      <v:{element} xmlns:v="urn:vifplug:network:{version}">{template}</v:{element}>
    </metadata>
    {forward}
    <bridge name='br100'/>
  </network>
  <networkport>
    <uuid>{PORT}</uuid>
    <owner><name>web1</name><uuid>{OWNER}</uuid></owner>
    <mac address='fa:16:3e:00:00:01'/>
    {port}
    {plug}
  </networkport>
</hookData>""".encode()


def test_a_port_of_a_bridge_is_the_vif_of_its_uuid() -> None:
    vif = parse(told()).vif()
    assert (vif.id, vif.address, vif.network.bridge) == (PORT, "fa:16:3e:00:00:01", "br100")
    assert (vif.instance.name, vif.instance.uuid) == ("web1", OWNER)
    assert vif.network.should_create_bridge


def test_a_port_of_open_vswitch_is_the_vif_of_its_interface_id() -> None:
    port = parse(told('{"vif_type": "ovs"}', port=OVS))
    assert (port.virtualport, port.vif().id) == ("openvswitch", INTERFACE)


@pytest.mark.parametrize(
    ("given", "field", "words"),
    [
        ({"template": "no JSON"}, "the network's metadata", "a JSON object"),
        ({"template": "[" * 5000}, "the network's metadata", "a JSON object"),
        ({"template": "[]"}, "the network's metadata", "a JSON object"),
        ({"element": "vifs"}, "the network's metadata", "without <vif>"),
        ({"version": "2"}, "version of the network's metadata", "'2'; allowed: 1"),
        ({"template": f'{{"id": "{PORT}"}}'}, "id in", "the network's port says it"),
        ({"template": '{"address": "x"}'}, "address in", "the network's port says it"),
        ({"template": '{"model": "e1000"}'}, "model in", "the domain says it"),
        ({"template": '{"network": []}'}, "network", ""),
        ({"template": '{"vif_type": "bridge", "vlna": 1}'}, "vlna", ""),
        (
            {"template": '{"vif_type": "bridge", "network": {"bridge": "br9"}}'},
            "network.bridge",
            "'br9'; allowed: br100, the bridge of the network lan",
        ),
        (
            {"forward": "<forward/>", "plug": "<plug type='network' bridge='br100'/>"},
            "forward mode",
            "'nat'; allowed: bridge",
        ),
        ({"forward": "", "plug": "<plug type='network' bridge='br100'/>"}, "forward", "'none'"),
        ({"plug": "<plug type='direct' dev='eth1' mode='vepa'/>"}, "forward mode", ""),
    ],
)
def test_what_no_vif_can_be_made_of_is_named(given: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(InvalidVIF) as refused:
        parse(told(**given)).vif()
    assert refused.value.vif_id == PORT
    assert refused.value.field.startswith(field)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<domain/>",
        b"<hookData/>",
        b"<hookData><network/></hookData>",
        b"<hookData><network/><networkport/></hookData>",
        b"<hookData><network/><networkport><uuid>x</uuid></networkport></hookData>",
    ],
)
def test_what_is_no_port_is_refused(text: bytes) -> None:
    with pytest.raises(InvalidVIF):
        parse(text)
