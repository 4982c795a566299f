# SPDX-License-Identifier: Apache-2.0
"""The five drivers of Folsom by their names, each GenericVIFDriver with its vif_type pinned.

Source: the LibvirtVIFDrivers blueprint; nova/virt/libvirt/vif.py, 2012.2 and 2013.1. Three are
all ``ovs``, so the process is pinned too. Deprecated; docs/legacy.md says what differs and why.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from vifplug.driver import GenericVIFDriver, Outcomes
from vifplug.model.vif import VIF
from vifplug.plugin import VIFPlugin
from vifplug.sources import binding, nova, nova_legacy

_OF_THE_NETWORK = ("ovs_hybrid_plug", "ovs_create_tap", "delegate_create")
"""Details by which a network of today pins the process; these drivers asked nobody."""


class LegacyVIFDriver(GenericVIFDriver):
    """What the five have in common.

    Where GenericVIFDriver takes a VIF, they take a VIF, an entry of Nova's network model, or the
    pair (network, mapping) of old; none of which is changed. The vif_type that it says is not
    looked at.

    ``vif_type``  that of all VIFs
    ``pins``      options of the plugin, whatever the configuration says
    ``filters``   whether the original gave its VIFs a filter: then a firewall is required also
                  where no firewall driver is configured. Else VIFs count as filtered elsewhere
    ``to_keep``   what keeps GenericVIFDriver doing the same
    """

    vif_type: ClassVar[str]
    pins: ClassVar[Mapping[str, Any]] = {}
    filters: ClassVar[bool] = False
    to_keep: ClassVar[str]

    def __init__(self, conf: Any = None) -> None:
        """``conf`` as GenericVIFDriver takes it. Warns with DeprecationWarning."""
        words = f"{type(self).__name__} is deprecated: use vifplug.GenericVIFDriver"
        warnings.warn(f"{words} ({self.to_keep})", DeprecationWarning, stacklevel=2)
        super().__init__(conf)

    def _options(self, plugin: type[VIFPlugin]) -> Mapping[str, Any]:
        found = super()._options(plugin)
        return {**found, **{name: self.pins[name] for name in found if name in self.pins}}

    def _unplug(
        self, vifs: Sequence[tuple[str, VIF | None]], timeout: float | None, *, force: bool
    ) -> Outcomes:
        # Nova has decided that the VIF goes.
        return super()._unplug(vifs, timeout, force=True)

    def _told(self) -> Mapping[str, Any]:
        unsaid = self.filters and not self._group.firewall_driver
        return {"firewall": True} if unsaid else {}

    def _taken(self, instance: Mapping[str, Any] | None, vif: Any) -> VIF:
        found = self._read(vif)
        details = {n: v for n, v in found.details.items() if n not in _OF_THE_NETWORK}
        pinned = dataclasses.replace(
            found,
            vif_type=self.vif_type,
            filtered=found.filtered or not self.filters,
            details=details,
            foreign=True,
        )
        return super()._taken(instance, pinned)

    def _read(self, vif: Any) -> VIF:
        if isinstance(vif, VIF):
            return vif
        if nova_legacy.is_pair(vif) or not isinstance(vif, Mapping):
            return nova_legacy.vif_of(vif, vif_type=self.vif_type)
        return nova.vif_of({**vif, "type": self.vif_type})


class LibvirtBridgeDriver(LegacyVIFDriver):
    """nova-network's: a Linux bridge, made with its VLAN device where asked, and a filter."""

    vif_type = "bridge"
    pins: ClassVar[Mapping[str, Any]] = {"create_tap": False, "filter_parameters": True}
    filters = True
    to_keep = "vif_type bridge; [vifplug_bridge] filter_parameters, a firewall_driver"


class LibvirtOpenVswitchDriver(LegacyVIFDriver):
    """Open vSwitch, manual: a tap and its port are made beforehand; no filter."""

    vif_type = "ovs"
    pins: ClassVar[Mapping[str, Any]] = {"process": "manual"}
    to_keep = "vif_type ovs; [vifplug_ovs] process = manual"


class LibvirtHybridOVSBridgeDriver(LegacyVIFDriver):
    """Open vSwitch, hybrid: a Linux bridge of the VIF's own, with a filter, wired to a port."""

    vif_type = "ovs"
    pins: ClassVar[Mapping[str, Any]] = {"process": "hybrid", "filter_parameters": True}
    filters = True
    to_keep = "vif_type ovs; [vifplug_ovs] process = hybrid, filter_parameters, a firewall_driver"


class LibvirtOpenVswitchVirtualPortDriver(LegacyVIFDriver):
    """Open vSwitch, automatic: libvirt makes tap and port; no filter."""

    vif_type = "ovs"
    pins: ClassVar[Mapping[str, Any]] = {"process": "automatic"}
    to_keep = "vif_type ovs; [vifplug_ovs] process = automatic"


class QuantumLinuxBridgeVIFDriver(LegacyVIFDriver):
    """Quantum's Linux bridge, called brq and the network's id; its agent filters."""

    vif_type = "bridge"
    pins: ClassVar[Mapping[str, Any]] = {"create_tap": False}
    to_keep = "vif_type bridge; network.bridge and should_create_bridge in the VIF"

    def _read(self, vif: Any) -> VIF:
        found = super()._read(vif)
        network = dataclasses.replace(
            found.network,
            bridge=found.network.bridge or binding.quantum_bridge(found.network.id),
            should_create_bridge=True,
            # What joins the bridge to the network is Quantum's agent's care.
            interface=None,
            should_create_vlan=False,
        )
        return dataclasses.replace(found, network=network)
