# SPDX-License-Identifier: Apache-2.0
"""What vifplug does when a libvirt network gets a port, or loses one: a guest's NIC, hot or cold.

libvirt makes the tap and joins it to the network's bridge. vifplug makes all else that the VIF
needs, before that. libvirt waits meanwhile, so it is never asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vifplug.driver import GenericVIFDriver
from vifplug.errors import InvalidVIF, VifplugError
from vifplug.hook.operations import LONGEST, tell, told
from vifplug.model.host import Host
from vifplug.plan.wired import Wired
from vifplug.plugin import VIFPlugin
from vifplug.sources import network
from vifplug.sources.network import NetworkPort


class PortDriver(GenericVIFDriver):
    """GenericVIFDriver for VIFs whose taps libvirt makes, whatever the configuration prefers."""

    def _options(self, plugin: type[VIFPlugin]) -> Mapping[str, Any]:
        found = super()._options(plugin)
        # The plugins' other classes, which tell whether a switch is here, have no such options.
        pins = getattr(plugin, "by_libvirt", {})
        return {**found, **{name: pins[name] for name in found if name in pins}}


class PortHook:
    """Does what an operation of libvirt's network hook needs of this host."""

    def __init__(self, driver: PortDriver, conf: Any) -> None:
        """``driver`` must not ask libvirt; ``conf`` are the options of ``[vifplug]``."""
        self._driver, self._conf = driver, conf
        self._timeout = min(conf.timeout, LONGEST)

    def created(self, text: bytes) -> Sequence[str]:
        """Plug the VIF of a port; return why its guest must not have the NIC.

        libvirt says so also of every port of a guest that runs, when libvirt starts.
        """
        port = network.parse(text)
        deadline = self._driver.deadline(self._timeout)
        try:
            ready = self._driver.ready(None, port.vif())
            view = self._driver.look([ready], told=told(self._conf), deadline=deadline)
            wired = self._driver.wire(ready, view.host)
        except VifplugError as error:
            return [f"{port.title}: {error}"]
        if why := next(_against(wired, port, view.host), None):
            return [f"{port.title}: VIF {port.id}: {why}"]
        outcomes = self._driver.plug_wired([wired], view, deadline)
        return [f"{port.title}: {each}" for each in outcomes if isinstance(each, VifplugError)]

    def deleted(self, text: bytes) -> None:
        """Unplug the VIF of a port, after its tap is gone."""
        port = network.parse(text)
        try:
            pairs = [(None, port.vif())]
        except InvalidVIF:
            # The metadata have changed since the plug.
            outcomes = self._driver.unplug_ids([port.id], timeout=self._timeout)
        else:
            outcomes = self._driver.unplug_all(pairs, timeout=self._timeout)
        tell(outcomes, port.title)


def _against(vif: Wired, port: NetworkPort, host: Host) -> Iterator[str]:
    """Yield why the NIC that libvirt makes of the port can't be the VIF's."""
    wanted, vif_type = vif.wiring.interface, vif.vif.vif_type
    source = dict(wanted.source).get("bridge")
    if wanted.type != "bridge" or source != port.bridge:
        yield (
            f"vif_type {vif_type} as asked for needs an interface of type {wanted.type} on "
            f"{source or wanted.target or 'no bridge'}; allowed: those whose tap libvirt makes "
            f"and joins to {port.bridge}"
        )
    kind = wanted.virtualport.type if wanted.virtualport else ""
    if kind != port.virtualport:
        needed = f'<virtualport type="{kind}"/>' if kind else "no <virtualport>"
        yield f"virtualport of the network is {port.virtualport or 'missing'}; allowed: {needed}"
    if host.firewall and not vif.vif.filtered:
        yield (
            "a firewall is required on this host, and a network gives its NICs no filter; "
            "allowed: filtered true in the metadata, where the switch or the domain filters"
        )
