# SPDX-License-Identifier: Apache-2.0
"""Configuration files: what is misspelt, misplaced or of a bad value is named; the firewall."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from oslo_config import cfg
from oslo_privsep import priv_context

from vifplug import opts
from vifplug.cli.configuration import DAEMONS, Configuration
from vifplug.testing.shell import COMMAND

pytestmark = pytest.mark.unit

VIF = (
    '{"id": "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "vif_type": "%s", '
    '"address": "fa:16:3e:11:22:33", "network": {"bridge": "br0"}}'
)


def command(config: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run vifplug with a configuration file."""
    return subprocess.run(
        (COMMAND, "--config-file", str(config), *words),
        input=more.pop("input", ""),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin", **more},
    )


def configuration(file: Path, text: str) -> Configuration:
    """Return a configuration that is read from a file."""
    file.write_text(text)
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(file)])
    return Configuration(conf)


MISTAKES = {
    "an option": ("[vifplug_bridge]\ncreate_tpa = true",
                  "[vifplug_bridge] has no option create_tpa",
                  "create_tap"),
    "a group": ("[vifplug_brdige]\ncreate_tap = true",
                "no installed distribution has the group [vifplug_brdige]", "[vifplug_bridge]"),
    "another group's option": ("[vifplug]\ncreate_tap = true", "[vifplug] has no option create_tap",
                               "[vifplug_bridge] create_tap"),
    "no group": ("[DEFAULT]\ntimeout = 3", "[DEFAULT] has no option timeout", "[vifplug] timeout"),
    "a daemon's option": ("[vifplug_ovs_privileged]\nhelper_comand = sudo",
                          "[vifplug_ovs_privileged] has no option helper_comand", "helper_command"),
    "a daemon's group": ("[vifplug_ovs_privileges]\nuser = 3",
                         "no installed distribution has the group [vifplug_ovs_privileges]",
                         "[vifplug_ovs_privileged]"),
    "nothing like it": ("[vifplug]\nxyzzy = 3", "[vifplug] has no option xyzzy", ""),
    "no group like it": ("[colour]\nred = 3",
                         "no installed distribution has the group [colour]", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_has_no_effect_is_named_with_what_may_be_meant(name: str, tmp_path: Path) -> None:
    text, what, meant = MISTAKES[name]
    file = tmp_path / "vifplug.conf"
    (found,) = configuration(file, f"{text}\n").mistakes()
    assert str(found) == f"{file}: {what}" + (f"; did you mean {meant}?" if meant else "")


GOOD = """
[DEFAULT]
debug = true
[vifplug]
timeout = 3
[VIFPLUG_bridge]
create_tap = true
[vifplug_bridge_privileged]
helper_command = sudo privsep-helper
[vifplug_vepa]
lldpad_pid_file = /run/lldpad.pid
"""


def test_what_has_an_effect_is_not_complained_of(tmp_path: Path) -> None:
    assert list(configuration(tmp_path / "vifplug.conf", GOOD).mistakes()) == []


def test_of_another_programs_file_only_our_groups_are_looked_at(tmp_path: Path) -> None:
    text = "[DEFAULT]\ntimeout = 3\n[ovs]\nbridge = br-int\n[vifplug]\nmtu_ = 3\n[vifplug_x]\n"
    found = configuration(tmp_path / "nova.conf", text).mistakes()
    assert [each.what.partition(" has ")[0] for each in found] == [
        "[vifplug]",
        "no installed distribution",
    ]


def test_every_command_warns_in_one_line_and_doctor_fails(tmp_path: Path) -> None:
    file = tmp_path / "vifplug.conf"
    file.write_text("[vifplug_bridge]\ncreate_tpa = true\n")
    done = command(file, "plugins")
    assert done.returncode == 0
    words = f"{file}: [vifplug_bridge] has no option create_tpa"
    assert done.stderr == f"warning: {words}; did you mean create_tap?\n"
    done = command(file, "doctor")
    assert done.returncode == 1
    assert f"MEND  configuration       {words}\n" in done.stdout
    assert "mend: write create_tap\n" in done.stdout
    assert done.stderr == "", "doctor says it once"


def test_the_daemons_options_are_oslo_privseps() -> None:
    # Not equal, because a release before the newest has fewer.
    assert {opt.dest for opt in priv_context.OPTS} <= DAEMONS


BAD = {
    "mtu = 67": "[vifplug] mtu is '67'; allowed: an integer from 68 to 65535",
    "timeout = long": "[vifplug] timeout is 'long'; allowed: a number from 0.1 to 3600.0",
    "libvirt_version = 9": "[vifplug] libvirt_version is '9'; allowed: a version, as 9.0.0",
    "lock_path = locks": "[vifplug] lock_path is 'locks'; allowed: an absolute path, as "
    "/run/vifplug",
    "virt_type = xen": "[vifplug] virt_type is 'xen'; allowed: kvm, qemu, parallels, lxc",
    "rx_queue_size = 300": "[vifplug] rx_queue_size is '300'; allowed: 256, 512, 1024",
    "[vifplug_ovs]\nisolate = 3": "[vifplug_ovs] isolate is '3'; allowed: true or false",
    "[vifplug_ovs]\novsdb_connection = x": "[vifplug_ovs] ovsdb_connection is 'x'; allowed: "
    "unix:PATH, tcp:HOST:PORT or ssl:HOST:PORT",
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_value_is_told_in_plain_words(line: str, tmp_path: Path) -> None:
    file = tmp_path / "vifplug.conf"
    found = configuration(file, f"[vifplug]\n{line}\n").bad_values()
    assert list(found) == [f"{file}: {BAD[line]}"]


def test_a_command_ends_with_the_bad_value_and_doctor_tells_it(tmp_path: Path) -> None:
    file = tmp_path / "vifplug.conf"
    file.write_text("[vifplug_ovs]\nprocess = magic\n")
    done = command(file, "xml", "-", input=VIF % "ovs")
    said = f"{file}: [vifplug_ovs] process is 'magic'; allowed: choose, manual, automatic, hybrid"
    assert (done.returncode, done.stderr) == (2, f"vifplug: configuration: {said}\n")
    done = command(file, "doctor")
    assert done.returncode == 1
    assert f"MEND  configuration       {file}: [vifplug_ovs] process is 'magic'\n" in done.stdout


def test_a_bad_value_from_the_environment_names_it(tmp_path: Path) -> None:
    file = tmp_path / "vifplug.conf"
    file.write_text("")
    done = command(file, "xml", "-", input=VIF % "bridge", OS_VIFPLUG__MTU="3")
    assert done.returncode == 2
    assert "OS_VIFPLUG__MTU" in done.stderr and "LocationInfo" not in done.stderr


NOOP, NWFILTER = False, True
FIREWALLS = {
    "none": NOOP,
    "None": NOOP,
    "": NOOP,
    '""': NOOP,
    "noop": NOOP,
    "NoopFirewallDriver": NOOP,
    "nova.virt.firewall.NoopFirewallDriver": NOOP,
    "acme.somewhere.NoopFirewallDriver": NOOP,
    "nwfilter": NWFILTER,
    "nova.virt.libvirt.firewall.IptablesFirewallDriver": NWFILTER,
    "nova.virt.libvirt.firewall.NWFilterFirewall": NWFILTER,
}


@pytest.mark.parametrize("driver", FIREWALLS)
def test_a_firewall_driver_means_a_filter_or_none(driver: str, tmp_path: Path) -> None:
    file = tmp_path / "vifplug.conf"
    file.write_text(f"[vifplug]\nfirewall_driver = {driver}\n")
    conf = cfg.ConfigOpts()
    conf([], default_config_files=[str(file)])
    found = opts.register(conf).firewall_driver
    assert opts.firewall_required(found) == FIREWALLS[driver]


def test_no_firewall_driver_means_no_filter() -> None:
    assert opts.firewall_required(None) is False


@pytest.mark.parametrize("driver", ["iptables", "yes", "iptables_hybrid", "acme.OwnDriver", "true"])
def test_an_unknown_firewall_driver_is_an_error(driver: str, tmp_path: Path) -> None:
    file = tmp_path / "vifplug.conf"
    (said,) = configuration(file, f"[vifplug]\nfirewall_driver = {driver}\n").bad_values()
    assert said == (
        f"{file}: [vifplug] firewall_driver is {driver!r}; allowed: none, noop, nwfilter, or one "
        "of Nova's classes: NoopFirewallDriver, IptablesFirewallDriver, NWFilterFirewall"
    )
