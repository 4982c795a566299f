# SPDX-License-Identifier: Apache-2.0
"""``vifplug demo``: the main job, in a network namespace of its own that vanishes at the end."""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import select
import struct
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from oslo_config import cfg

from vifplug import opts
from vifplug.cli import DONE, FAILED
from vifplug.cli.command import Command
from vifplug.cli.list import print_tree, tree
from vifplug.cli.vifs import did
from vifplug.driver import GenericVIFDriver, Outcomes, Result, View
from vifplug.errors import PrivilegeError
from vifplug.model.mark import derived_name
from vifplug.model.vif import VIF
from vifplug.plan.wired import Wired
from vifplug.registry import Registry

_NEWUSER, _NEWNET = 0x10000000, 0x40000000
_TUNSETIFF, _ATTACH = 0x400454CA, 0x0002 | 0x1000 | 0x4000  # TAP, NO_PI, VNET_HDR
_HEADER = bytes(10)  # virtio_net_hdr, all off
_WAIT = 5.0

VIFS = [
    {
        "id": vif_id,
        "vif_type": "bridge",
        "address": address,
        "network": {"label": "demo", "bridge": "br-demo", "should_create_bridge": True},
    }
    for vif_id, address in (
        ("0b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11", "fa:16:3e:11:22:33"),
        ("1c7bae1f-8b4d-4b7f-8e66-4a2a1b4d3c22", "fa:16:3e:44:55:66"),
    )
]


class Demo(Command):
    """Plug two VIFs in a namespace of their own, pass a frame between them, unplug them."""

    formats = False
    reads_configuration = False

    def act(self, arguments: argparse.Namespace) -> int:
        with tempfile.TemporaryDirectory(prefix="vifplug-demo-") as folder:
            _enter_namespace()
            # It has no other plugin, which could see a switch of the machine's.
            registry = Registry(only=("bridge",))
            driver = GenericVIFDriver(registry=registry)
            cfg.CONF.set_override("lock_path", folder, group=opts.GROUP)
            vifs = [VIF.from_dict(data) for data in VIFS]
            plugin = driver.ready(None, vifs[0]).plugin
            cfg.CONF.register_opts(plugin.opts, group=plugin.group)
            for option in ("create_tap", "remove_unused"):
                # The caller's plugin has its options already; the daemon is a fork, and reads ours.
                plugin.options[option] = True
                cfg.CONF.set_override(option, True, group=plugin.group)
            try:
                return DONE if _show(driver, vifs) else FAILED
            finally:
                driver.close()


def _enter_namespace() -> None:
    """Move this process into a network namespace of its own, as root or as anybody else.

    Raises PrivilegeError where the system forbids user namespaces or the making of taps.
    """
    try:
        os.close(os.open("/dev/net/tun", os.O_RDWR))
    except OSError as error:
        mend = "run it as root, or give users /dev/net/tun (mode 0666, as udev does)"
        raise PrivilegeError("/dev/net/tun", str(error.strerror), mend) from None
    libc = ctypes.CDLL(None, use_errno=True)
    user, group = os.geteuid(), os.getegid()
    wanted = _NEWNET if user == 0 else _NEWNET | _NEWUSER
    if libc.unshare(wanted) != 0:
        why = os.strerror(ctypes.get_errno())
        raise PrivilegeError("a network namespace of the demo's own", why, _mend(user))
    if user == 0:
        return
    try:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    except OSError as error:
        why = str(error.strerror)
        raise PrivilegeError("a user namespace of the demo's own", why, _mend(user)) from None


def _mend(user: int) -> str:
    if user == 0:
        return "run it where root has CAP_SYS_ADMIN"
    return (
        "run it as root, or let users make user namespaces (sysctls user.max_user_namespaces, "
        "kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
    )


def _show(driver: GenericVIFDriver, vifs: list[VIF]) -> bool:
    pairs = [(None, vif) for vif in vifs]
    view, wired = _wired(driver, vifs)

    _heading("The plan: what plugging two VIFs would do")
    print(*driver.plans(wired, view), sep="\n")

    _heading("Plugged")
    well = _report(driver.plug_wired(wired, view, driver.deadline(None)))

    _heading("What the host has plugged (vifplug list)")
    print_tree(tree(driver.list()))

    _heading("The interface that libvirt gets for the first one (vifplug xml)")
    view, wired = _wired(driver, vifs)
    print(wired[0].wiring.interface.to_xml())

    _heading("A frame from the first guest's tap to the second's")
    well = _frame_crosses(vifs) and well

    _heading("Checked")
    for vif, drift in zip(vifs, driver.plans(wired, view), strict=True):
        print(f"{vif.id}  {drift if drift else 'as asked'}")
        well = well and not drift

    _heading("Unplugged")
    well = _report(driver.unplug_all(pairs)) and well
    left = [name for name in driver.reader.links() if name != "lo"]
    print(f"left on the host: {', '.join(left) or 'nothing'}")
    return well and not left and not driver.list()


def _wired(driver: GenericVIFDriver, vifs: list[VIF]) -> tuple[View, list[Wired]]:
    """Return the host as it is now, and the VIFs wired for it; libvirt is not asked."""
    ready = [driver.ready(None, vif) for vif in vifs]
    view = driver.look(ready, told={"libvirt_version": "9.0.0", "virt_type": "kvm"})
    return view, [driver.wire(vif, view.host) for vif in ready]


def _heading(words: str) -> None:
    # At once: a privileged daemon that is forked would find what is not written yet.
    print(f"\n== {words}", flush=True)


def _report(outcomes: Outcomes) -> bool:
    for outcome in outcomes:
        if isinstance(outcome, Result):
            print(f"{outcome.id}  {did(outcome)}")
        else:
            print(f"error: {outcome}", file=sys.stderr)
    return all(isinstance(outcome, Result) and outcome.changed for outcome in outcomes)


def _frame_crosses(vifs: list[VIF]) -> bool:
    sender, receiver = vifs
    payload = os.urandom(46)
    addresses = bytes.fromhex((receiver.address + sender.address).replace(":", ""))
    frame = addresses + b"\x88\xb5" + payload  # an EtherType for experiments (IEEE 802)
    with ExitStack() as stack:
        one, two = (stack.enter_context(_guest_end(vif)) for vif in vifs)
        until = time.monotonic() + _WAIT
        # Sent again: a bridge forwards to a port only once the kernel has seen it come up.
        while time.monotonic() < until:
            os.write(one, _HEADER + frame)
            while select.select([two], [], [], 0.1)[0]:
                if os.read(two, 2048)[len(_HEADER) :] == frame:
                    print(f"{sender.address} -> {receiver.address}: {len(frame)} octets, arrived")
                    return True
    print(f"the frame did not arrive in {_WAIT:g} s", file=sys.stderr)
    return False


@contextmanager
def _guest_end(vif: VIF) -> Iterator[int]:
    """Open a VIF's tap as QEMU would for its guest."""
    name = derived_name("tap", vif.id)
    descriptor = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _ATTACH))
        yield descriptor
    finally:
        os.close(descriptor)
