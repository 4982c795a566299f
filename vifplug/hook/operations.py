# SPDX-License-Identifier: Apache-2.0
"""What vifplug does when libvirt calls a hook. libvirt waits meanwhile, so it is never asked.

Source: https://libvirt.org/hooks.html.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vifplug.driver import GenericVIFDriver, View
from vifplug.errors import NO_VIF, Conflict, InUse, InvalidVIF, VifplugError
from vifplug.model.host import ASSUMED_LIBVIRT, VIRT_TYPES
from vifplug.model.vif import VIF
from vifplug.plan.usage import held_by_guest
from vifplug.plan.wired import Ready, Wired
from vifplug.query.libvirt import library_version
from vifplug.result import Outcomes, Result
from vifplug.sources import libvirt, metadata
from vifplug.sources.domain import Domain, parse
from vifplug.switch import Departure

LOG = logging.getLogger(__name__)

AUTOSTART = Path("/etc/libvirt/qemu/autostart")
_STARTED = Path("/run/libvirt/qemu/autostarted")
"""libvirt makes this file when it has started the guests, and starts none again until a reboot."""

LONGEST = 45.0
"""Seconds: the script ends vifplug after 60, and then the error says less."""


@dataclass(frozen=True, kw_only=True)
class _Group:
    """VIFs of guests that have one hypervisor."""

    virt_type: str | None
    vifs: Sequence[VIF]


class Hook:
    """Does what an operation of libvirt needs of this host."""

    def __init__(self, driver: GenericVIFDriver, conf: Any) -> None:
        """``driver`` must not ask libvirt; ``conf`` are the options of ``[vifplug]``."""
        self._driver, self._conf = driver, conf
        self._deadline = driver.deadline(min(conf.timeout, LONGEST))

    def prepare(self, text: bytes) -> Sequence[str]:
        """Plug a guest's VIFs; return why it must not start, one sentence a VIF."""
        domain = parse(text)
        vifs, errors = _vifs(domain)
        said = [str(error) for error in errors]
        said += [
            f"VIF {vif_id}: {domain.title} has no such VIF in its metadata; needed: vifplug define"
            for vif_id in libvirt.strays(domain)
        ]
        view, wired = self._wired(_Group(virt_type=domain.virt_type, vifs=vifs))
        for vif in wired:
            if isinstance(vif, VifplugError):
                said.append(str(vif))
            else:
                said += self._against(vif, view, domain)
        if said:
            return said
        return [
            str(outcome)
            for outcome in self._driver.plug_wired(wired, view, self._deadline)
            if isinstance(outcome, VifplugError)
        ]

    def reconnect(self, text: bytes) -> None:
        """Repair the VIFs of a guest that runs."""
        domain = parse(text)
        vifs, errors = _vifs(domain)
        _log(errors)
        view, wired = self._wired(_Group(virt_type=domain.virt_type, vifs=vifs))
        tell(self._driver.plug_wired(wired, view, self._deadline), domain.title)

    def release(self, text: bytes) -> None:
        """Unplug the VIFs of a guest that has ended, but for those that another guest holds."""
        domain = parse(text)
        vifs, errors = _vifs(domain)
        _log(errors)
        timeout = min(self._conf.timeout, LONGEST)
        pairs = [(None, vif) for vif in vifs]
        tell(self._driver.unplug_all(pairs, timeout=timeout), domain.title)
        known = {vif.id for vif in vifs}
        bad = {each.id for each in metadata.entries(domain)} - known
        if ids := [vif_id for vif_id in bad if metadata.is_id(vif_id)]:
            tell(self._driver.unplug_ids(ids, timeout=timeout), domain.title)

    def rewritten(self, text: bytes) -> bytes:
        """Return a domain that comes to this host, with this host's interfaces.

        Raises VifplugError for the first VIF that can't be here.
        """
        from vifplug.guest import splice

        domain = parse(text)
        vifs, errors = _vifs(domain)
        _, wired = self._wired(_Group(virt_type=domain.virt_type, vifs=vifs))
        for each in (*errors, *wired):
            if isinstance(each, VifplugError):
                raise each
        wanted = [
            splice.Wanted(vif=each.vif, interface=each.wiring.interface, before=each.vif)
            for each in wired
            if isinstance(each, Wired)
        ]
        return splice.into(domain, wanted)

    def daemon_start(self, folder: Path = AUTOSTART, started: Path = _STARTED) -> None:
        """Plug the VIFs of all guests that libvirt is about to start, in one go."""
        if started.exists():
            return
        groups: dict[str | None, list[VIF]] = {}
        for path in sorted(folder.glob("*.xml")):
            try:
                domain = parse(path.read_bytes())
                if metadata.vifs_element(domain) is None:
                    continue
                vifs, errors = _vifs(domain)
            except (OSError, VifplugError) as error:
                LOG.error("%s: %s", path, error)
                continue
            _log(errors)
            groups.setdefault(domain.virt_type, []).extend(vifs)
        for virt_type, vifs in groups.items():
            view, wired = self._wired(_Group(virt_type=virt_type, vifs=vifs))
            outcomes = self._driver.plug_wired(wired, view, self._deadline)
            tell(outcomes, "libvirt's start")

    def _wired(self, group: _Group) -> tuple[View, list[Wired | VifplugError]]:
        """Return the host as it is, and VIFs wired for it."""
        ready = self._driver.all_ready([(None, vif) for vif in group.vifs])
        good = [each for each in ready if isinstance(each, Ready)]
        facts = told(self._conf, group.virt_type)
        view = self._driver.look(good, told=facts, deadline=self._deadline)
        return view, self._driver.all_wired(ready, view.host)

    def _against(self, vif: Wired, view: View, domain: Domain) -> Iterator[str]:
        """Yield why a VIF can't be the NIC that the domain has, or another guest has it."""
        kinds = view.others.kinds(vif.plugin)
        departure = Departure(vif_id=vif.vif.id, interface_id=vif.vif.interface_id)
        if (held := held_by_guest(departure, view.host, kinds)) and held[1]:
            yield str(Conflict(vif.vif.id, held[0], "is in use by another guest",
                               "a VIF id of the guest's own"))  # fmt: skip
        from lxml import etree

        from vifplug.guest import live

        node = libvirt.interface_of(domain, vif.vif.id, vif.vif.address)
        assert node is not None  # noqa: S101 - else it is no VIF
        nic = live.GuestInterface(guest=domain.title, element=etree.fromstring(domain.raw(node)))
        for difference in live.differences(vif.wiring.interface, nic, guests_side=False):
            yield f"VIF {vif.vif.id}: {difference}; needed: vifplug define {domain.title}"


def told(conf: Any, virt_type: str | None = None) -> Mapping[str, Any]:
    """Return libvirt's facts, for which it is not asked; ``conf`` are the options of [vifplug]."""
    version = conf.libvirt_version or library_version() or ASSUMED_LIBVIRT
    kind = virt_type if virt_type in VIRT_TYPES else "kvm"
    return {"libvirt_version": version, "virt_type": kind}


def tell(outcomes: Outcomes, about: str) -> None:
    """Log the outcomes of which libvirt does not hear."""
    for outcome in outcomes:
        if isinstance(outcome, InUse):
            LOG.warning("%s: %s", about, outcome)
        elif isinstance(outcome, VifplugError):
            LOG.error("%s: %s", about, outcome)
        elif isinstance(outcome, Result) and outcome.changed:
            LOG.info("VIF %s: changed by libvirt's hook, for %s", outcome.id, about)


def _vifs(domain: Domain) -> tuple[list[VIF], list[VifplugError]]:
    """Return the VIFs of a domain's metadata, and an error for each that is none."""
    vifs: list[VIF] = []
    errors: list[VifplugError] = []
    if metadata.vifs_element(domain) is None:
        return vifs, errors
    for place, part in libvirt.vifs_of(domain):
        try:
            vifs.append(libvirt.vif_of(part))
        except InvalidVIF as error:
            found = error
            if error.vif_id == NO_VIF:
                found = InvalidVIF(place, error.field, error.value, error.allowed)
            errors.append(found)
    return vifs, errors


def _log(errors: Sequence[VifplugError]) -> None:
    for error in errors:
        LOG.error("%s", error)
