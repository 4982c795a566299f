# SPDX-License-Identifier: Apache-2.0
"""What sysfs and the kernel tell of network cards: PCI functions, and drivers."""

from __future__ import annotations

import array
import fcntl
import re
import socket
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from vifplug.fields import PCI
from vifplug.model.link import PciFunction

SYSFS = Path("/sys")
_NETWORK = "0x02"
"""How the class of a PCI function begins that is a network card's."""
_STANDS_FOR = re.compile(r"pf\d+(vf|sf)\d+$|^(vf|sf)?\d+$")
_SIOCETHTOOL, _GDRVINFO = 0x8946, 3
_DRVINFO = 196


class RunningFunctions(Mapping[str, PciFunction]):
    """Network cards' PCI functions by address, each read when it is asked for."""

    def __init__(self, root: Path = SYSFS) -> None:
        """``root`` is where sysfs is mounted."""
        self._devices = root / "bus/pci/devices"

    def __getitem__(self, address: str) -> PciFunction:
        folder = self._devices / address
        if not PCI.pattern.fullmatch(address) or not folder.is_dir():
            raise KeyError(address)
        physical = folder / "physfn"
        if not physical.exists():
            return PciFunction(netdev=_netdev(folder), network=_is_network(folder))
        return PciFunction(
            netdev=_netdev(folder),
            network=_is_network(folder),
            virtual=True,
            pf=_netdev(physical),
            vf=_number(physical, folder.resolve().name),
            vdpa=_vdpa(folder),
        )

    def __iter__(self) -> Iterator[str]:
        found = self._devices.iterdir() if self._devices.is_dir() else iter(())
        return (one.name for one in found if (one / "net").is_dir() or (one / "physfn").exists())

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _netdev(function: Path) -> str | None:
    """Return the device that the host's driver has made of a function.

    Beside a physical function's own lie those that stand for its virtual ones (switchdev).
    """
    folder = function / "net"
    names = sorted(one.name for one in folder.iterdir()) if folder.is_dir() else []
    own = [name for name in names if not _STANDS_FOR.search(_said(folder / name, "phys_port_name"))]
    return next(iter(own or names), None)


def _is_network(function: Path) -> bool:
    return _said(function, "class").startswith(_NETWORK)


def _said(folder: Path, name: str) -> str:
    """Return what a file says; nothing where there is none, or the driver has no answer."""
    try:
        return (folder / name).read_text().strip()
    except OSError:
        return ""


def _vdpa(function: Path) -> str | None:
    """Return the file of the vhost-vdpa device that was made of a function."""
    found = sorted(function.glob("vdpa*/vhost-vdpa-*"))
    return f"/dev/{found[0].name}" if found else None


def _number(physical: Path, address: str) -> int | None:
    """Return the number by which a physical function knows a virtual one."""
    for link in physical.glob("virtfn*"):
        if link.resolve().name == address:
            return int(link.name.removeprefix("virtfn"))
    return None


def driver(name: str) -> str | None:
    """Return the name of a device's driver as the kernel itself says it, not a file."""
    answer = array.array("B", struct.pack("=I", _GDRVINFO) + bytes(_DRVINFO - 4))
    address, _ = answer.buffer_info()
    request = struct.pack("16sP16x", name.encode(), address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        try:
            fcntl.ioctl(control, _SIOCETHTOOL, request)
        except OSError:
            return None
    return answer.tobytes()[4:36].split(b"\0")[0].decode(errors="replace") or None
