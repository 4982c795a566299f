# SPDX-License-Identifier: Apache-2.0
"""Whether a guest uses a VIF: it holds the VIF's tap, macvtap or socket. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.mark import Mark, derived_name
from vifplug.model.snapshot import Trace
from vifplug.plan.derived import Kinds
from vifplug.switch import Departure


def own_devices(
    vif_id: str,
    host: Host,
    kinds: Kinds,
    *,
    marked: Mapping[str, Link],
    claims: Iterable[tuple[str, Mark]],
    traces: Iterable[Trace],
) -> dict[str, Link]:
    """Return the devices of a VIF, those that libvirt made too.

    ``marked`` bear its mark, ``claims`` are its claims, ``traces`` what switches have of it.
    """
    own = dict(marked)
    for trace in traces:
        own |= {name: link for name in trace.devices if (link := host.link(name))}
    # A tap that libvirt makes bears the derived name; it shows that the guest runs.
    tap_name = derived_name("tap", vif_id)
    tap = host.link(tap_name)
    if tap and tap.kind == "tap" and (tap_name in own or not tap.marks):
        own[tap_name] = tap
    for device, claim in claims:
        for kind in kinds:
            if claim.role in kind.claim_roles:
                own |= kind.stacked(device, claim, host)
    return own


def held(
    own: Mapping[str, Link], traces: Iterable[Trace], host: Host
) -> Iterator[tuple[str, bool]]:
    """Yield each device or port of a VIF that a guest holds, and whether that is certain.

    A tap has carrier while a process has it open. A process that can't be seen may hold a macvtap.
    """
    for name, link in own.items():
        if link.kind == "tap" and link.carrier:
            yield name, True
        elif link.kind == "macvtap" and (is_held := host.held(name)) is not False:
            yield name, is_held is True
    for trace in traces:
        # The database tells of sockets only: a device tells by itself, and it may be gone.
        if trace.in_use and not trace.devices:
            yield next(iter(trace.ports), str(trace.bridge)), True


def held_by_guest(vif: Departure, host: Host, kinds: Kinds) -> tuple[str, bool] | None:
    """Return the first device or port of a VIF that a guest holds, as :func:`held` yields it."""
    traces = host.traces(vif.vif_id, vif.interface_id)
    own = own_devices(
        vif.vif_id,
        host,
        kinds,
        marked=host.marked(vif.vif_id),
        claims=host.claims_of(vif.vif_id),
        traces=traces,
    )
    return next(held(own, traces, host), None)
