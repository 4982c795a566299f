# SPDX-License-Identifier: Apache-2.0
"""What ``compute_driver = vifplug.LibvirtDriver`` names: installed as nova.virt.vifplug."""

from vifplug_nova.driver import LibvirtDriver

__all__ = ["LibvirtDriver"]
