# SPDX-License-Identifier: Apache-2.0
"""The nwfilter that a VIF's interface refers to, where this host must apply the firewall.

Source: https://libvirt.org/formatnwfilter.html; names and parameters are those that Nova's
firewall drivers used. The filter itself is the firewall's to define.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from typing import Any

from oslo_config import cfg

from vifplug.guest.interface import FilterRef
from vifplug.model.vif import VIF, Subnet

FILTER_OPTS = [
    cfg.StrOpt(
        "filter_name",
        default="nova-instance-{instance}-{mac}",
        help="libvirt's nwfilter of a VIF where a firewall is required. {instance} is the "
        "instance's name, {mac} the VIF's address without colons, {id} its id.",
    ),
    cfg.BoolOpt(
        "filter_parameters",
        default=False,
        help="Give the filter its parameters (IP, DHCPSERVER, RASERVER, PROJNET, PROJMASK, "
        "PROJNET6, PROJMASK6) in the interface's XML.",
    ),
    cfg.BoolOpt("use_ipv6", default=False, help="Give the filter its IPv6 parameters too."),
]
"""The options of each plugin that refers to filters."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,127}", re.ASCII)


def filter_of(vif: VIF, options: Mapping[str, Any]) -> FilterRef:
    """Return the reference to a VIF's filter, as a plugin's options want it (``FILTER_OPTS``).

    Raises InvalidVIF where the VIF gives no name that libvirt's schema takes.
    """
    name = options["filter_name"]
    if "{instance}" in name and vif.instance.name is None:
        raise vif.refuse(
            "instance.name", None, "a name, which the name of the firewall's filter contains"
        )
    try:
        text = name.format(instance=vif.instance.name, mac=vif.address.replace(":", ""), id=vif.id)
    except (KeyError, IndexError, ValueError) as error:
        allowed = "a template with {instance}, {mac} and {id} only"
        raise vif.refuse(f"option filter_name ({error})", name, allowed) from None
    if not _NAME.fullmatch(text):
        allowed = "an instance name that gives a filter name of A-Z a-z 0-9 _ . - only"
        raise vif.refuse("instance.name", vif.instance.name, allowed)
    if not options["filter_parameters"]:
        return FilterRef(name=text)
    found = _parameters(vif.network.subnets, ipv6=options["use_ipv6"])
    return FilterRef(name=text, parameters=tuple(found))


def _parameters(subnets: tuple[Subnet, ...], *, ipv6: bool) -> Iterable[tuple[str, str]]:
    """Yield the parameters in Nova's order. The net is the first subnet's of its family."""
    four = [subnet for subnet in subnets if _version(subnet) == 4]
    six = [subnet for subnet in subnets if _version(subnet) == 6]
    yield from (("IP", ip) for subnet in four for ip in subnet.ips if ":" not in ip)
    yield from (("DHCPSERVER", s.dhcp_server) for s in four if s.dhcp_server)
    if ipv6:
        # An address alone: libvirt takes no "/" in a parameter's value.
        yield from (("RASERVER", s.gateway) for s in six if s.gateway)
    for subnet in four[:1]:
        net = ipaddress.ip_interface(subnet.cidr)
        yield from (("PROJNET", str(net.ip)), ("PROJMASK", str(net.netmask)))
    for subnet in six[:1] if ipv6 else ():
        net = ipaddress.ip_interface(subnet.cidr)
        yield from (("PROJNET6", str(net.ip)), ("PROJMASK6", str(net.network.prefixlen)))


def _version(subnet: Subnet) -> int:
    return ipaddress.ip_interface(subnet.cidr).version
