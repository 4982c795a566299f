# SPDX-License-Identifier: Apache-2.0
"""This plugin under the name ``linux_bridge``, which Nova up to 33 asks os-vif for.

os-vif 5 ships no plugin of that name any more. os-vif calls this one, and Nova renders the XML, in
which libvirt makes the tap.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Mapping
from typing import Any

from os_vif import objects, plugin

from vifplug import VIF, GenericVIFDriver
from vifplug.plugin import VIFPlugin
from vifplug.sources import os_vif

LOG = logging.getLogger(__name__)

NAME = "linux_bridge"


class _Driver(GenericVIFDriver):
    """A driver that ignores the option create_tap: Nova's XML has libvirt make the tap."""

    def _options(self, plugin: type[VIFPlugin]) -> Mapping[str, Any]:
        options = super()._options(plugin)
        return {**options, "create_tap": False} if "create_tap" in options else options


class LinuxBridgePlugin(plugin.PluginBase):  # type: ignore[misc]
    """os-vif's plugin ``linux_bridge``."""

    def __init__(self, config: Any = None) -> None:
        """``config`` is os-vif's; our options are in section ``[vifplug_bridge]``."""
        super().__init__(config)
        self._driver = _Driver()
        entries = importlib.metadata.entry_points(group="os_vif", name=NAME)
        others = {entry.value for entry in entries if entry.module != __name__}
        if others:
            LOG.warning(
                "os-vif has another plugin %s (%s): which of the two it uses is chance; "
                "install os-vif 5 or newer, which has none",
                NAME,
                ", ".join(sorted(others)),
            )

    def describe(self) -> Any:
        """Return the VIF object, with its versions, that the plugin accepts."""
        vif = objects.vif.VIFBridge
        accepted = objects.host_info.HostVIFInfo(
            vif_object_name=vif.__name__,
            min_version="1.0",
            max_version=vif.VERSION,
            supported_port_profiles=[],
        )
        return objects.host_info.HostPluginInfo(plugin_name=NAME, vif_info=[accepted])

    def plug(self, vif: Any, instance_info: Any) -> None:
        """Make the bridge and claim it for a VIF. Raises VifplugError, which os-vif wraps."""
        self._driver.plug(None, _vif_of(vif, instance_info))

    def unplug(self, vif: Any, instance_info: Any) -> None:
        """Unplug a VIF; its caller has decided that. Raises VifplugError, which os-vif wraps."""
        self._driver.unplug(None, _vif_of(vif, instance_info), force=True)


def _vif_of(vif: Any, instance_info: Any) -> VIF:
    return os_vif.vif_of(
        {"vif": vif.obj_to_primitive(), "instance_info": instance_info.obj_to_primitive()}
    )
