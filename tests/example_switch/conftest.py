# SPDX-License-Identifier: Apache-2.0
"""The example's distribution, as pip installs it; and distributions made of it that are wrong.

Other tests don't see it: it is on sys.path, with its entry points, as long as a test asks for it.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.thirdparty import installed
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug.testing.cases import Plugins
from vifplug.testing.configured import configured, emptied
from vifplug_bridge.plugin import BridgePlugin

HERE = Path(__file__).parent
PACKAGE = "vifplug_acme"
TRUNK = "acme0"
IDS = ("0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22")
BRIDGED = "2d8cbf20-9c5e-4c80-9f77-5b3b2c5e4d33"


@dataclass(frozen=True)
class Installed:
    """A distribution that is installed: its package, and the vif_type that it claims."""

    folder: Path
    package: str
    vif_type: str

    def __getattr__(self, module: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.{module}")

    @property
    def plugins(self) -> Plugins:
        """Its plugin, by its vif_type."""
        return Plugins({self.vif_type: self.plugin.AcmePlugin})

    def vif(self, number: int = 0, **more: Any) -> VIF:
        """Return the VIF of a number, on the segment blue."""
        return VIF.from_dict(vif_data(number, vif_type=self.vif_type, **more))


def vif_data(number: int = 0, **more: Any) -> dict[str, Any]:
    address = f"fa:16:3e:11:22:{number:02x}"
    vif = {"id": IDS[number], "vif_type": "acme", "address": address, "network": {"bridge": "blue"}}
    return {**vif, **more}


def bridged(vif_id: str = BRIDGED) -> VIF:
    """Return a VIF of another plugin's."""
    network = {"bridge": "br100", "should_create_bridge": True}
    address = "fa:16:3e:11:22:ff"
    return VIF.from_dict(
        {"id": vif_id, "vif_type": "bridge", "address": address, "network": network}
    )


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which pip has installed the example."""
    return installed(HERE, PACKAGE, tmp_path_factory.mktemp(PACKAGE))


@pytest.fixture
def acme(distribution: Path, monkeypatch: pytest.MonkeyPatch) -> Installed:
    """The example, installed."""
    monkeypatch.syspath_prepend(str(distribution))
    return Installed(distribution, PACKAGE, "acme")


@pytest.fixture
def variant(
    distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Installed]:
    """Install a distribution like the example, of another name, whose code differs."""

    def install(name: str, **changes: Mapping[str, str]) -> Installed:
        package = f"vifplug_{name}"
        folder = tmp_path / f"{name}-target"
        shutil.copytree(distribution / PACKAGE, folder / package)
        for path in (folder / package).glob("*.py"):
            text = path.read_text().replace("acme", name)
            for old, new in changes.get(path.stem, {}).items():
                assert old in text, f"{path.name} has no {old!r}"
                text = text.replace(old, new)
            path.write_text(text)
        (metadata,) = distribution.glob("*.dist-info")
        shutil.copytree(metadata, folder / f"{package}-1.0.dist-info")
        for path in (folder / f"{package}-1.0.dist-info").iterdir():
            path.write_text(path.read_text().replace("acme", name))
        monkeypatch.syspath_prepend(str(folder))
        return Installed(folder, package, name)

    return install


class Hosted:
    """A host with the switch: its database, its trunk, and a driver whose daemons are forks."""

    def __init__(self, namespace: NetworkNamespace, database: Path) -> None:
        self.namespace, self.database = namespace, database

    @property
    def ports(self) -> dict[str, Any]:
        return dict(json.loads(self.database.read_text())["ports"])

    @ports.setter
    def ports(self, ports: dict[str, Any]) -> None:
        self.database.write_text(json.dumps({"ports": ports}))

    @property
    def proxy_arp(self) -> str:
        return Path(f"/proc/sys/net/ipv4/conf/{TRUNK}/proxy_arp").read_text().strip()

    def everything(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return self.namespace.everything(), self.ports

    def links(self) -> set[str]:
        return {link["ifname"] for link in self.namespace.ip_json("link")}


def made_real(namespace: NetworkNamespace, database: Path) -> Hosted:
    """Make an empty switch, and the trunk in a namespace."""
    namespace.ip("link", "add", TRUNK, "type", "veth", "peer", "name", f"{TRUNK}-p")
    namespace.ip("link", "set", TRUNK, "up")
    host = Hosted(namespace, database)
    host.ports = {}
    return host


@pytest.fixture
def host(namespace: NetworkNamespace, tmp_path: Path) -> Hosted:
    """A host with the switch, which the test and the daemons are in."""
    return made_real(namespace, tmp_path / "ports.json")


@pytest.fixture
def conf(tmp_path: Path) -> Iterator[Config]:
    """The process' configuration, with locks in the test's own folder."""
    with configured(tmp_path, BridgePlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        yield config


Start = Callable[..., GenericVIFDriver]


@pytest.fixture
def start(host: Hosted, conf: Config) -> Iterator[Start]:
    """Start a driver, and the daemons of some distributions and of vifplug_bridge."""
    with contextlib.ExitStack() as stack:

        def started(*installed: Installed, daemons: bool = True) -> GenericVIFDriver:
            for each in installed:
                conf.register_opts(each.plugin.OPTS, group=each.plugin.GROUP)
                group = each.plugin.GROUP
                conf.config(group=group, database=str(host.database), trunk=TRUNK)
            own = [each.plugin.AcmePlugin for each in installed if daemons]
            return stack.enter_context(emptied(BridgePlugin, *own))

        yield started


@pytest.fixture
def driver(start: Start, acme: Installed) -> GenericVIFDriver:
    """A driver, with the daemons of the example and of vifplug_bridge."""
    return start(acme)
