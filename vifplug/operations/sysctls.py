# SPDX-License-Identifier: Apache-2.0
"""Changes of a device's sysctls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.operations.operation import LinkOperation, Operation

ALLOWED: Mapping[str, int] = {
    "ipv4.accept_local": 1,
    "ipv4.accept_redirects": 1,
    "ipv4.arp_accept": 2,
    "ipv4.arp_announce": 2,
    "ipv4.arp_filter": 1,
    "ipv4.arp_ignore": 8,
    "ipv4.arp_notify": 1,
    "ipv4.forwarding": 1,
    "ipv4.proxy_arp": 1,
    "ipv4.proxy_arp_pvlan": 1,
    "ipv4.rp_filter": 2,
    "ipv4.secure_redirects": 1,
    "ipv4.send_redirects": 1,
    "ipv4.shared_media": 1,
    "ipv4.src_valid_mark": 1,
    "ipv4.neigh.gc_stale_time": 86400,
    "ipv4.neigh.locktime": 1000,
    "ipv4.neigh.proxy_delay": 1000,
    "ipv4.neigh.proxy_qlen": 4096,
    "ipv6.accept_dad": 2,
    "ipv6.accept_ra": 2,
    "ipv6.accept_redirects": 1,
    "ipv6.addr_gen_mode": 3,
    "ipv6.autoconf": 1,
    "ipv6.dad_transmits": 16,
    "ipv6.forwarding": 1,
    "ipv6.ndisc_notify": 1,
    "ipv6.proxy_ndp": 1,
    "ipv6.neigh.gc_stale_time": 86400,
    "ipv6.neigh.proxy_delay": 1000,
    "ipv6.neigh.proxy_qlen": 4096,
}
"""The sysctls that a part may set on a device, and the largest value of each; the least is 0.

``ipv4.proxy_arp`` is /proc/sys/net/ipv4/conf/DEVICE/proxy_arp. ``ipv4.neigh.locktime`` is
/proc/sys/net/ipv4/neigh/DEVICE/locktime.
"""


def path(device: str, name: str) -> str:
    """Return where a device's sysctl is below /proc/sys/net. Raises ValueError for another one."""
    if name not in ALLOWED:
        raise ValueError(f"{name} is no sysctl of a device that may be set")
    family, *folder, word = name.split(".")
    return f"{family}/{folder[0] if folder else 'conf'}/{device}/{word}"


@dataclass(frozen=True, kw_only=True)
class SetSysctl(LinkOperation):
    """Set a sysctl of a device, one of ``ALLOWED``.

    ``fresh``: on a device that the same plan makes, whose removal takes this back too.
    """

    name: str
    value: int
    before: int | None = None
    fresh: bool = False

    def __str__(self) -> str:
        return f"set {self.device} {self.name} {self.value}"

    def on(self, link: Link | None) -> Link | None:
        return link

    def foresee(self, host: Host) -> None:
        host.planned_links.put_sysctl(self.device, self.name, self.value)

    def undo(self) -> Operation | None:
        if self.fresh or self.before is None:
            return None
        return SetSysctl(device=self.device, name=self.name, value=self.before, before=self.value)
