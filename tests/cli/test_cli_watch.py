# SPDX-License-Identifier: Apache-2.0
"""``vifplug watch`` on Linux bridges, as a service runs it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import ID, OTHER, vif
from tests.cli.watching import WITHIN, watching
from vifplug.testing import NetworkNamespace
from vifplug.testing.claims import kept_of
from vifplug.testing.shell import Shell

TAP = f"tap{ID[:11]}"
OTHER_TAP = f"tap{OTHER[:11]}"


@pytest.fixture
def file(vifplug: Shell) -> str:
    """A file of two VIFs with taps of their own, which are plugged."""
    vifplug.configure("vifplug_bridge", create_tap=True)
    other = vif(OTHER, address="fa:16:3e:11:22:44")
    name = vifplug.file([vif(), other])
    done = vifplug("plug", name)
    assert done.returncode == 0, done.stderr
    return name


def master(namespace: NetworkNamespace, device: str = TAP) -> str | None:
    (link,) = namespace.ip_json("link", "show", device)
    return link.get("master")


ACTS = {
    "taken out": (("link", "set", TAP, "nomaster"), "br100"),
    "in another bridge": (("link", "set", TAP, "master", "br300"), "br100"),
    "down": (("link", "set", TAP, "down"), "up"),
    "another MTU": (("link", "set", TAP, "mtu", "1300"), "MTU 1500"),
    "deleted": (("link", "del", TAP), f"make tap {TAP}"),
    "its mark gone": (
        ("link", "property", "del", "dev", TAP, "altname", f"vifplug:{ID}::tap:bridge"), "adopted"
    ),
}  # fmt: skip


def test_each_change_is_told_and_the_way_back(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    namespace.ip("link", "add", "br300", "type", "bridge")
    with watching(vifplug, file) as watch:
        for act in ("taken out", "in another bridge", "down", "another MTU"):
            words, told = ACTS[act]
            namespace.ip(*words)
            event = watch.event_of("drift", ID)
            assert event["vif_type"] == "bridge"
            assert told in " ".join(event["drift"]), act
            assert vifplug("check", file).returncode != 0
            assert vifplug("plug", "--move", file).returncode == 0
            assert watch.event_of("as asked", ID)["drift"] == []
            if act != "another MTU":  # which is their bridge's too
                assert watch.more() == [], "the other VIF is as it was"
        assert watch.end() == 0
    assert watch.complaints.startswith("vifplug: watching 2 VIFs, 0 not as asked")


@pytest.mark.parametrize("act", ACTS)
def test_a_change_is_mended(
    act: str, vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    namespace.ip("link", "add", "br300", "type", "bridge")
    words, told = ACTS[act]
    with watching(vifplug, "--repair", file) as watch:
        namespace.ip(*words)
        event = watch.event_of("mended", ID)
        assert told in " ".join(event["drift"])
        assert event["seconds"] > 0
        assert master(namespace) == "br100"
        assert vifplug("check", file).returncode == 0
        assert "mended 1, not mended 0" in watch.is_told("mended 1")
        assert watch.end() == 0


def test_a_shared_bridge_that_is_deleted_is_mended_for_all(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with watching(vifplug, "--repair", file) as watch:
        namespace.ip("link", "del", "br100")
        mended = {watch.event_of("mended", ID)["id"], *(e["id"] for e in watch.more())}
        assert ID in mended
        watch.is_told("0 not as asked; drifts 2")
        assert (master(namespace), master(namespace, OTHER_TAP)) == ("br100", "br100")
        assert vifplug("check", file).returncode == 0


def test_a_tap_in_a_namespace_that_goes_is_made_again(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with NetworkNamespace() as other, watching(vifplug, "--repair", file) as watch:
        namespace.ip("link", "set", TAP, "netns", other.path)
        assert "make tap" in " ".join(watch.event_of("mended", ID)["drift"])
        assert other.ip_json("link", "show", TAP)
    assert master(namespace) == "br100"


def test_who_undoes_each_repair_is_not_fought_without_an_end(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with watching(vifplug, "--repair", file) as watch:
        for _ in range(5):
            namespace.ip("link", "set", TAP, "nomaster")
            watch.event_of("mended", ID)
        namespace.ip("link", "set", TAP, "nomaster")
        watch.event_of("mended", ID)
        namespace.ip("link", "set", TAP, "nomaster")
        assert watch.event_of("drift", ID)
        assert master(namespace) is None, "it is left alone for a second"
        watch.event_of("mended", ID)
        assert master(namespace) == "br100"


def test_what_vifplug_itself_does_is_not_told_while_it_does_it(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with watching(vifplug, file) as watch:
        assert vifplug("plug", file).returncode == 0
        for _ in range(3):
            assert vifplug("unplug", file).returncode == 0
            assert {watch.event()["event"], watch.event()["event"]} == {"drift"}
            assert vifplug("plug", file).returncode == 0
            assert {watch.event()["event"], watch.event()["event"]} == {"as asked"}
        assert watch.more() == []


def test_lost_notifications_lead_to_a_whole_look(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    """The watch is stopped while the kernel has more to tell than its socket takes."""
    with watching(vifplug, "--repair", file) as watch:
        watch.signal(signal.SIGSTOP)
        batch = "".join(f"link set lo mtu {65000 + at % 2}\n" for at in range(_FLOOD))
        namespace.run("ip", "-batch", "-", input=batch)
        namespace.ip("link", "set", TAP, "nomaster")
        assert dropped(namespace), "else this shows nothing"
        watch.signal(signal.SIGCONT)
        watch.event_of("mended", ID)
        assert master(namespace) == "br100"
        assert watch.end() == 0


def dropped(namespace: NetworkNamespace) -> int:
    """Return how many notifications the kernel could not leave with the processes of a host."""
    lines = namespace.run("cat", "/proc/net/netlink").stdout.splitlines()[1:]
    return sum(int(line.split()[8]) for line in lines)


_FLOOD = 12_000
"""Changes of a device. Each takes 2.3 kB of the 16 MB that a socket of a watch has."""


def test_a_claim_and_a_repair_of_a_tap_that_libvirt_makes(
    vifplug: Shell, namespace: NetworkNamespace
) -> None:
    file = vifplug.file(vif())
    assert vifplug("plug", file).returncode == 0
    with watching(vifplug, "--repair", file) as watch:
        namespace.ip("tuntap", "add", TAP, "mode", "tap")
        assert watch.event_of("mended", ID)
        assert master(namespace) == "br100"
        with namespace.entered():
            assert any(ID in each for each in kept_of("br100", vifplug.folder / "locks"))


def test_once_looks_at_everything_and_ends(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    done = vifplug("watch", "--once", file)
    assert (done.returncode, done.stdout) == (0, "")
    namespace.ip("link", "set", TAP, "nomaster")
    done = vifplug("watch", "--once", file)
    assert done.returncode == 3
    assert done.stdout.startswith(f"{ID}  bridge  drift: make port {TAP} -> br100")
    done = vifplug("watch", "--once", "--repair", file)
    assert done.returncode == 0
    drift, mended = done.stdout.splitlines()
    assert "drift" in drift
    assert mended.startswith(f"{ID}  bridge  mended in ")
    assert vifplug("check", file).returncode == 0


def test_once_of_a_vif_that_can_not_be_plugged(vifplug: Shell, namespace: NetworkNamespace) -> None:
    file = vifplug.file(vif(network={"should_create_bridge": False}))
    for words in ((), ("--repair",)):
        done = vifplug("watch", "--once", *words, file)
        assert done.returncode == 1
        assert "bridge br100 is not there" in done.stdout
    assert namespace.ip_json("link") == namespace.ip_json("link", "show", "lo")


def test_a_bridge_that_comes_later_is_noticed(vifplug: Shell, namespace: NetworkNamespace) -> None:
    file = vifplug.file(vif(network={"should_create_bridge": False}))
    with watching(vifplug, "--repair", file) as watch:
        event = watch.event_of("failed", ID)
        assert "br100 is not there" in event["error"]
        assert event["problem"]["class"] == "Conflict"
        namespace.ip("link", "add", "br100", "type", "bridge")
        watch.event_of("mended", ID)
        assert vifplug("check", file).returncode in (0, 3)


def test_a_folder_is_read_anew_on_sighup(
    vifplug: Shell, namespace: NetworkNamespace, tmp_path: Path
) -> None:
    folder = tmp_path / "vifs.d"
    folder.mkdir()
    vifplug.configure("vifplug_bridge", create_tap=True)
    (folder / "one.json").write_text(json.dumps(vif()))
    with watching(vifplug, "--repair", "--dir", str(folder)) as watch:
        assert watch.event_of("mended", ID)
        (folder / "two.json").write_text(json.dumps(vif(OTHER, address="fa:16:3e:11:22:44")))
        watch.signal(signal.SIGHUP)
        watch.is_told("RELOADING=1")
        assert watch.event_of("mended", OTHER)
        assert "watching 2 VIFs" in watch.is_told("READY=1")
        (folder / "two.json").write_text("{")
        watch.signal(signal.SIGHUP)
        assert "watching 2 VIFs" in watch.is_told("READY=1"), "those before are watched on"
        namespace.ip("link", "set", OTHER_TAP, "nomaster")
        assert watch.event_of("mended", OTHER)
        (folder / "two.json").unlink()
        watch.signal(signal.SIGHUP)
        assert "watching 1 VIFs" in watch.is_told("READY=1")
        namespace.ip("link", "set", OTHER_TAP, "nomaster")
        namespace.ip("link", "set", TAP, "nomaster")
        assert watch.event_of("mended", ID)
        assert master(namespace, OTHER_TAP) is None
        assert watch.end() == 0
    assert "two.json" in watch.complaints


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_and_its_daemons(
    number: int, vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with watching(vifplug, "--repair", file) as watch:
        daemons = children(watch.pid)
        assert daemons
        watch.signal(number)
        assert watch.ended() == (0 if number == signal.SIGTERM else 130)
        assert not any(Path(f"/proc/{pid}").exists() for pid in daemons)
        watch.is_told("STOPPING=1")
    assert "Traceback" not in watch.complaints


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--dir", "/nowhere"), "is no folder"),
        (("--dir", "/", "/nowhere.json"), "--dir takes no FILE"),
        (("--once", "/nowhere.json"), "unreadable"),
    ],
)
def test_bad_usage(words: tuple[str, ...], told: str, vifplug: Shell) -> None:
    done = vifplug("watch", *words)
    assert done.returncode == 2
    assert told in done.stderr


def test_its_unit_runs_it(
    vifplug: Shell, namespace: NetworkNamespace, file: str, tmp_path: Path
) -> None:
    """The command that the unit names is started as it stands there, and says that it is ready."""
    odd = tmp_path / "a 100% $odd folder"
    odd.mkdir()
    (odd / "one.json").write_text(json.dumps(vif()))
    done = vifplug("watch", "--repair", "--dir", str(odd), "--unit")
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert "Type=notify" in lines
    (command,) = (line.removeprefix("ExecStart=") for line in lines if "ExecStart=" in line)
    words = shlex.split(command.replace("%%", "%").replace("$$", "$"))
    assert words[0] == str(Path(sys.executable).with_name("vifplug"))
    assert "--unit" not in words
    with namespace.entered():
        ran = subprocess.run([*words, "--once"], capture_output=True, text=True, timeout=WITHIN,
                             env={"PATH": os.environ["PATH"]}, check=False)  # fmt: skip
    assert ran.returncode == 0, ran.stderr


# Without files: what the host carries.


def test_each_vif_that_the_host_carries_is_watched(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with watching(vifplug, "--repair") as watch:
        watch.complains("watching 2 VIFs, 0 not as asked")
        namespace.ip("link", "del", TAP)
        assert watch.event_of("mended", ID)["drift"]
        assert vifplug("check", file).returncode == 0
        assert vifplug("unplug", file).returncode == 0
        assert vifplug.json("list") == [], "who unplugs a VIF does not have it back"
        assert vifplug("plug", file).returncode == 0
        namespace.ip("link", "set", OTHER_TAP, "nomaster")
        assert watch.event_of("mended", OTHER)
        assert {event["event"] for event in watch.more()} <= {"as asked"}
        assert watch.end() == 0


def test_what_the_host_carries_looked_at_once(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    assert vifplug("watch", "--once").returncode == 0
    namespace.ip("link", "set", TAP, "down")
    done = vifplug("watch", "--once")
    assert (done.returncode, done.stdout.startswith(f"{ID}  bridge  drift: ")) == (3, True)
    assert vifplug("unplug", file).returncode == 0
    assert vifplug("watch", "--once").returncode == 0


def test_a_vif_without_a_note_is_named(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    for note in (vifplug.folder / "locks").rglob(f"notes/{ID}"):
        note.unlink()
    done = vifplug("watch", "--once")
    assert done.returncode == 0
    assert f"1 VIFs here have no note of how they were plugged, and are not watched: {ID}" in (
        done.stderr
    )
