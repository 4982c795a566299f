# SPDX-License-Identifier: Apache-2.0
"""The example's distribution as pip installs it, and its switch: a daemon that tests may stop.

Other tests don't see it: it is on sys.path, with its entry points, as long as a test asks for it.
"""

from __future__ import annotations

import importlib
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from oslo_config.fixture import Config

from tests.thirdparty import installed
from vifplug import VIF, GenericVIFDriver
from vifplug.testing import NetworkNamespace
from vifplug.testing.configured import configured, emptied
from vifplug_bridge.plugin import BridgePlugin

HERE = Path(__file__).parent
PACKAGE = "vifplug_relay"
IDS = ("0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22",
       "3e9dc031-ad6f-4d91-8a88-6c4c3d6f5e44")  # fmt: skip
TAP, TAP_1 = f"tap{IDS[0][:11]}", f"tap{IDS[1][:11]}"
SOCKET = f"vhu{IDS[0][:11]}"
BRIDGED = "2d8cbf20-9c5e-4c80-9f77-5b3b2c5e4d33"


def vif_data(number: int = 0, *, ips: tuple[str, ...] = (), **more: Any) -> dict[str, Any]:
    subnets = [{"cidr": f"{ip}/{112 if ':' in ip else 24}", "ips": [ip]} for ip in ips]
    return {
        "id": IDS[number],
        "vif_type": "relay",
        "address": f"fa:16:3e:11:22:{number:02x}",
        "network": {"bridge": "blue", "subnets": subnets},
        **more,
    }


def vif(number: int = 0, *, ips: tuple[str, ...] = (), **more: Any) -> VIF:
    """Return the VIF of a number, on the segment blue, with these IP addresses."""
    return VIF.from_dict(vif_data(number, ips=ips, **more))


def by_socket(number: int = 0) -> VIF:
    """Return the VIF of a number whose port has no device of the kernel."""
    return vif(number, details={"attach": "socket"})


def bridged(vif_id: str = BRIDGED) -> VIF:
    """Return a VIF of another plugin's."""
    network = {"bridge": "br100", "should_create_bridge": True}
    data = {"id": vif_id, "vif_type": "bridge", "address": "fa:16:3e:11:22:ff", "network": network}
    return VIF.from_dict(data)


class Relayd:
    """The switch's daemon; its ports, in the file that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.socket, self.database = folder / "run" / "socket", folder / "ports.json"
        self.socket.parent.mkdir()
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(HERE / "relayd.py"), str(self.socket), str(self.database)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        assert self.process.stdout.readline() == "ready\n"

    def end(self) -> None:
        """End it; it may be stopped."""
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def refuse(self, port: str) -> None:
        """Refuse every change of a port."""
        Path(f"{self.database}.refuse").write_text(port)

    def die_at_the_next_port(self) -> None:
        Path(f"{self.database}.die").touch()

    def restart(self) -> None:
        """Start it again; it refuses nothing, and doesn't die."""
        self.end()
        for word in ("refuse", "die"):
            Path(f"{self.database}.{word}").unlink(missing_ok=True)
        self.start()

    @property
    def ports(self) -> dict[str, Any]:
        return dict(json.loads(self.database.read_text()))


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which pip has installed the example."""
    return installed(HERE, PACKAGE, tmp_path_factory.mktemp(PACKAGE))


@pytest.fixture
def package(distribution: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The example, installed: its module ``privileged``."""
    monkeypatch.syspath_prepend(str(distribution))
    return importlib.import_module(f"{PACKAGE}.privileged")


@pytest.fixture
def relayd(tmp_path: Path) -> Iterator[Relayd]:
    """The switch's daemon, which is running."""
    daemon = Relayd(tmp_path)
    yield daemon
    daemon.end()


@pytest.fixture
def conf(package: ModuleType, tmp_path: Path, relayd: Relayd) -> Iterator[Config]:
    """The process' configuration, with locks in the test's own folder."""
    with configured(tmp_path, BridgePlugin, package.RelayPlugin) as config:
        config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
        config.config(group=PACKAGE, socket=str(relayd.socket))
        yield config


@pytest.fixture
def driver(
    package: ModuleType, conf: Config, namespace: NetworkNamespace
) -> Iterator[GenericVIFDriver]:
    """A driver, with the daemons of the example and of vifplug_bridge."""
    with emptied(BridgePlugin, package.RelayPlugin) as driver:
        yield driver


WRONG = "vifplug_wrong"


@pytest.fixture
def wrong(
    distribution: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conf: Config
) -> Iterator[Callable[[Mapping[str, Mapping[str, str]]], None]]:
    """Install a distribution like the example, for vif_type ``wrong``, whose code differs.

    It gets what to replace, by the module.
    """
    folder = tmp_path / "wrong"

    def install(changes: Mapping[str, Mapping[str, str]]) -> None:
        shutil.copytree(distribution / PACKAGE, folder / WRONG)
        (metadata,) = distribution.glob("*.dist-info")
        shutil.copytree(metadata, folder / f"{WRONG}-1.0.dist-info")
        for path in (*(folder / WRONG).glob("*.py"), *folder.glob("*.dist-info/*")):
            text = path.read_text().replace("relay", "wrong")
            for old, new in changes.get(path.name.removesuffix(".py"), {}).items():
                assert old in text, f"{path.name} has no {old!r}"
                text = text.replace(old, new)
            path.write_text(text)
        monkeypatch.syspath_prepend(str(folder))

    yield install
    for name in [name for name in sys.modules if name.partition(".")[0] == WRONG]:
        del sys.modules[name]
