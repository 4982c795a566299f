# SPDX-License-Identifier: Apache-2.0
"""The core's options (oslo.config), the same in the caller and in the privileged daemons."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from oslo_config import cfg, types

from vifplug.model.host import VIRT_TYPES

GROUP = "vifplug"

_FILTERS = {
    "": False,
    "none": False,
    "noop": False,
    "nwfilter": True,
    "noopfirewalldriver": False,
    "iptablesfirewalldriver": True,
    "nwfilterfirewall": True,
}
"""Whether libvirt's nwfilter must filter for a firewall driver.

The first four are words; noop is Neutron's. The others are Nova's classes, in any module.
"""

_FIREWALLS = (
    "none, noop, nwfilter, or one of Nova's classes: NoopFirewallDriver, "
    "IptablesFirewallDriver, NWFilterFirewall"
)


class _FirewallType(types.String):
    """A firewall driver, refused when the configuration is read."""

    def __call__(self, value: Any) -> str:
        text = str(super().__call__(value))
        if _last_word(text) not in _FILTERS:
            raise ValueError(f"{text!r} is no firewall driver; allowed: {_FIREWALLS}")
        return text


class _VersionType(types.String):
    """A version, refused when the configuration is read."""

    def __call__(self, value: Any) -> str:
        text = str(super().__call__(value))
        if not re.fullmatch(r"\d{1,3}\.\d{1,3}\.\d{1,3}", text):
            raise ValueError(f"{text!r} is no version; allowed: a version, as 9.0.0")
        return text


class _FolderType(types.String):
    """A folder's path, refused when the configuration is read."""

    def __call__(self, value: Any) -> str:
        text = str(super().__call__(value))
        if not text.startswith("/"):
            allowed = "an absolute path, as /run/vifplug"
            raise ValueError(f"{text!r} is no absolute path; allowed: {allowed}")
        return text


def _last_word(driver: str) -> str:
    return driver.strip().rpartition(".")[2].lower()


_RINGS = types.Integer(choices=[256, 512, 1024])

OPTS = [
    cfg.FloatOpt(
        "timeout",
        default=30.0,
        min=0.1,
        max=3600.0,
        help="Seconds that one plug or unplug may take, reads and privileged work included.",
    ),
    cfg.StrOpt(
        "libvirt_uri",
        default="qemu:///system",
        help="The libvirt whose version and firewall filters are looked up.",
    ),
    cfg.Opt(
        "libvirt_version",
        type=_VersionType(),
        help="libvirt's version, as 9.0.0. Found by itself where not set; 9.0.0 is assumed, "
        "and said, where none can be found.",
    ),
    cfg.StrOpt("virt_type", choices=VIRT_TYPES, help="The hypervisor. Found where not set."),
    cfg.Opt(
        "firewall_driver",
        type=_FirewallType(quotes=True),
        help="The firewall driver that filters traffic on this host, which then needs libvirt's "
        f"nwfilter: {_FIREWALLS}. Not set, none or a no-op driver means that no firewall "
        "is required.",
    ),
    cfg.IntOpt(
        "mtu", default=1500, min=68, max=65535, help="MTU in octets of networks that name none."
    ),
    cfg.Opt(
        "lock_path",
        type=_FolderType(),
        default="/run/vifplug",
        help="Folder of the locks and the claims. It must be on the host itself, on a tmpfs.",
    ),
    cfg.DictOpt(
        "claims",
        help="Which distribution has a vif_type that several claim, as bridge:vifplug_acme. "
        "Without it, no VIF of that type can be plugged.",
    ),
    cfg.ListOpt(
        "allowed_bridges",
        help="Patterns of the names of the bridges, Linux's and Open vSwitch's, that VIFs may "
        "join or make, as br-vlan*. Not set: all. A VIF that is plugged already stays.",
    ),
    cfg.ListOpt(
        "allowed_uplinks",
        help="Patterns of the names of the host's devices that VIFs may have as uplinks, or below "
        "VLAN devices and macvtaps, as enp3s*. Not set: all. A VIF that is plugged already stays.",
    ),
    cfg.ListOpt(
        "allowed_routes",
        help="Networks, as 198.51.100.0/24, in which VIFs may have host routes to their addresses. "
        "Not set: all. A VIF that is plugged already stays.",
    ),
    cfg.Opt("rx_queue_size", type=_RINGS, help="Receive ring of virtio NICs under vhost."),
    cfg.Opt("tx_queue_size", type=_RINGS, help="Transmit ring of vhost-user and vDPA NICs."),
]


def list_opts() -> list[tuple[str, list[Any]]]:
    """Return the options for oslo.config's sample generator (entry point oslo.config.opts)."""
    return [(GROUP, OPTS)]


def register(conf: Any) -> Any:
    """Register the options with a configuration and return their group's values."""
    conf.register_opts(OPTS, group=GROUP)
    return conf[GROUP]


class HasOptions(Protocol):
    """A plugin, as far as its options matter."""

    group: str
    opts: Sequence[Any]


def of(plugin: HasOptions | type[HasOptions], conf: Any) -> Mapping[str, Any]:
    """Return the configured values of a plugin's options, by name."""
    if not plugin.opts:
        return {}
    conf.register_opts(plugin.opts, group=plugin.group)
    group = conf[plugin.group]
    return {opt.dest: group[opt.dest] for opt in plugin.opts}


def allowed(group: Any) -> dict[str, tuple[str, ...]]:
    """Return the patterns of names that VIFs may use, by the option that lists them."""
    names = ("allowed_bridges", "allowed_uplinks", "allowed_routes")
    return {name: tuple(group[name]) for name in names if group[name] is not None}


def firewall_required(driver: str | None) -> bool:
    """Return whether a configured firewall driver means that VIFs must be filtered here."""
    return driver is not None and _FILTERS.get(_last_word(driver), True)
