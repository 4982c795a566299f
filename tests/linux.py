# SPDX-License-Identifier: Apache-2.0
"""A guest that boots Linux: Debian's kernel, busybox, and a script as its first process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.kernel import machine

BOOTS_WITHIN = 120
"""Seconds until a guest without KVM, on a busy machine, has surely booted."""

_DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name><memory unit='MiB'>{memory_mib}</memory><vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>{kernel}</kernel><initrd>{initrd}</initrd>
    <cmdline>console=ttyS0 quiet nokaslr mitigations=off net.ifnames=0</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <serial type='file'><source path='{console}'/></serial>{interfaces}
  </devices>
</domain>
"""


@dataclass(frozen=True, kw_only=True)
class Linux:
    """A kernel, and an archive with the guest's first process, which can drive virtio cards."""

    image: Path
    initrd: Path

    @classmethod
    def made(cls, folder: Path, init: Path) -> Linux:
        """Return one whose archive is in a folder and has a script as its first process."""
        kernel, initrd = machine.cloud_kernel(), folder / "initrd"
        machine.make_initramfs(initrd, kernel, init, ("virtio_pci", "virtio_net"))
        return cls(image=kernel.image, initrd=initrd)

    def domain(self, name: str, interfaces: str = "", *, memory_mib: int = 96) -> str:
        """Return the domain of a guest that boots it."""
        return _DOMAIN.format(
            name=name, memory_mib=memory_mib, kernel=self.image, initrd=self.initrd,
            console=console(name), interfaces=interfaces,
        )  # fmt: skip


def console(name: str) -> Path:
    """Return the file with the output of a guest's console, where libvirtd runs."""
    return Path(f"/var/log/libvirt/{name}.console")
