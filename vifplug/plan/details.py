# SPDX-License-Identifier: Apache-2.0
"""All that is known of one VIF. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.vif import VIF
from vifplug.plan.inventory import Checked


@dataclass(frozen=True, kw_only=True)
class Details:
    """One VIF: the devices that are its own, its ports in switches, its claims, and its XML.

    ``xml`` is the interface as it would be rendered, where the VIF is noted. ``live_xml`` is its
    guest's, where libvirt tells it.
    """

    checked: Checked
    links: tuple[tuple[str, str], ...] = ()
    ports: tuple[str, ...] = ()
    claims: tuple[tuple[str, str], ...] = ()
    xml: str | None = None
    live_xml: str | None = None

    @property
    def vif(self) -> VIF | None:
        """The VIF as it was plugged, where a note tells it."""
        return self.checked.plugged.vif

    @property
    def guest(self) -> str | None:
        """The guest, and whether it runs."""
        one = self.checked.plugged
        if one.interface is None:
            return one.guest
        return f"{one.interface.guest} ({'running' if one.interface.runs else 'shut off'})"


def details(checked: Checked, host: Host, *, xml: str | None) -> Details:
    """Return all that a host tells of a VIF."""
    one = checked.plugged
    links = ((name, host.link(name)) for name in one.devices)
    traces = host.traces(one.id, one.vif.interface_id if one.vif else None)
    return Details(
        checked=checked,
        links=tuple((name, words_of(link)) for name, link in links if link),
        ports=tuple(
            f"{name} on {trace.bridge}" + (f", VLAN {trace.vlan}" if trace.vlan is not None else "")
            for trace in traces
            for name in (*trace.devices, *trace.ports)
        ),
        claims=tuple((device, str(claim)) for device, claim in host.claims_of(one.id)),
        xml=xml,
        live_xml=one.interface.xml if one.interface else None,
    )


def words_of(link: Link) -> str:
    """Return what an operator wants to know of a device."""
    words = [link.kind, f"MTU {link.mtu}", "up" if link.up else "down"]
    if link.master:
        words.append(f"in {link.master}")
    if link.address:
        words.append(link.address)
    if link.kind == "tap":
        words.append("held by a process" if link.carrier else "held by no process")
    return ", ".join(words)
