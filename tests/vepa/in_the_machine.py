# SPDX-License-Identifier: Apache-2.0
"""Run in the machine with a network card that has virtual functions; writes what came of it.

One run for all: the machine is slow. test_vepa_functions.py has the tests, which read the answers.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from oslo_config import cfg

from vifplug import VIF, GenericVIFDriver, VifplugError
from vifplug.apply import means
from vifplug.kernel.messages import attributes as nl
from vifplug.kernel.netlink import Netlink
from vifplug.kernel.perform import Kernel, WrongDevice
from vifplug.operations.operation import Operation
from vifplug.query.cards import RunningFunctions
from vifplug.testing.claims import kept_of

IDS = tuple(f"0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b{number:02x}" for number in range(4))
NET, PCI = Path("/sys/class/net"), Path("/sys/bus/pci")
FOUND: dict[str, Any] = {}


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def functions(pf: str) -> list[Any]:
    """Return what ip(8) says of the virtual functions."""
    (link,) = json.loads(run("ip", "-j", "-d", "link", "show", pf))
    return list(link["vfinfo_list"])


def marks(pf: str) -> list[str]:
    return kept_of(pf)


def said(call: Callable[[], Any]) -> str:
    """Return how a call ended, as text."""
    try:
        found = call()
    except VifplugError as error:
        return f"{type(error).__name__}: {error}"
    return str(getattr(found, "changed", found))


def vif(number: int, vf: str, vnic_type: str = "direct", **details: Any) -> VIF:
    data = {
        "id": IDS[number],
        "vif_type": "hw_veb",
        "address": f"fa:16:3e:11:22:{number:02x}",
        "vnic_type": vnic_type,
        "network": {},
        "details": {"pci_slot": vf, **details},
    }
    return VIF.from_dict(data)


def main(answers: Path) -> None:
    """Try everything with the one card."""
    for module in ("igb", "igbvf", "8021q", "macvtap"):
        run("modprobe", module)
    until(lambda: list(NET.glob("*/device/sriov_numvfs")))
    (switch,) = NET.glob("*/device/sriov_numvfs")
    pf = switch.parent.parent.name
    run("ip", "link", "set", pf, "up")
    switch.write_text("2")
    until(lambda: len(list(NET.glob("*/device/physfn"))) == 2)
    vfs = [(switch.parent / f"virtfn{n}").resolve().name for n in range(2)]
    names = [next((PCI / "devices" / vf / "net").iterdir()).name for vf in vfs]
    cfg.CONF([], project="vifplug", default_config_files=[])
    driver = GenericVIFDriver()
    cfg.CONF.set_override("lock_path", "/tmp/locks", "vifplug")
    cfg.CONF.set_override("libvirt_version", "9.0.0", "vifplug")
    cfg.CONF.set_override("virt_type", "qemu", "vifplug")
    try:
        _found(pf, vfs, names)
        _set_and_restored(driver, pf, vfs)
        _other_values(driver, pf, vfs, names)
        _faults(driver, pf, vfs)
        _port_profiles(driver, vfs, names)
        _without_a_device(driver, pf, vfs)
        _gone(driver, pf, vfs, switch)
        _wireless(driver)
    finally:
        answers.write_text(json.dumps(FOUND, indent=1))
        driver.close()


def _found(pf: str, vfs: list[str], names: list[str]) -> None:
    known = RunningFunctions()
    physical = (NET / pf / "device").resolve().name
    FOUND["found"] = [
        [known[vf].netdev == name, known[vf].pf == pf, known[vf].vf]
        for vf, name in zip(vfs, names, strict=True)
    ] + [[known[physical].netdev == pf, known[physical].virtual, set(known) >= {physical, *vfs}]]
    links = {name: json.loads(run("ip", "-j", "-d", "link", "show", name))[0] for name in names}
    FOUND["addresses"] = [links[n].get("parentdev") == vf for n, vf in zip(names, vfs, strict=True)]


def _set_and_restored(driver: GenericVIFDriver, pf: str, vfs: list[str]) -> None:
    before = functions(pf)
    one = vif(0, vfs[0], vlan=120, trusted=True, spoofchk=False)
    FOUND["plan"] = str(driver.plan(None, one)).replace(pf, "PF").replace(vfs[0], "VF0")
    FOUND["plug"] = said(lambda: driver.plug(None, one))
    FOUND["seen"] = functions(pf)[0]
    FOUND["marks"] = marks(pf)
    FOUND["again"] = said(lambda: driver.plug(None, one))
    FOUND["check"] = bool(driver.check(None, one))
    FOUND["list"] = [(each.id, each.vif_type) for each in driver.list()]
    FOUND["taken"] = said(lambda: driver.plug(None, vif(1, vfs[0])))
    run("ip", "link", "set", pf, "vf", "0", "vlan", "5")
    FOUND["drift"] = said(lambda: driver.check(None, one)).replace(pf, "PF")
    FOUND["repaired"] = said(lambda: driver.plug(None, one)), functions(pf)[0]["vlan_list"]
    (unplugged,) = driver.unplug_ids([one.id])
    FOUND["unplug"] = said(lambda: unplugged)
    FOUND["restored"] = functions(pf) == before and marks(pf) == []
    driver.plug(None, one)
    moved = vif(0, vfs[1], vlan=120)
    driver.plug(None, moved)
    FOUND["moved"] = functions(pf)[0] == before[0], functions(pf)[1]["vlan_list"]
    driver.unplug(None, moved)
    FOUND["moved back"] = functions(pf) == before


def _other_values(driver: GenericVIFDriver, pf: str, vfs: list[str], names: list[str]) -> None:
    """A function that had values of somebody's, for a macvtap on its device."""
    mine = ("mac", "52:54:00:11:22:33", "vlan", "7", "qos", "3", "spoofchk", "off", "trust", "on")
    run("ip", "link", "set", pf, "vf", "1", *mine)
    # One that is trusted and up asks for its device's own address whenever its driver resets it.
    run("ip", "link", "set", names[1], "address", mine[1])
    before = functions(pf)
    one = vif(1, vfs[1], "macvtap", vlan=120, trusted=False, spoofchk=True)
    FOUND["macvtap plug"] = said(lambda: driver.plug(None, one))
    FOUND["macvtap seen"] = functions(pf)[1]
    FOUND["macvtap xml"] = driver.get_config(None, one).to_xml()
    FOUND["macvtap unplug"] = said(lambda: driver.unplug(None, one))
    FOUND["macvtap restored"] = functions(pf) == before, functions(pf)[1]


def _faults(driver: GenericVIFDriver, pf: str, vfs: list[str]) -> None:
    """Each step refused in its turn; the daemon is a fork, so it has what is patched before."""
    one, before = vif(0, vfs[1], vlan=99, trusted=False, spoofchk=True), functions(pf)
    steps, whole = [str(o) for o in driver.plan(None, one).operations], means.perform
    ended = []
    for number in range(len(steps)):
        tries = iter(range(100))

        def perform(o: Operation, kernel: Kernel, at: int = number, n: Any = tries) -> None:
            if next(n) == at:
                raise WrongDevice("sabotage")
            whole(o, kernel)

        means.perform = perform
        driver.close()
        failed = said(lambda: driver.plug(None, one))
        same = functions(pf) == before and marks(pf) == []
        ended.append(["PlugFailed" in failed and steps[number] in failed, same])
    means.perform = whole
    driver.close()
    FOUND["faults"] = ended


def _port_profiles(driver: GenericVIFDriver, vfs: list[str], names: list[str]) -> None:
    """802.1Qbh on a function whose driver has none, whatever its name."""
    run("ip", "link", "set", names[0], "down")
    run("ip", "link", "set", names[0], "name", "enic")
    data = {"id": IDS[2], "vif_type": "802.1qbh", "address": "fa:16:3e:11:22:02",
            "profile_id": "finance"}  # fmt: skip
    on_it = VIF.from_dict({**data, "network": {"interface": "enic"}})
    whole = VIF.from_dict(
        {**data, "vnic_type": "direct", "network": {}, "details": {"pci_slot": vfs[0]}}
    )
    FOUND["qbh"] = [said(lambda v=each: driver.plug(None, v)) for each in (on_it, whole)]


def _without_a_device(driver: GenericVIFDriver, pf: str, vfs: list[str]) -> None:
    """A function that the host's driver has let go, as one that a guest has."""
    before = functions(pf)
    one = vif(0, vfs[0], vlan=120)
    driver.plug(None, one)
    (PCI / "drivers/igbvf/unbind").write_text(vfs[0])
    FOUND["unbound check"] = bool(driver.check(None, one))
    FOUND["unbound macvtap"] = said(lambda: driver.plug(None, vif(3, vfs[0], "macvtap")))
    FOUND["unbound unplug"] = said(lambda: driver.unplug(None, one))
    FOUND["unbound restored"] = functions(pf) == before
    FOUND["unbound plug"] = said(lambda: driver.plug(None, one))


def _gone(driver: GenericVIFDriver, pf: str, vfs: list[str], switch: Path) -> None:
    """The functions taken away below a VIF that is plugged; the VIF of the case before."""
    one = vif(0, vfs[0], vlan=120)
    switch.write_text("0")
    until(lambda: not (PCI / "devices" / vfs[0]).exists())
    FOUND["gone check"] = said(lambda: driver.check(None, one))
    FOUND["gone unplug"] = said(lambda: driver.unplug(None, one)), marks(pf)


def _wireless(driver: GenericVIFDriver) -> None:
    """A wireless card as a station, as one with 4-address frames, and as an access point."""
    run("modprobe", "mac80211_hwsim", "radios=1")
    until((NET / "wlan0").exists)
    run("ip", "link", "add", "br7", "type", "bridge")
    network = {"bridge": "br100", "should_create_bridge": True, "interface": "wlan0"}
    one = {"id": IDS[0], "vif_type": "bridge", "address": "fa:16:3e:11:22:00", "network": network}
    index = int((NET / "wlan0/ifindex").read_text())
    answers = []
    for four_addresses, kind in ((0, 2), (1, 2), (0, 3)):
        _set_wireless(index, four_addresses, kind)
        planned = said(lambda: driver.plan(None, VIF.from_dict(one)))
        joined = subprocess.run(("ip", "link", "set", "wlan0", "master", "br7"), check=False)
        run("ip", "link", "set", "wlan0", "nomaster")
        answers.append((planned, joined.returncode == 0))
    FOUND["wireless"] = answers


def _set_wireless(index: int, four_addresses: int, kind: int) -> None:
    """Have a wireless card be of a kind (linux/nl80211.h); it sends with four addresses or not."""
    with Netlink(16) as netlink:
        name = nl.attribute(2, nl.text("nl80211"))
        ((known,),) = netlink.request((16, nl.ACK, struct.pack("=BBH", 3, 1, 0) + name))
        family = int.from_bytes(nl.nested(known, 4)[1], "little")
        asked = (
            nl.attribute(3, nl.u32(index)),
            nl.attribute(5, nl.u32(kind)),
            nl.attribute(83, nl.u8(four_addresses)),
        )
        netlink.request((family, nl.ACK, struct.pack("=BBH", 6, 1, 0) + b"".join(asked)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
