# SPDX-License-Identifier: Apache-2.0
"""``vifplug`` as a person runs it: the installed command, in a namespace of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.folders import Folder
from vifplug.testing import NetworkNamespace
from vifplug.testing.shell import Shell

ID = "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11"
OTHER = "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22"


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace() as found:
        yield found


@pytest.fixture
def vifplug(namespace: NetworkNamespace, tmp_path: Path) -> Shell:
    return Shell(namespace, tmp_path)


@pytest.fixture
def folder(vifplug: Shell, tmp_path: Path) -> Folder:
    """The folder that declares a host's VIFs; vifplug makes their taps."""
    vifplug.configure("vifplug_bridge", create_tap=True, remove_unused=True)
    return Folder(vifplug, tmp_path / "vifs.d")


def vif(vif_id: str = ID, **more: Any) -> dict[str, Any]:
    network = {"bridge": "br100", "should_create_bridge": True, **more.pop("network", {})}
    address = "fa:16:3e:11:22:33"
    return {"id": vif_id, "vif_type": "bridge", "address": address, "network": network, **more}


def ovs_vif(vif_id: str = ID, **more: Any) -> dict[str, Any]:
    """Return a VIF on Open vSwitch, as vif() does."""
    network = {"bridge": "br-int", "should_create_bridge": None, **more.pop("network", {})}
    asked = {"vif_type": "ovs", "network": network, **more}
    asked.setdefault("instance", {"name": "instance-00000001"})
    return {key: value for key, value in vif(vif_id, **asked).items() if value is not None}
