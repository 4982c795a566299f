# SPDX-License-Identifier: Apache-2.0
"""Commands beside an Open vSwitch database that hangs: they end in time, and say so."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import ID, OTHER, Shell, ovs_vif, vif
from tests.processes import HANGS
from tests.silent import silent
from vifplug.testing import NetworkNamespace, OpenVSwitch
from vifplug.testing.openvswitch import SERVER

THIRD = "2d8cbf20-9c5e-4c80-9f77-5b3b2c5e4d33"


@pytest.fixture
def ovs(namespace: NetworkNamespace, vifplug: Shell) -> Iterator[OpenVSwitch]:
    """A switch with a VIF on it, beside one on a Linux bridge; the timeout is never waited for."""
    with OpenVSwitch(namespace) as found:
        found.add_bridge("br-int")
        vifplug.configure("vifplug", timeout=3600)
        vifplug.configure("vifplug_ovs", ovsdb_connection=found.endpoint)
        file = vifplug.file([vif(), ovs_vif(OTHER, address="fa:16:3e:44:55:66")])
        done = vifplug("plug", "--timeout", "60", file)
        assert done.returncode == 0, done.stderr
        yield found
        found.resume(SERVER)


@pytest.fixture(params=["stopped", "silent"])
def endpoint(
    request: pytest.FixtureRequest, ovs: OpenVSwitch, vifplug: Shell, tmp_path: Path
) -> Iterator[str]:
    """The endpoint of a server that was stopped, or of something that never says a word."""
    with contextlib.ExitStack() as stack:
        if request.param == "silent":
            path = stack.enter_context(silent(tmp_path)).path
            vifplug.configure("vifplug_ovs", ovsdb_connection=f"unix:{path}")
        else:
            ovs.pause(SERVER)
        yield str(vifplug.options["vifplug_ovs"]["ovsdb_connection"])


class Watch:
    """Runs commands with --timeout; each must end long before the configured one."""

    def __init__(self, vifplug: Shell) -> None:
        self._vifplug = vifplug

    def __call__(self, seconds: int, *words: str) -> subprocess.CompletedProcess[str]:
        began = time.monotonic()
        done = self._vifplug(*words, "--timeout", str(seconds))
        assert time.monotonic() - began < HANGS, words
        return done


def test_what_can_be_read_is_shown_and_unplugged(endpoint: str, vifplug: Shell) -> None:
    run, said = Watch(vifplug), f"warning: OVSDB at {endpoint}: it has not answered in time"
    done = run(1, "list", "-f", "json")
    assert done.returncode == 1
    assert ID in [found["id"] for found in json.loads(done.stdout)]
    line, guests = done.stderr.splitlines()
    assert line.startswith(said)
    assert guests.startswith("warning: libvirt tells no guests")

    done = run(1, "doctor", "-f", "json")
    (found,) = [each for each in json.loads(done.stdout) if each["check"] == "OVSDB"]
    assert (found["ok"], found["detail"]) == (False, f"{endpoint}: it has not answered in time")
    assert "does not answer" in found["mend"]

    # A VIF of which the kernel tells nothing may be on the switch.
    done = run(2, "unplug", "--id", THIRD)
    assert done.returncode == 1
    assert f"error: VIF {THIRD}: " in done.stderr

    done = run(20, "unplug", "--id", ID)
    assert done.returncode == 0, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(said)
    assert ID not in run(1, "list").stdout


def test_commands_on_files_end_in_time(ovs: OpenVSwitch, vifplug: Shell) -> None:
    file = vifplug.file([vif(), ovs_vif(OTHER, address="fa:16:3e:44:55:66")])
    ovs.pause(SERVER)
    for command, seconds in (("plan", 1), ("check", 1), ("plug", 1), ("unplug", 4)):
        done = Watch(vifplug)(seconds, command, "-f", "json", file)
        assert done.returncode == 1
        on_bridge, on_switch = json.loads(done.stdout)
        assert on_bridge["error"] is None
        assert on_switch["error"], "its switch does not answer"


def test_demo_sees_nothing_of_the_machine(ovs: OpenVSwitch, vifplug: Shell, tmp_path: Path) -> None:
    """In mounts where the switch is the machine's, and so is a configuration that is wrong."""
    home = tmp_path / "home/.vifplug"
    home.mkdir(parents=True)
    wrong = f"[vifplug]\nmtu = none\nfirewall_driver = nwfilter\nlock_path = {tmp_path}/own\n"
    (home / "vifplug.conf").write_text(wrong)
    script = f"""
        mount -t tmpfs run /run
        mkdir /run/openvswitch
        ln -s {ovs.socket} /run/openvswitch/db.sock
        exec vifplug demo
    """
    path = f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin"
    file = vifplug.file(ovs_vif(THIRD, address="fa:16:3e:77:88:99"))
    assert vifplug("plug", "--timeout", "60", file).returncode == 0
    words = ("unshare", "--mount", "--propagation", "private", "env", f"HOME={home.parent}")
    for hangs in (False, True):
        if hangs:
            ovs.pause(SERVER)
        done = vifplug.namespace.run(*words, f"PATH={path}", "sh", "-ec", script, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stderr == ""
        assert THIRD not in done.stdout
        assert "left on the host: nothing" in done.stdout
    assert not (tmp_path / "own").exists()
