# SPDX-License-Identifier: Apache-2.0
"""A network card with a switch of its own and virtual functions, as netdevsim(4) has it.

Its representors are the kernel's, as a real card's; its functions are on no PCI bus. So a folder
stands for sysfs in which they are, and the code under test gets that for a root.
"""

from __future__ import annotations

import time
from pathlib import Path

from fixtures import Fixture

from vifplug.testing import NetworkNamespace

_BUS = Path("/sys/bus/netdevsim")
_SLOTS = "0000:81:00.{}"
_NUMBER = 10


class SimulatedCard(Fixture):
    """A card in a namespace that the thread is in: ``pf`` is its physical function's device.

    ``representors`` are in the virtual functions' order. In ``sysfs``, function 0 is the physical
    one, and the virtual ones follow.
    """

    def __init__(self, namespace: NetworkNamespace, sysfs: Path, *, vfs: int = 2) -> None:
        super().__init__()
        self._namespace, self.sysfs, self._vfs = namespace, sysfs, vfs

    def _setUp(self) -> None:  # noqa: N802 (fixtures' name)
        before = self._names()
        (_BUS / "new_device").write_text(f"{_NUMBER} 1")
        self.addCleanup((_BUS / "del_device").write_text, str(_NUMBER))
        self._device = f"netdevsim{_NUMBER}"
        (self.pf,) = self._new(before, 1)
        (_BUS / "devices" / self._device / "sriov_numvfs").write_text(str(self._vfs))
        self.set_mode("switchdev")
        self._make_functions()

    def set_mode(self, mode: str) -> None:
        """Have the card's switch be the host's (switchdev) or the card's own (legacy)."""
        before = self._names()
        self._devlink("dev", "eswitch", "set", f"netdevsim/{self._device}", "mode", mode)
        self.representors = self._new(before, self._vfs) if mode == "switchdev" else []

    def slot(self, number: int) -> str:
        """Return the PCI address of a virtual function."""
        return _SLOTS.format(number + 1)

    def remove_function(self, number: int) -> None:
        """Take a virtual function out of sysfs, as when its driver gave it up."""
        (self._devices / self.slot(number)).unlink()

    def add_vdpa(self, number: int) -> str:
        """Give a virtual function a vhost-vdpa device; return the path of its file."""
        folder = self._devices / self.slot(number) / f"vdpa{number}" / f"vhost-vdpa-{number}"
        folder.mkdir(parents=True)
        return f"/dev/{folder.name}"

    @property
    def _devices(self) -> Path:
        return self.sysfs / "bus/pci/devices"

    def _make_functions(self) -> None:
        homes = self.sysfs / "devices/pci0000:80"
        physical = homes / _SLOTS.format(0)
        (physical / "net" / self.pf).mkdir(parents=True)
        self._devices.mkdir(parents=True)
        (self._devices / physical.name).symlink_to(physical)
        for number in range(self._vfs):
            home = homes / self.slot(number)
            home.mkdir()
            (home / "physfn").symlink_to(physical)
            (physical / f"virtfn{number}").symlink_to(home)
            (self._devices / home.name).symlink_to(home)

    def _names(self) -> set[str]:
        return {link["ifname"] for link in self._namespace.ip_json("link")}

    def _new(self, before: set[str], count: int) -> list[str]:
        """Return the names of devices that were not there before, in the kernel's order."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            links = self._namespace.ip_json("link")
            found = [link["ifname"] for link in links if link["ifname"] not in before]
            if len(found) == count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{count} devices were to come; came {found}")

    def _devlink(self, *words: str) -> None:
        self._namespace.run("devlink", *words)
