# SPDX-License-Identifier: Apache-2.0
"""Nova's libvirt driver, with a VIF driver that has vifplug's plugins."""

from __future__ import annotations

from typing import Any

from vifplug_nova import releases

releases.check_number()

from nova.virt.libvirt import driver  # noqa: E402 - an old Nova may not even import here
from nova.virt.libvirt import vif as stock  # noqa: E402

releases.check_shape(stock.LibvirtGenericVIFDriver)

from vifplug_nova import opts, ports  # noqa: E402
from vifplug_nova.vif import CONF, VIFDriver, for_another_host  # noqa: E402


class LibvirtDriver(driver.LibvirtDriver):  # type: ignore[misc]
    """What ``compute_driver = vifplug.LibvirtDriver`` names."""

    def __init__(self, virtapi: Any, read_only: bool = False) -> None:
        super().__init__(virtapi, read_only)
        self.vif_driver = VIFDriver(self._host)
        self.vif_driver.announce()
        if opts.register(CONF).linux_bridge:
            ports.read_bridges()

    def _live_migration_operation(self, *args: Any, **kwargs: Any) -> Any:
        # On the source, Nova renders the XML with which the guest starts on its new host.
        with for_another_host():
            return super()._live_migration_operation(*args, **kwargs)
