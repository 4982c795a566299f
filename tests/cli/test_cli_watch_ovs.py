# SPDX-License-Identifier: Apache-2.0
"""``vifplug watch`` with Open vSwitch, as a service runs it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.conftest import ID, OTHER, ovs_vif
from tests.cli.watching import watching
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.openvswitch import SERVER, SWITCH
from vifplug.testing.shell import Shell

TAP, OTHER_TAP = f"tap{ID[:11]}", f"tap{OTHER[:11]}"


@pytest.fixture
def ovs(namespace: NetworkNamespace, vifplug: Shell) -> Iterator[OpenVSwitch]:
    with OpenVSwitch(namespace) as found:
        found.add_bridge("br-int")
        vifplug.configure("vifplug_ovs", ovsdb_connection=found.endpoint, process="manual")
        yield found


@pytest.fixture
def file(vifplug: Shell, ovs: OpenVSwitch) -> str:
    """A file of two VIFs with ports of their own, which are plugged."""
    name = vifplug.file([ovs_vif(), ovs_vif(OTHER, address="fa:16:3e:11:22:44")])
    done = vifplug("plug", name)
    assert done.returncode == 0, done.stderr
    return name


ACTS = {
    "its port deleted": ("del-port", "br-int", TAP),
    "its ids gone": ("remove", "Interface", TAP, "external_ids", "iface-id"),
    "another id": ("set", "Interface", TAP, "external_ids:iface-id=other"),
    "its bridge deleted": ("del-br", "br-int"),
}


@pytest.mark.parametrize("act", ACTS)
def test_a_change_of_the_database_is_mended(
    act: str, vifplug: Shell, ovs: OpenVSwitch, file: str
) -> None:
    with watching(vifplug, "--repair", file) as watch:
        if act == "its bridge deleted":
            ovs.vsctl(*ACTS[act], "--", "add-br", "br-int", "--",
                      "set", "Bridge", "br-int", "datapath_type=netdev")  # fmt: skip
            watch.is_told("mended 2")
            assert ovs.vsctl("port-to-br", OTHER_TAP).strip() == "br-int"
        else:
            ovs.vsctl(*ACTS[act])
            assert watch.event_of("mended", ID)["drift"]
            assert watch.more() == [], "the other VIF is as it was"
        assert ovs.vsctl("port-to-br", TAP).strip() == "br-int"
        assert ovs.vsctl("get", "Interface", TAP, "external_ids:iface-id").strip() == f'"{ID}"'
        assert vifplug("check", file).returncode == 0
        assert watch.end() == 0


def test_a_port_in_another_bridge_is_told_with_its_way_back(
    vifplug: Shell, ovs: OpenVSwitch, file: str
) -> None:
    ovs.add_bridge("br-other")
    with watching(vifplug, file) as watch:
        ids = (f"external_ids:iface-id={ID}", "external_ids:iface-status=active")
        ovs.vsctl("del-port", TAP, "--", "add-port", "br-other", TAP, "--",
                  "set", "Interface", TAP, *ids)  # fmt: skip
        event = watch.event()
        assert (event["event"] in ("drift", "failed"), event["id"]) == (True, ID)
        ovs.vsctl("del-port", TAP)
        assert vifplug("plug", file).returncode == 0
        watch.event_of("as asked", ID)


def test_what_happened_while_the_database_was_away_is_mended(
    vifplug: Shell, ovs: OpenVSwitch, file: str, namespace: NetworkNamespace
) -> None:
    with watching(vifplug, "--repair", file) as watch:
        ovs.kill(SERVER)
        watch.complains("the switch ovs can't be watched until it is there again")
        namespace.ip("link", "set", TAP, "down")
        ovs.start(SERVER)
        # Nothing but a whole look can tell of this one.
        event = watch.event_of("mended", ID)
        assert f"{TAP}" in " ".join(event["drift"])
        ovs.vsctl("del-port", "br-int", OTHER_TAP)
        watch.event_of("mended", OTHER)
        assert watch.end() == 0
    assert "the switch ovs is watched again" in watch.complaints


def test_a_watch_that_starts_before_its_database(
    vifplug: Shell, ovs: OpenVSwitch, file: str
) -> None:
    ovs.kill(SERVER)
    with watching(vifplug, "--repair", file) as watch:
        ovs.start(SERVER)
        ovs.vsctl("del-port", "br-int", TAP)
        watch.event_of("mended", ID)
        assert vifplug("check", file).returncode == 0


def test_a_switch_that_is_restarted_ends_with_all_vifs_as_asked(
    vifplug: Shell, ovs: OpenVSwitch, file: str
) -> None:
    with watching(vifplug, "--repair", file) as watch:
        ovs.kill(SWITCH)
        ovs.start(SWITCH)
        ovs.vsctl("show")
        ovs.vsctl("del-port", "br-int", TAP)
        watch.event_of("mended", ID)
        watch.is_told("0 not as asked")
        assert vifplug("check", file).returncode == 0


def test_what_does_not_concern_a_vif_is_no_event(
    vifplug: Shell, ovs: OpenVSwitch, file: str
) -> None:
    with watching(vifplug, file) as watch:
        ovs.vsctl("add-port", "br-int", "strange0", "--", "set", "Interface", "strange0",
                  "type=internal")  # fmt: skip
        ovs.vsctl("set", "Bridge", "br-int", "external_ids:ct-zone-x=1")
        ovs.vsctl("del-port", "strange0")
        ovs.vsctl("del-port", TAP)
        assert watch.event()["id"] == ID
        assert watch.more() == []
