# SPDX-License-Identifier: Apache-2.0
"""The VIF's reader, fuzzed: whatever comes in, a VIF or an InvalidVIF comes out."""

from __future__ import annotations

import copy
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.documents import json_values, paths
from tests.planning import BRIDGE, OVS, PLUGINS
from vifplug import VIF, Host, InvalidVIF, VifplugError
from vifplug.model.mark import Owner
from vifplug.parts import CORE, build
from vifplug.plan.compare import plan
from vifplug.testing.cases import good

pytestmark = pytest.mark.unit

GOOD = good(BRIDGE) + good(OVS)
valid = st.sampled_from([case.read("vif.json") for case in GOOD])


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Draw a valid VIF with one to three values replaced, removed or added."""
    data = copy.deepcopy(draw(valid))
    for _ in range(draw(st.integers(1, 3))):
        *outer, last = draw(st.sampled_from([path for path in paths(data) if path]))
        place = data
        for key in outer:
            place = place[key]
        match draw(st.sampled_from(["replace", "remove", "add"])):
            case "remove":
                del place[last]
            case "add" if isinstance(place, dict):
                place[draw(st.text(max_size=10))] = draw(json_values)
            case _:
                place[last] = draw(json_values)
        if not any(paths(data)):
            break
    return data


def outcome(data: Any) -> VIF | InvalidVIF:
    try:
        return VIF.from_dict(data)
    except InvalidVIF as error:
        assert len(str(error).splitlines()) == 1
        str(error).encode()
        return error


@given(json_values)
def test_any_json_is_a_vif_or_an_error_that_names_the_field(data: Any) -> None:
    assert isinstance(outcome(data), InvalidVIF)


@given(mutated())
@settings(max_examples=400)
def test_a_mutated_vif_is_a_vif_or_an_error(data: Any) -> None:
    found = outcome(data)
    if isinstance(found, VIF):
        again = VIF.from_dict(json.loads(json.dumps(found.to_dict())))
        assert again == found


@given(mutated(), st.booleans(), st.booleans(), st.sampled_from(["kvm", "qemu", "lxc"]))
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
def test_what_is_accepted_plans_and_renders_or_is_refused(
    data: Any, create_tap: bool, firewall: bool, virt_type: str
) -> None:
    vif = outcome(data)
    if isinstance(vif, InvalidVIF) or vif.vif_type not in PLUGINS:
        return
    options = {"create_tap": create_tap} if vif.vif_type == "bridge" else {}
    plugin = PLUGINS[vif.vif_type](options)
    host = Host.from_dict({"virt_type": virt_type, "firewall": firewall})
    try:
        plugin.check(vif)
        wiring = plugin.wire(vif, host)
        found = plan(Owner(vif_id=vif.id, vif_type=vif.vif_type), wiring, host)
    except VifplugError as error:
        assert vif.id in str(error)
        return
    assert all(len(line) <= 80 for line in str(found).splitlines())
    etree.fromstring(wiring.interface.to_xml())
    assert tuple(build(part.to_dict(), CORE) for part in wiring.parts) == wiring.parts


@given(mutated())
@settings(max_examples=300)
def test_what_we_accept_the_schema_accepts(data: Any) -> None:
    # The schema can't say all that we check (an address' bits), and says more than we do of null,
    # which counts as absent here; so it holds in one direction, for data without null.
    vif = outcome(data)
    if isinstance(vif, InvalidVIF) or vif.vif_type not in PLUGINS or "null" in json.dumps(data):
        return
    try:
        PLUGINS[vif.vif_type]().check(vif)
    except InvalidVIF:
        return
    jsonschema.validate(data, PLUGINS[vif.vif_type].schema(vif.vif_type))


@pytest.mark.parametrize("vif_type", PLUGINS)
def test_the_schema_is_one(vif_type: str) -> None:
    jsonschema.Draft202012Validator.check_schema(PLUGINS[vif_type].schema(vif_type))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"id": "x"}, PLUGINS[vif_type].schema(vif_type))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"vif_type": vif_type}, PLUGINS[vif_type].schema(vif_type))


def test_what_a_newer_peer_adds_is_passed_over_when_asked() -> None:
    data = {**GOOD[0].read("vif.json"), "colour": "red"}  # type: ignore[dict-item]
    with pytest.raises(InvalidVIF, match="colour"):
        VIF.from_dict(data)
    assert VIF.from_dict(data, lenient=True).vif_type == "bridge"


def test_the_blueprints_spellings_are_aliases() -> None:
    data = {"id": GOOD[0].vif.id, "vif_type": "80211.qbg", "address": "fa:16:3e:11:22:33"}
    assert VIF.from_dict(data).vif_type == "802.1qbg"


def test_an_address_is_compared_without_regard_to_case() -> None:
    data = dict(GOOD[0].read("vif.json"))  # type: ignore[call-overload]
    assert VIF.from_dict(data | {"address": "FA:16:3E:11:22:33"}) == VIF.from_dict(data)
