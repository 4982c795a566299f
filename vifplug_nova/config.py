# SPDX-License-Identifier: Apache-2.0
"""Our interface as Nova's configuration object, which holds less than our XML says."""

from __future__ import annotations

import copy
from typing import Any

from nova.virt.libvirt import config

from vifplug import Interface


def config_of(interface: Interface) -> Any:
    """Return an interface as a LibvirtConfigGuestInterface that renders to our very XML.

    Exactly that class, or LibvirtConfigGuestHostdevPCI for a function that is given whole: when a
    NIC is detached, Nova looks for devices of the object's own type. Nova compares and reads its
    fields, and renders it; it changes none.
    """
    element = interface.to_element()
    whole = element.tag == "hostdev"
    found = (config.LibvirtConfigGuestHostdevPCI if whole else config.LibvirtConfigGuestInterface)()
    found.parse_dom(element)
    # Nova's own rendering splits <parameters> and drops what its fields don't hold.
    found.format_dom = lambda: copy.deepcopy(element)
    return found
