# SPDX-License-Identifier: Apache-2.0
"""What names an uplink and does not follow its addresses to the bridge. Pure."""

from __future__ import annotations

from vifplug.model.host import Host


def left_behind(host: Host, uplink: str, bridge: str) -> tuple[str, ...]:
    """Return a note that names what stays with an uplink whose addresses move to the bridge.

    These are decisions of whoever set them: a plug does not repeat them for another device.
    """
    link = host.link(uplink)
    if link is None or link.master is not None or not host.addresses(uplink):
        return ()
    there = host.sysctls(bridge)
    words = [
        *host.naming(uplink),
        *(
            f"{name} {value} ({bridge}: {there[name]})"
            for name, value in host.sysctls(uplink).items()
            if there.get(name, value) != value
        ),
    ]
    return (f"{uplink} keeps what {bridge} may need: {', '.join(words)}",) if words else ()
