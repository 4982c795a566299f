# SPDX-License-Identifier: Apache-2.0
"""``--log-file`` and the journal: an operator reads there what was done to which VIF, and when."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from tests.cli.conftest import ID, OTHER, vif
from vifplug.testing.shell import COMMAND, Shell

TAP = f"tap{ID[:11]}"
STAMPED = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (?P<level>[A-Z]+) [\w.]+: (?P<said>.+)")


def lines_of(log: Path, level: str) -> list[str]:
    """Return the messages of a level in a log file, whose lines all have a time; empty it."""
    found = [STAMPED.fullmatch(line) for line in log.read_text().splitlines()]
    log.write_text("")
    assert all(found)
    return [line["said"] for line in found if line and line["level"] == level]


def test_a_line_for_what_became_of_each_vif(vifplug: Shell, tmp_path: Path) -> None:
    log = tmp_path / "log"
    vifplug.configure("vifplug_bridge", create_tap="true")
    file = vifplug.file([vif(), vif(OTHER, network={"interface": "nowhere"})])
    assert vifplug("--log-file", str(log), "plug", file).returncode == 1
    done, failed = sorted(lines_of(log, "INFO"), key=lambda line: OTHER in line)
    assert done == f"plug VIF {ID} (bridge): changed: {TAP}"
    assert failed.startswith(f"plug VIF {OTHER} (bridge): ")
    assert "uplink nowhere is not there" in failed

    assert vifplug("--log-file", str(log), "unplug", "--id", ID).returncode == 0
    (line,) = lines_of(log, "INFO")
    assert line == f"unplug VIF {ID}: changed: {TAP}"


def test_with_v_a_line_for_each_change_of_the_host(vifplug: Shell, tmp_path: Path) -> None:
    log = tmp_path / "log"
    vifplug.configure("vifplug_bridge", create_tap="true")
    file = vifplug.file(vif())
    assert vifplug("-v", "--log-file", str(log), "plug", file).returncode == 0
    told = [line for line in lines_of(log, "DEBUG") if line.startswith(f"VIF {ID}: ")]
    for change in ("make bridge br100", f"make tap {TAP}"):
        assert [line for line in told if change in line] == [f"VIF {ID}: {change}"]


def test_the_journal_gets_what_became_of_each_vif(vifplug: Shell, tmp_path: Path) -> None:
    """A socket stands in for journald, which runs on no host of a test's own."""
    folder, file = tmp_path / "journal", vifplug.file(vif())
    folder.mkdir()
    inside = (
        "mount -t tmpfs run /run && mkdir -p /run/systemd/journal && "
        f'mount --bind {folder} /run/systemd/journal && exec "$@"'
    )
    assert vifplug("plan", file).returncode == 0  # which also writes the configuration
    config = str(vifplug.folder / "vifplug.conf")
    command = (COMMAND, "--config-file", config, "plug", file)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(folder / "dev-log"))
        journal.setblocking(False)
        vifplug.namespace.run("unshare", "--mount", "sh", "-c", inside, "sh", *command)
        said = journal.recv(4096).decode().rstrip("\0")
        assert re.fullmatch(rf"<\d+>vifplug: plug VIF {ID} \(bridge\): changed: no device", said)
