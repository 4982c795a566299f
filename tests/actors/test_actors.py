# SPDX-License-Identifier: Apache-2.0
"""Some actors on some kinds of VIF. ``make actors`` has all of them on all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.actors.catalogue import ACTORS
from tests.actors.shapes import SHAPES
from tests.actors.trial import trial

BY_NAME = {actor.name: actor for actor in ACTORS}
KINDS = {shape.name: shape for shape in SHAPES}

HARMS = (
    ("ip link set nomaster", "bridge, libvirt's tap"),
    ("ip link set down", "ovs automatic"),
    ("ip link set down", "macvtap"),
    ("bridge deleted and made anew", "ovs automatic"),
    ("qbr deleted and made anew", "hybrid"),
    ("ovsdb restored from a backup", "ovs manual"),
    ("sysctl --system (IPv6 on for all)", "ovs manual"),
    ("nmcli connection up, of the bridge", "bridge"),
    ("systemd-networkd restart (Name=*)", "bridge"),
    ("virsh update-device, another bridge", "bridge, libvirt's tap"),
)
"""Each changes the VIF, or cuts its guest off."""

HARMLESS = (
    ("nft flush ruleset", "bridge"),
    ("ovs-vswitchd restart", "hybrid"),
    ("libvirtd restart", "macvtap"),
    ("systemd-udevd restart, trigger", "hybrid"),
)


@pytest.mark.parametrize(("actor", "kind"), HARMS)
def test_a_harm_is_told_and_mended(actor: str, kind: str, tmp_path: Path) -> None:
    outcome = trial(BY_NAME[actor], KINDS[kind], tmp_path)
    assert outcome.harmed, "else this shows nothing"
    assert outcome.told, outcome.did
    assert outcome.told_in is not None
    assert outcome.mended_in is not None
    assert (outcome.left, outcome.reaches) == ((), True)
    if BY_NAME[actor].misplaces:
        assert "br200" in outcome.after, "libvirt's own record of the guest"
    else:
        assert outcome.after == ""
        assert outcome.wrong == 0


@pytest.mark.parametrize(("actor", "kind"), HARMLESS)
def test_what_does_no_harm_is_not_told(actor: str, kind: str, tmp_path: Path) -> None:
    outcome = trial(BY_NAME[actor], KINDS[kind], tmp_path)
    assert (outcome.did, outcome.reached, outcome.told) == ((), True, False), outcome.words
    assert (outcome.well, outcome.wrong) == (True, 0)
