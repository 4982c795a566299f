# SPDX-License-Identifier: Apache-2.0
"""``vifplug`` as a person runs it: the installed command, in a namespace of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vifplug.testing import NetworkNamespace

COMMAND = str(Path(sys.executable).with_name("vifplug"))
ID = "0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11"
OTHER = "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22"


class Shell:
    """Runs the command in a namespace, with a configuration file of the test's own."""

    def __init__(self, namespace: NetworkNamespace, folder: Path) -> None:
        self.namespace, self.folder = namespace, folder
        self.options: dict[str, dict[str, object]] = {
            "vifplug": {
                "lock_path": folder / "locks",
                "libvirt_version": "9.0.0",
                "virt_type": "kvm",
            }
        }
        self.environment: dict[str, str] = {}

    def configure(self, group: str, **options: object) -> None:
        self.options.setdefault(group, {}).update(options)

    def __call__(self, *words: str, input: str | None = None) -> subprocess.CompletedProcess[str]:
        config = self.folder / "vifplug.conf"
        sections = (
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in options.items())
            for group, options in self.options.items()
        )
        config.write_text("\n".join(sections))
        with self.namespace.entered():
            return subprocess.run(
                (COMMAND, "--config-file", str(config), *words),
                input=input,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
                env={"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", **self.environment},
            )

    def json(self, *words: str) -> Any:
        done = self(*words, "-f", "json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def file(self, data: object, name: str = "vifs.json") -> str:
        path = self.folder / name
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return str(path)


@pytest.fixture
def namespace() -> Iterator[NetworkNamespace]:
    with NetworkNamespace() as found:
        yield found


@pytest.fixture
def vifplug(namespace: NetworkNamespace, tmp_path: Path) -> Shell:
    return Shell(namespace, tmp_path)


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
