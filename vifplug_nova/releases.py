# SPDX-License-Identifier: Apache-2.0
"""Which Novas this driver fits: said when nova-compute starts, before any VIF is touched."""

from __future__ import annotations

import inspect
import logging
import re
from importlib import metadata
from typing import Any

LOG = logging.getLogger(__name__)

TESTED = (33, 34)
"""The releases that the tests run, by their first number."""

_FIRST = 22
"""Before, get_config() took a host too, and the libvirt driver was built otherwise."""

_METHODS = {
    "get_config": ("instance", "vif", "image_meta", "flavor", "virt_type"),
    "plug": ("instance", "vif"),
    "unplug": ("instance", "vif"),
    "_plug_os_vif": ("instance", "vif"),
    "_unplug_os_vif": ("instance", "vif"),
    "get_base_config": ("instance", "mac", "image_meta", "flavor", "virt_type", "vnic_type"),
}


class UnknownNova(ImportError):
    """This Nova is not one that the driver fits; Nova's loader ends nova-compute with it."""


def check_number() -> None:
    """Raise UnknownNova for a Nova that is too old to be imported here at all."""
    version = metadata.version("nova")
    if _major(version) < _FIRST:
        raise UnknownNova(f"vifplug_nova fits Nova {_FIRST} and newer; this is Nova {version}")


def check_shape(vif_driver: type[Any]) -> None:
    """Raise UnknownNova where Nova's VIF driver is not called as this one; warn if untested."""
    version = metadata.version("nova")
    for name, wanted in _METHODS.items():
        method = getattr(vif_driver, name, None)
        found = tuple(inspect.signature(method).parameters)[1:] if method else None
        if found != wanted:
            is_there = f"{name}({', '.join(found)})" if found is not None else f"no {name}()"
            raise UnknownNova(
                f"Nova {version} has {is_there} in its VIF driver, where vifplug_nova knows "
                f"{name}({', '.join(wanted)}); it is tested with Nova "
                f"{' and '.join(map(str, TESTED))}: use a newer vifplug_nova, or the stock "
                "compute_driver = libvirt.LibvirtDriver"
            )
    if _major(version) not in TESTED:
        tested = " and ".join(map(str, TESTED))
        LOG.warning("vifplug_nova is tested with Nova %s, not with %s", tested, version)


def _major(version: str) -> int:
    number = re.match(r"\d+", version)
    return int(number[0]) if number else 0
