# SPDX-License-Identifier: Apache-2.0
"""The domain of a test's guest, and libvirt's schema."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from lxml import etree

_SCHEMA = Path("/usr/share/libvirt/schemas/domain.rng")

_DOMAIN = """\
<domain type='{virt_type}'{namespace}>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>{backing}
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{machine}'>hvm</type><boot dev='network'/></os>
  <features><acpi/></features>
  <devices>
    <emulator>{emulator}</emulator>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
{interface}
  </devices>{override}
</domain>
"""

_SHARED = """
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>"""
_NAMESPACE = " xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'"
_LYING = """
  <qemu:override><qemu:device alias='net0'><qemu:frontend>
    <qemu:property name='mac' type='string' value='{mac}'/>
  </qemu:frontend></qemu:device></qemu:override>"""


def domain_xml(
    interface_xml: str,
    name: str,
    memory_mib: int,
    lying_mac: str | None = None,
    *,
    shared_memory: bool = False,
    virt_type: str = "qemu",
    machine: str = "pc",
) -> str:
    """Return a domain with one <interface>, and no disk."""
    emulator = shutil.which("qemu-system-x86_64") or "/usr/bin/qemu-system-x86_64"
    return _DOMAIN.format(
        virt_type=virt_type,
        machine=machine,
        name=escape(name),
        memory_mib=memory_mib,
        backing=_SHARED if shared_memory else "",
        emulator=emulator,
        interface=interface_xml,
        namespace=_NAMESPACE if lying_mac else "",
        override=_LYING.format(mac=lying_mac) if lying_mac else "",
    )


@functools.cache
def schema() -> etree.RelaxNG:
    """Return libvirt's schema of a domain; needs lxml and libvirt0."""
    from lxml import etree

    if not _SCHEMA.exists():
        raise RuntimeError(f"{_SCHEMA} is missing: install libvirt0 (Debian)")
    return etree.RelaxNG(etree.parse(str(_SCHEMA)))


def validate(interface_xml: str) -> None:
    """Check one ``<interface>`` with libvirt's RELAX NG schema; needs lxml and libvirt0.

    ValueError with the schema's errors, or with the parser's if it is not XML. The schema knows
    less than libvirt: see :meth:`Libvirt.define`.
    """
    from lxml import etree

    found = schema()
    try:
        domain = etree.fromstring(domain_xml(interface_xml, "validate", 64))
    except etree.XMLSyntaxError as error:
        raise ValueError(f"not XML: {error}: {interface_xml}") from error
    if not found.validate(domain):
        lines = "\n".join(f"  {entry.message}" for entry in found.error_log)
        raise ValueError(f"libvirt's schema refuses it:\n{lines}\n{interface_xml}")
