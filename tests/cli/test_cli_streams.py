# SPDX-License-Identifier: Apache-2.0
"""The program among a shell's odd streams, files and signals: one line that says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.conftest import vif
from vifplug.testing import NetworkNamespace
from vifplug.testing.shell import COMMAND


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a line of shell in which ``$vifplug`` is the program."""
    with NetworkNamespace() as host:
        words = [f"{name}={value}" for name, value in environment.items()]
        return host.run("env", f"vifplug={COMMAND}", *words, "bash", "-c", line, check=False)


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("$vifplug plugins >&-", 1, "vifplug: standard output: Bad file descriptor"),
        ("$vifplug plugins >/dev/full", 1, "vifplug: standard output: No space left on device"),
        ("$vifplug xml - <&-", 2, "error: file standard input is unreadable (Bad file descriptor)"),
        ("$vifplug xml /dev/zero", 2, "error: file /dev/zero is larger than 64 MiB"),
        ("$vifplug xml /tmp", 2, "error: file /tmp is unreadable (Is a directory)"),
        ("$vifplug --config-file /tmp plugins", 2, "vifplug: configuration: '/tmp': not a file"),
        ("$vifplug --config-file /bin/true plugins", 2, "vifplug: configuration: /bin/true: not"),
        ("$vifplug plug", 2, "vifplug plug: the following arguments are required: FILE"),
        ("$vifplug plug --timeout x f", 2, "vifplug plug: argument --timeout: 'x' is no number"),
        ("$vifplug", 2, "vifplug: a command is missing; known: "),
    ],
)
def test_what_goes_wrong_is_said_in_one_line(line: str, status: int, said: str) -> None:
    done = shell(line)
    assert done.returncode == status
    (only,) = done.stderr.splitlines()
    assert only.startswith(said)


def test_a_closed_standard_error_takes_nothing_from_the_output() -> None:
    done = shell("$vifplug plugins 2>&-")
    assert done.returncode == 0
    assert "BridgePlugin" in done.stdout


def test_all_streams_closed_still_plug(tmp_path: Path) -> None:
    file = tmp_path / "vif.json"
    file.write_text(json.dumps(vif()))
    conf = tmp_path / "vifplug.conf"
    conf.write_text(f"[vifplug]\nlock_path = {tmp_path}/locks\n")
    line = f"$vifplug --config-file {conf} plug {file} <&- >&- 2>&-; ip -o link show br100"
    assert "br100" in shell(line).stdout


def test_a_reader_that_goes_away_is_no_error_to_tell() -> None:
    done = shell("$vifplug schema bridge | true")
    assert done.stderr == ""


def test_an_ascii_locale_prints_a_tree_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "vif.json"
    file.write_text(json.dumps(vif()))
    conf = tmp_path / "vifplug.conf"
    facts = "libvirt_version = 9.0.0\nvirt_type = qemu\n"  # else it is said what is assumed
    conf.write_text(f"[vifplug]\nlock_path = {tmp_path}/locks\n{facts}")
    run = f"$vifplug --config-file {conf}"
    line = f"{run} plug {file} && {run} list && {run} plug {file.with_name(chr(0xFC))}"
    done = shell(line, LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert "br100" in done.stdout
    assert "Traceback" not in done.stderr
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(errors) == 1


def once_read(fifo: Path, within: float = 20.0) -> int:
    """Return a descriptor for writing to a FIFO as soon as somebody has it open for reading."""
    until = time.monotonic() + within
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:  # ENXIO: nobody has
            if time.monotonic() >= until:
                raise
            time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_its_daemon(number: signal.Signals, tmp_path: Path) -> None:
    fifo = tmp_path / "vif.json"
    os.mkfifo(fifo)
    # Whoever runs the tests may have signals ignored, as nohup does.
    command = ["env", "--default-signal", COMMAND, "plug", str(fifo)]
    with NetworkNamespace() as host, host.entered():
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        writer = once_read(fifo)
        process.send_signal(number)
        _, said = process.communicate(timeout=10)
        os.close(writer)
    assert process.returncode in (130, -number)
    assert "Traceback" not in said
