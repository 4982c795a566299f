# SPDX-License-Identifier: Apache-2.0
"""What libvirt does to its guests' interfaces while they run."""

from __future__ import annotations

from collections.abc import Callable

from lxml import etree

from tests.actors.scene import Scene
from tests.actors.shapes import INSTANCE

PACKAGES = ("libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "ipxe-qemu", "tini")

_GUEST = INSTANCE["name"]


def restart(scene: Scene) -> None:
    """Restart libvirtd, while its guest runs."""
    assert scene.libvirt
    scene.libvirt.restart()


def _update(scene: Scene, change: Callable[[etree._Element], object]) -> None:
    assert scene.libvirt
    domain = etree.fromstring(scene.libvirt.virsh("dumpxml", _GUEST))
    (interface,) = domain.iterfind("devices/interface")
    change(interface)
    words = ("update-device", _GUEST, "/dev/stdin", "--live")
    scene.libvirt.virsh(*words, input=etree.tostring(interface, encoding="unicode"))


def moved(scene: Scene) -> None:
    """Move the guest to another bridge, as an administrator may."""

    def move(interface: etree._Element) -> None:
        (source,) = interface.iterfind("source")
        source.set("bridge", scene.shape.wrong)

    _update(scene, move)


def link_down(scene: Scene) -> None:
    """Take the guest's carrier away."""

    def down(interface: etree._Element) -> None:
        for link in interface.findall("link"):
            interface.remove(link)
        etree.SubElement(interface, "link", state="down")

    _update(scene, down)
