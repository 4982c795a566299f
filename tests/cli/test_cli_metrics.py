# SPDX-License-Identifier: Apache-2.0
"""``vifplug metrics``, and ``watch --listen``: read by Prometheus' own parser."""

from __future__ import annotations

import re
import socket
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.cli.conftest import ID, OTHER, vif
from tests.cli.watching import watching
from vifplug.testing import Libvirt, NetworkNamespace, OpenVSwitch
from vifplug.testing.shell import Shell

TAP = f"tap{ID[:11]}"
ALERTS = Path(__file__).parents[2] / "docs/examples/vifplug-alerts.yml"

Samples = Mapping[str, float]


def samples(text: str) -> Samples:
    """Return each sample's value by its name and labels."""
    return {
        " ".join([sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def vifs(state: str) -> str:
    return f"vifplug_vifs process= state={state} vif_type=bridge"


@pytest.fixture
def file(vifplug: Shell) -> str:
    vifplug.configure("vifplug", libvirt_uri="test:///nowhere")
    vifplug.configure("vifplug_bridge", create_tap=True)
    return vifplug.file([vif(), vif(OTHER, address="fa:16:3e:11:22:44")])


def test_what_a_host_has_is_counted(vifplug: Shell, namespace: NetworkNamespace, file: str) -> None:
    empty = samples(vifplug("metrics").stdout)
    assert (empty["vifplug_drift"], empty["vifplug_unused_bridges"]) == (0, 0)
    assert vifs("up") not in empty
    assert vifplug("plug", file).returncode == 0
    plugged = samples(vifplug("metrics").stdout)
    assert (plugged[vifs("unattached")], plugged[vifs("drift")]) == (2, 0)
    assert plugged["vifplug_scrape_seconds"] > 0
    namespace.ip("link", "set", TAP, "nomaster")
    drifted = samples(vifplug("metrics").stdout)
    assert (drifted[vifs("unattached")], drifted[vifs("drift")]) == (1, 1)
    assert drifted["vifplug_drift"] == 1
    assert vifplug("unplug", file).returncode == 0
    assert samples(vifplug("metrics").stdout)["vifplug_unused_bridges"] == 1


def test_a_silent_libvirt_makes_no_orphan_and_none_is_denied(vifplug: Shell, file: str) -> None:
    assert vifplug("plug", file).returncode == 0
    found = samples(vifplug("metrics").stdout)
    assert found["vifplug_libvirt_answers"] == 0
    assert "vifplug_orphans" not in found


def test_what_no_guest_of_libvirt_has_is_an_orphan(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with Libvirt(namespace) as libvirt:
        vifplug.configure("vifplug", libvirt_uri=libvirt.uri)
        assert vifplug("plug", file).returncode == 0
        found = samples(vifplug("metrics").stdout)
    assert (found["vifplug_libvirt_answers"], found["vifplug_orphans"]) == (1, 2)
    assert found[vifs("orphan")] == 2


def test_a_file_is_written_in_one_step(vifplug: Shell, file: str, tmp_path: Path) -> None:
    folder = tmp_path / "textfile"
    folder.mkdir()
    path = folder / "vifplug.prom"
    path.write_text("old\n")
    before = path.stat().st_ino
    done = vifplug("metrics", "-o", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert path.stat().st_ino != before, "a reader of the old file still has all of it"
    assert "vifplug_drift" in samples(path.read_text())
    assert [each.name for each in folder.iterdir()] == [path.name]
    assert path.stat().st_mode & 0o444 == 0o444
    done = vifplug("metrics", "-o", str(tmp_path / "nowhere" / "vifplug.prom"))
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_switch_that_can_not_be_read_is_counted(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    with OpenVSwitch(namespace) as ovs:
        vifplug.configure("vifplug_ovs", ovsdb_connection=ovs.endpoint)
        assert samples(vifplug("metrics").stdout)["vifplug_unread_switches"] == 0
        ovs.pause("ovsdb-server")
        done = vifplug("metrics", "--timeout", "2")
        ovs.resume("ovsdb-server")
    assert samples(done.stdout)["vifplug_unread_switches"] == 1
    assert done.returncode == 1
    assert "its VIFs are missing here" in done.stderr


def test_a_watch_serves_them_on_loopback_only(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    namespace.ip("address", "add", "192.0.2.1/24", "dev", "lo")
    assert vifplug("plug", file).returncode == 0
    with watching(vifplug, "--repair", "--listen", "9999", file) as watch:
        namespace.ip("link", "set", TAP, "nomaster")
        watch.event_of("mended", ID)
        found = samples(scraped(namespace, "127.0.0.1:9999"))
        assert found[vifs("unattached")] == 2
        assert found["vifplug_watch_drifts_total"] == 1
        assert found["vifplug_watch_mended_total"] == 1
        assert found["vifplug_watch_not_mended_total"] == 0
        with namespace.entered(), pytest.raises(ConnectionRefusedError):
            socket.create_connection(("192.0.2.1", 9999))
        taken = vifplug("watch", "--listen", "9999", file)
        assert taken.returncode == 1
        assert "Address already in use" in taken.stderr
        assert watch.end() == 0


def test_a_watch_serves_them_elsewhere_if_told(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    namespace.ip("address", "add", "192.0.2.1/24", "dev", "lo")
    with watching(vifplug, "--listen", "192.0.2.1:9999", file):
        assert "vifplug_watch_drifts_total" in samples(scraped(namespace, "192.0.2.1:9999"))


@pytest.mark.parametrize("where", ["here", "1.2.3.4", "127.0.0.1:99999", "localhost:80", ":x"])
def test_a_place_that_is_none_is_refused(where: str, vifplug: Shell) -> None:
    done = vifplug("watch", "--listen", where)
    assert done.returncode == 2
    assert f"{where!r} is no PORT" in done.stderr


def scraped(namespace: NetworkNamespace, place: str) -> str:
    with (
        namespace.entered(),
        urllib.request.urlopen(f"http://{place}/metrics", timeout=60) as answer,
    ):
        return str(answer.read().decode())


def test_without_the_library_a_sentence_says_what_to_install(vifplug: Shell) -> None:
    blocked = vifplug.folder / "blocked"
    blocked.mkdir()
    (blocked / "prometheus_client.py").write_text("raise ImportError\n")
    vifplug.environment["PYTHONPATH"] = str(blocked)
    done = vifplug("metrics")
    assert done.returncode == 1
    assert done.stderr == (
        "error: prometheus_client is not installed: pip install 'vifplug[metrics]'\n"
    )


def test_the_example_alerts_are_on_metrics_that_there_are(
    vifplug: Shell, namespace: NetworkNamespace, file: str
) -> None:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    named = {name for rule in group["rules"] for name in re.findall(r"vifplug_\w+", rule["expr"])}
    assert len(named) == len(group["rules"])
    with watching(vifplug, "--listen", "9999", file):
        text = scraped(namespace, "127.0.0.1:9999")
    # libvirt is silent here, so nothing is told of orphans.
    assert named - {"vifplug_orphans"} <= {sample.split()[0] for sample in samples(text)}
