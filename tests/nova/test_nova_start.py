# SPDX-License-Identifier: Apache-2.0
"""What nova-compute says when it starts with our driver: no plugin, a broken one, another Nova."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

from tests.nova import vifs
from tests.nova.environments import ROOT, Environment
from vifplug.testing import NetworkNamespace

START = Path(__file__).parent / "inside/start.py"


def started(
    nova: Environment, folder: Path, *cases: dict[str, Any], more: str = ""
) -> CompletedProcess[str]:
    """Start; distributions in the folder ``also`` go before those of the environment."""
    conf = folder / "nova.conf"
    lock = f"[vifplug]\nlock_path = {folder / 'locks'}\n"
    conf.write_text(f"[DEFAULT]\ncompute_driver = vifplug.LibvirtDriver\n{lock}{more}")
    lines = "".join(f"{json.dumps(case['vif'])}\n" for case in cases)
    with NetworkNamespace(enter=True):
        return nova.run(START, conf, check=False, input=lines, PYTHONPATH=str(folder / "also"))


def distribution(folder: Path, name: str, version: str, entry_points: str = "") -> None:
    """Make a distribution that has a name, a version and entry points."""
    info = folder / f"also/{name}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)


def of_type(vif_type: str) -> dict[str, Any]:
    return vifs.cases(1, types=(vif_type,), seed=1)[0]


def test_a_missing_plugin_and_a_broken_one_are_named(
    nova34_alone: Environment, tmp_path: Path
) -> None:
    broken = "[vifplug.plugins]\novs = vif_plugin_that_is_nowhere:Plugin\n"
    distribution(tmp_path, "vif_plugin_that_is_nowhere", "1.0", broken)
    done = started(nova34_alone, tmp_path, of_type("bridge"), of_type("ovs"))
    assert "VIFs of vif_type ovs can't be connected" in done.stderr
    assert "vif_plugin_that_is_nowhere 1.0" in done.stderr
    bridge, ovs = (json.loads(line) for line in done.stdout.splitlines())
    why = "no installed vifplug plugin claims vif_type bridge"
    assert bridge["plug"].startswith("VirtualInterfacePlugException: ") and why in bridge["plug"]
    assert "no longer supported" in bridge["get_config"]
    for method in ("plug", "get_config"):
        assert "No module named 'vif_plugin_that_is_nowhere'" in ovs[method], method
    assert ovs["plug"].startswith("VirtualInterfacePlugException: ")
    assert ovs["get_config"].startswith("InternalError: ")
    assert ovs["unplug"] is None, "there is nothing of it"


def test_a_vif_type_can_be_left_to_nova(nova34: Environment, tmp_path: Path) -> None:
    said = started(nova34, tmp_path, of_type("bridge"), more="[vifplug_nova]\nleave = bridge\n")
    assert "vif_type bridge is left to Nova, as configured" in said.stderr
    assert "leave names bridge" in json.loads(said.stdout)["plug"]
    assert "vif_type ovs is connected by vifplug_ovs 0.1.0" in said.stderr


def test_a_nova_that_is_too_old_ends_at_its_start(
    nova34_alone: Environment, tmp_path: Path
) -> None:
    distribution(tmp_path, "nova", "20.6.1")
    done = started(nova34_alone, tmp_path)
    assert done.returncode == 1
    assert "vifplug_nova fits Nova 22 and newer; this is Nova 20.6.1" in done.stderr


def test_a_nova_that_is_called_otherwise_ends_at_its_start(
    nova34_alone: Environment, tmp_path: Path
) -> None:
    distribution(tmp_path, "nova", "36.0.0")
    module = nova34_alone.packages / "nova/virt/libvirt/vif.py"
    old = "def get_config(self, instance, vif, image_meta, flavor, virt_type):"
    text = module.read_text()
    assert old in text
    module.unlink()  # a hard link of the machine's
    module.write_text(text.replace(old, old.replace("virt_type)", "virt_type, domain=None)")))
    try:
        done = started(nova34_alone, tmp_path)
    finally:
        module.write_text(text)
    assert done.returncode == 1
    assert "Nova 36.0.0 has get_config(instance, vif, image_meta, flavor, virt_type, domain)" in (
        done.stderr
    )


def test_a_newer_nova_of_the_same_shape_is_said_to_be_untested(
    nova34_alone: Environment, tmp_path: Path
) -> None:
    distribution(tmp_path, "nova", "35.0.0")
    done = started(nova34_alone, tmp_path, of_type("tap"))
    assert "vifplug_nova is tested with Nova 33 and 34, not with 35.0.0" in done.stderr
    assert "managed" in json.loads(done.stdout)["get_config"], "Nova's own, without a plugin"


def test_two_plugins_of_one_name_in_os_vif_are_said(nova33: Environment, tmp_path: Path) -> None:
    old = "[os_vif]\nlinux_bridge = vif_plug_linux_bridge.linux_bridge:LinuxBridgePlugin\n"
    distribution(tmp_path, "os_vif_of_old", "4.3.1", old)
    done = started(nova33, tmp_path)
    assert (
        "os-vif has another plugin linux_bridge (vif_plug_linux_bridge.linux_bridge" in done.stderr
    )


def test_the_documented_rootwrap_filter_lets_each_daemon_start(
    nova34: Environment, tmp_path: Path
) -> None:
    lines = (ROOT / "docs/nova.md").read_text().splitlines()
    at = lines.index("    [Filters]")
    filters = tmp_path / "rootwrap.d"
    filters.mkdir()
    (filters / "vifplug.filters").write_text("\n".join(line[4:] for line in lines[at : at + 2]))
    conf = tmp_path / "nova.conf"
    conf.write_text("")
    done = nova34.run(START.with_name("filtered.py"), filters, conf, nova34.folder / "bin")
    assert "--privsep_context vifplug_ovs.privileged.context" in done.stdout
    assert len(done.stdout.splitlines()) == 3
