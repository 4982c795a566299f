# SPDX-License-Identifier: Apache-2.0
"""Nova's VIF driver: what an installed plugin claims is vifplug's, all else Nova's own."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any

import nova.conf
from nova.compute import task_states
from nova.network import model
from nova.virt.libvirt import vif as stock

from vifplug import GenericVIFDriver, InvalidVIF, VifplugError
from vifplug.model.host import ASSUMED_LIBVIRT, Host
from vifplug.opts import firewall_required
from vifplug.plan.wired import Ready
from vifplug.planner import View
from vifplug_nova import failures, opts, reading
from vifplug_nova.config import config_of

LOG = logging.getLogger(__name__)
CONF = nova.conf.CONF

_NOT_BOUND = (None, model.VIF_TYPE_UNBOUND, model.VIF_TYPE_BINDING_FAILED)
_FOR_ANOTHER_HOST: ContextVar[bool] = ContextVar("vifplug_nova_for_another_host", default=False)


@contextlib.contextmanager
def for_another_host() -> Iterator[None]:
    """Have get_config() render for the host that a guest is about to move to."""
    token = _FOR_ANOTHER_HOST.set(True)
    try:
        yield
    finally:
        _FOR_ANOTHER_HOST.reset(token)


class VIFDriver(stock.LibvirtGenericVIFDriver):  # type: ignore[misc]
    """The five methods that Nova calls. By inheritance it has all others of Nova's own driver."""

    def __init__(self, host: Any = None) -> None:
        """``host`` is nova.virt.libvirt.host.Host; without it libvirt's version is assumed."""
        super().__init__(host)
        self._options = opts.register(CONF)
        self._vifplug = GenericVIFDriver(CONF)

    def get_config(
        self, instance: Any, vif: Any, image_meta: Any, flavor: Any, virt_type: str
    ) -> Any:
        """Return the guest's side as Nova's configuration object. Raises NovaException."""
        if self._why_not_ours(vif):
            return super().get_config(instance, vif, image_meta, flavor, virt_type)
        with failures.otherwise():
            guest = self._guest(instance, vif, image_meta, flavor, virt_type)
            ours = reading.vif_of(vif, instance, flavor=flavor, guest=guest)
            if _FOR_ANOTHER_HOST.get():
                host = self._another_host(virt_type)
                interface = self._vifplug.get_config(None, ours, host=host)
            else:
                ready = self._vifplug.ready(None, ours)
                view = self._look(ready, virt_type, everywhere=False)
                interface = self._vifplug.wire(ready, view.host).wiring.interface
            return config_of(reading.with_guest(interface, ours, guest))

    def plug(self, instance: Any, vif: Any) -> None:
        """Connect a VIF; one that is connected is left alone. Raises as Nova can handle it."""
        why_not = self._why_not_ours(vif)
        if why_not:
            moving = "task_state" in instance and instance.task_state == task_states.MIGRATING
            with failures.plugging_by_nova(why_not, moving=moving):
                super().plug(instance, vif)
            return
        with failures.plugging():
            self._plug_os_vif(instance, vif)

    def unplug(self, instance: Any, vif: Any) -> None:
        """Remove what is a VIF's; what is gone already is no error. Raises NovaException."""
        if vif["type"] in _NOT_BOUND:
            # Bound when it was plugged, perhaps: what bears its marks goes, whatever it was.
            with failures.otherwise():
                _raise_errors(self._vifplug.unplug_ids([vif["id"]], force=True))
        if self._why_not_ours(vif):
            super().unplug(instance, vif)
            return
        with failures.otherwise():
            self._unplug_os_vif(instance, vif)

    # By these two names Nova's own fixtures keep a test from touching the host.

    def _plug_os_vif(self, instance: Any, vif: Any) -> None:
        if not isinstance(vif, Mapping):
            super()._plug_os_vif(instance, vif)
            return
        flavor, virt_type = instance.flavor, CONF.libvirt.virt_type
        guest = self._guest(instance, vif, instance.image_meta, flavor, virt_type)
        ours = reading.vif_of(vif, instance, flavor=flavor, guest=guest)
        ready = self._vifplug.ready(None, ours)
        view = self._look(ready, virt_type)
        wired = self._vifplug.wire(ready, view.host)
        deadline = self._vifplug.deadline(None)
        # Nova has decided how the VIF is connected from now on: it comes from wherever it was.
        _raise_errors(self._vifplug.plug_wired([wired], view, deadline, move=True))

    def _unplug_os_vif(self, instance: Any, vif: Any) -> None:
        if not isinstance(vif, Mapping):
            super()._unplug_os_vif(instance, vif)
            return
        try:
            ours = reading.vif_of(vif, instance)
        except InvalidVIF:  # it was plugged by another release, or never
            _raise_errors(self._vifplug.unplug_ids([vif["id"]], force=True))
        else:
            _raise_errors(self._vifplug.unplug_all([(None, ours)], force=True))

    def announce(self) -> None:
        """Log which plugin connects what, and which one can't be used."""
        for claim in self._vifplug.registry.claims():
            if claim.vif_type in self._options.leave:
                LOG.info("vif_type %s is left to Nova, as configured", claim.vif_type)
            elif claim.state == "ok":
                LOG.info("vif_type %s is connected by %s", claim.vif_type, claim.source)
            else:
                LOG.error(
                    "VIFs of vif_type %s can't be connected: %s of %s: %s",
                    claim.vif_type,
                    claim.class_name,
                    claim.source,
                    claim.error,
                )

    def _why_not_ours(self, vif: Any) -> str:
        """Return why a VIF is Nova's own to connect; nothing where it is ours.

        A type whose plugin is broken stays ours: it fails, rather than be connected another way.
        """
        vif_type, vnic_type = vif["type"], vif.get("vnic_type") or model.VNIC_TYPE_NORMAL
        if vif_type not in self._vifplug.registry.vif_types:
            return f"no installed vifplug plugin claims vif_type {vif_type}"
        for left in (vif_type, f"{vif_type}:{vnic_type}"):
            if left in self._options.leave:
                return f"[vifplug_nova] leave names {left}"
        try:
            takes = self._vifplug.registry.plugin(vif_type, vif_id=vif["id"]).vnic_types
        except VifplugError:
            return ""
        if vnic_type in takes:
            return ""
        return f"the vifplug plugin for {vif_type} takes vnic_type {', '.join(takes)} only"

    def _guest(self, instance: Any, vif: Any, image: Any, flavor: Any, virt_type: str) -> Any:
        """Return what Nova chooses for the guest's side, by its own rules."""
        vnic_type = vif.get("vnic_type") or model.VNIC_TYPE_NORMAL
        return self.get_base_config(instance, vif["address"], image, flavor, virt_type, vnic_type)

    def _look(self, vif: Ready, virt_type: str, *, everywhere: bool = True) -> View:
        """Return this host as a VIF must know it, with what Nova knows better."""
        told = {"virt_type": virt_type, "libvirt_version": self._libvirt_version()}
        view = self._vifplug.look([vif], told=told, everywhere=everywhere)
        return dataclasses.replace(view, host=_with_rings(view.host))

    def _another_host(self, virt_type: str) -> Host:
        """Return what holds of every host of the cloud: what is configured, and nothing found."""
        group = CONF.vifplug
        facts = {"virt_type": virt_type, "mtu": group.mtu, "libvirt_version": ASSUMED_LIBVIRT}
        facts["firewall"] = firewall_required(group.firewall_driver)
        return _with_rings(Host.from_dict(facts))

    def _libvirt_version(self) -> str:
        try:
            number = int(self.host.get_connection().getLibVersion())
        except Exception as error:  # whatever Nova makes of a libvirt that is away
            LOG.warning("libvirt's version is taken for %s: %s", ASSUMED_LIBVIRT, error)
            return ASSUMED_LIBVIRT
        return f"{number // 1_000_000}.{number // 1000 % 1000}.{number % 1000}"


def _with_rings(host: Host) -> Host:
    """Return a host with the ring sizes of Nova's section [libvirt]."""
    rx, tx = CONF.libvirt.rx_queue_size, CONF.libvirt.tx_queue_size
    return dataclasses.replace(
        host, rx_queue_size=str(rx) if rx else None, tx_queue_size=str(tx) if tx else None
    )


def _raise_errors(outcomes: Any) -> None:
    for outcome in outcomes:
        if isinstance(outcome, VifplugError):
            raise outcome
