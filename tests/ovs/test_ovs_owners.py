# SPDX-License-Identifier: Apache-2.0
"""One VIF id is in one place: whoever put it there is found at plug, and asked at unplug."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from oslo_config.fixture import Config

from tests.ovs.conftest import Host
from tests.ovs.vifs import IDS, ovs_vif
from tests.processes import HANGS
from vifplug import VIF, Conflict, GenericVIFDriver
from vifplug.cli import main
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.claims import every_claim
from vifplug.testing.configured import forked
from vifplug.testing.dumps import differences
from vifplug.testing.openvswitch import SERVER
from vifplug_bridge import opts as bridge_opts
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin

PROCESSES = ("manual", "automatic", "hybrid")
BRIDGE = "brq5ca4a059-00"
TAP = f"tap{IDS[0]}"[:14]

ACME = {
    "__init__.py": "",
    "plugin.py": """
from vifplug import VIFPlugin
from acme.snapshot import Acme

class AcmePlugin(VIFPlugin):
    api_version = 1
    switch = "reader"
    snapshot = Acme

    def wire(self, vif, host):
        raise NotImplementedError
""",
    "snapshot.py": """
from dataclasses import dataclass
from vifplug.switch import Snapshot

@dataclass(frozen=True, kw_only=True)
class Acme(Snapshot):
    key = "acme"
    error = None
    absent = False
""",
    "reader.py": """
from acme.snapshot import Acme

def read(options, vifs, host, *, deadline):
    return Acme()
""",
    "privileged.py": """
from vifplug import privileged

context = privileged.Context(__name__)

@context.entrypoint
def unplug(request):
    raise AssertionError("it has nothing of this VIF")
""",
}
"""A vendor's plugin whose switch has nothing, and whose vif_type sorts first."""


def bridge_vif(number: int = 0) -> VIF:
    """Return the VIF of a number, with the same id as the one on br-int, on a Linux bridge."""
    vif = ovs_vif(number).to_dict()
    return VIF.from_dict(vif | {"vif_type": "bridge", "network": {"bridge": BRIDGE}})


@pytest.fixture
def both(
    namespace: NetworkNamespace, br_int: OpenVSwitch, conf: Config
) -> Iterator[tuple[Host, Config]]:
    """A host with a Linux bridge and an OVS bridge, and a daemon for each."""
    namespace.ip("link", "add", BRIDGE, "address", "02:00:00:00:00:01", "type", "bridge")
    namespace.ip("link", "set", BRIDGE, "up")
    conf.register_opts(bridge_opts.OPTS, group=bridge_opts.GROUP)
    conf.config(group="vifplug_bridge", create_tap=True)
    with forked(BridgePlugin, OvsPlugin) as driver:
        yield Host(namespace, br_int, driver), conf


def by(conf: Config, process: str) -> GenericVIFDriver:
    """Return a driver that connects VIFs on Open vSwitch in this way."""
    conf.config(group="vifplug_ovs", process=process)
    return GenericVIFDriver()


def leave_as_os_vif(host: Host) -> None:
    """Make a tap and its port as os-vif leaves them: with the VIF's ids, and no mark."""
    host.namespace.ip("tuntap", "add", TAP, "mode", "tap")
    ids = {"iface-id": IDS[0], "iface-status": "active", "attached-mac": ovs_vif().address}
    words = [f'external_ids:{key}="{value}"' for key, value in ids.items()]
    host.ovs.vsctl("add-port", "br-int", TAP, "--", "set", "Interface", TAP, *words)


# Unplug: each that has something of the VIF is asked.


def test_by_its_id_a_port_goes_though_another_plugin_with_a_switch_sorts_first(
    both: tuple[Host, Config],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    host, _ = both
    site = tmp_path / "site"
    for name, code in ACME.items():
        (site / "acme").mkdir(parents=True, exist_ok=True)
        (site / "acme" / name).write_text(code)
    info = site / "acme-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    entry = "aaa = acme.plugin:AcmePlugin\n"
    (info / "entry_points.txt").write_text(f"[vifplug.plugins]\n{entry}[vifplug.switches]\n{entry}")
    monkeypatch.syspath_prepend(site)
    assert GenericVIFDriver().registry.switch_types == ("aaa", "ovs")
    leave_as_os_vif(host)

    words = ["--config-file", str(tmp_path / "vifplug.conf"), "unplug", "--id", IDS[0]]
    assert main(words) == 0
    assert "changed" in capsys.readouterr().out
    assert host.ovs.vsctl("list-ports", "br-int") == ""
    assert host.differs(host.before) == []
    assert main(words) == 0
    assert "unchanged" in capsys.readouterr().out


@pytest.mark.parametrize("interface_id", [None, IDS[7]], ids=["", "with an interface_id"])
@pytest.mark.parametrize("process", PROCESSES)
def test_a_vif_on_open_vswitch_goes_whole_with_a_file_that_says_bridge(
    both: tuple[Host, Config], process: str, interface_id: str | None
) -> None:
    host, conf = both
    driver = by(conf, process)
    before = host.everything()
    driver.plug(None, ovs_vif(interface_id=interface_id))
    assert [one.vif_type for one in driver.list()] == ["ovs"]
    assert driver.unplug(None, bridge_vif()).changed
    assert driver.list() == []
    assert host.differs(host.before) == []
    assert every_claim() == before[2]
    assert not driver.unplug(None, bridge_vif()).changed


@pytest.mark.parametrize("create_tap", [True, False])
def test_a_vif_on_a_linux_bridge_goes_whole_with_a_file_that_says_ovs(
    both: tuple[Host, Config], create_tap: bool
) -> None:
    host, conf = both
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    driver = GenericVIFDriver()
    driver.plug(None, bridge_vif())
    assert [one.vif_type for one in driver.list()] == ["bridge"]
    assert driver.unplug(None, ovs_vif()).changed
    assert driver.list() == []
    assert host.differs(host.before) == []
    assert every_claim() == {}
    assert not driver.unplug(None, ovs_vif()).changed


@pytest.mark.parametrize("vif", [bridge_vif(), ovs_vif()], ids=["bridge", "ovs"])
def test_a_tap_that_is_in_two_places_leaves_both(both: tuple[Host, Config], vif: VIF) -> None:
    host, conf = both
    driver = by(conf, "manual")
    driver.plug(None, ovs_vif())
    host.namespace.ip("link", "set", TAP, "master", BRIDGE)  # as an agent of Neutron's does
    assert driver.unplug(None, vif).changed
    assert host.differs(host.before) == []
    assert driver.list() == []


# Plug: who has the VIF elsewhere hears of it, and nothing changes.


def is_refused(host: Host, driver: GenericVIFDriver, vif: VIF, found: str) -> None:
    """Require that a plug and a check say where the VIF is, and that nothing changes."""
    before = host.everything()
    for ask in (driver.plug, driver.check):
        with pytest.raises(Conflict, match=found) as error:
            ask(None, vif)
        assert vif.id in str(error.value)
    now = host.everything()
    assert [differences(was, becomes) for was, becomes in zip(before, now, strict=True)] == [
        [],
        [],
        [],
    ]


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("create_tap", [True, False])
def test_a_vif_on_a_linux_bridge_is_not_plugged_into_open_vswitch_too(
    both: tuple[Host, Config], process: str, create_tap: bool
) -> None:
    host, conf = both
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    driver = by(conf, process)
    driver.plug(None, bridge_vif())
    device = f"{TAP} is on {BRIDGE}" if create_tap else f"{BRIDGE} has this VIF"
    is_refused(host, driver, ovs_vif(), rf"{device} already \(vif_type bridge\)")
    assert not driver.check(None, bridge_vif())


@pytest.mark.parametrize("interface_id", [None, IDS[7]], ids=["", "with an interface_id"])
@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("create_tap", [True, False])
def test_a_vif_on_open_vswitch_is_not_plugged_into_a_linux_bridge_too(
    both: tuple[Host, Config], process: str, create_tap: bool, interface_id: str | None
) -> None:
    host, conf = both
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    driver = by(conf, process)
    vif = ovs_vif(interface_id=interface_id)
    driver.plug(None, vif)
    is_refused(host, driver, bridge_vif(), rf"already \(vif_type ovs, {process}\)")
    assert not driver.check(None, vif)


@pytest.mark.parametrize("process", PROCESSES)
def test_a_tap_of_anothers_in_a_linux_bridge_is_not_plugged_into_open_vswitch_too(
    both: tuple[Host, Config], process: str
) -> None:
    host, conf = both
    host.namespace.ip("tuntap", "add", TAP, "mode", "tap", "vnet_hdr")
    host.namespace.ip("link", "set", TAP, "master", BRIDGE)
    found = rf"{TAP} is on {BRIDGE} already \(put there by another program\)"
    is_refused(host, by(conf, process), ovs_vif(), found)


@pytest.mark.parametrize("create_tap", [True, False])
def test_a_port_of_os_vif_is_not_plugged_into_a_linux_bridge_too(
    both: tuple[Host, Config], create_tap: bool
) -> None:
    host, conf = both
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    leave_as_os_vif(host)
    found = rf"{TAP} is on br-int already \(put there by another program\)"
    is_refused(host, GenericVIFDriver(), bridge_vif(), found)


def test_the_commands_say_where_a_vif_is(
    both: tuple[Host, Config], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, _ = both
    host.driver.plug(None, bridge_vif())
    file = tmp_path / "vif.json"
    file.write_text(str(ovs_vif().to_dict()).replace("'", '"'))
    for command in ("plan", "check", "plug"):
        words = ["--config-file", str(tmp_path / "vifplug.conf"), command, str(file)]
        assert main(words) == 1
        said = capsys.readouterr()
        assert f"VIF {IDS[0]}: {TAP} is on {BRIDGE} already (vif_type bridge)" in said.err
        assert "--move" in said.err
        assert said.out == ""


# A switch that does not answer.


@pytest.mark.parametrize("create_tap", [True, False])
def test_a_database_that_hangs_costs_another_plugins_vif_little(
    both: tuple[Host, Config], create_tap: bool
) -> None:
    host, conf = both
    conf.config(group="vifplug_bridge", create_tap=create_tap)
    driver = GenericVIFDriver()
    host.ovs.pause(SERVER)
    try:
        start = time.monotonic()
        # Were the database waited for until the deadline, nothing could be plugged by then.
        assert driver.plug(None, bridge_vif(), timeout=HANGS / 2).changed
        print(f"a plug beside a database that hangs: {time.monotonic() - start:.2f} s")
        assert not driver.plug(None, bridge_vif(), timeout=HANGS / 2).changed
        assert driver.unplug(None, bridge_vif(), timeout=HANGS / 2).changed
    finally:
        host.ovs.resume(SERVER)
    assert host.differs(host.before) == []
