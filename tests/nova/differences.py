# SPDX-License-Identifier: Apache-2.0
"""Where our XML is not Nova's, each with its reason. The same list is in docs/nova.md.

A difference changes Nova's XML into ours, where it applies; after all of them the two are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lxml import etree

from vifplug.model.mark import derived_name

Case = dict[str, Any]
Change = Callable[[Case, Any], None]


@dataclass(frozen=True)
class Difference:
    """One difference; ``name`` is the line of docs/nova.md that tells of it."""

    name: str
    change: Change


def _version(case: Case) -> tuple[int, ...]:
    return tuple(int(part) for part in case["libvirt_version"].split("."))


def _managed(case: Case, xml: Any) -> None:
    target = xml.find("target")
    if xml.get("type") != "ethernet" or target is None:
        return
    target.attrib.pop("managed", None)
    if _version(case) >= (8, 10):
        target.set("managed", "no")


def _target(case: Case, xml: Any) -> None:
    if xml.get("type") == "direct":
        return
    name = case["vif"]["devname"] or derived_name("tap", case["vif"]["id"])
    target = xml.find("target")
    if target is None:
        _at(xml, etree.Element("target", dev=name), after=("mtu", "driver", "model", "mac"))
    else:
        target.set("dev", name)


def _one_element(case: Case, xml: Any) -> None:
    port = xml.find("virtualport")
    if port is None or port.get("type") != "802.1Qbg":
        return
    first, *others = port
    for other in others:
        first.attrib.update(other.attrib)
        port.remove(other)


def _model_of_the_image(case: Case, xml: Any) -> None:
    """Nova's model is right where nothing but the type macvtap makes it virtio."""
    model, options = case["image"].get("hw_vif_model"), case["libvirt_options"]
    if case["vif"]["type"] != "macvtap" or model == "virtio":
        return
    if model is None:
        paravirtual = options["virt_type"] != "lxc" and options["use_virtio_for_bridges"]
        if not paravirtual:
            xml.remove(xml.find("model"))
    else:
        xml.find("model").set("type", model)


def _limits_of_a_tap(case: Case, xml: Any) -> None:
    specs = case["extra_specs"]
    limits = {
        way: {w: specs[f"quota:vif_{way}_{w}"] for w in ("average", "peak", "burst")
              if f"quota:vif_{way}_{w}" in specs}
        for way in ("inbound", "outbound")
    }  # fmt: skip
    if case["vif"]["type"] != "tap" or not any("average" in one for one in limits.values()):
        return
    bandwidth = etree.SubElement(xml, "bandwidth")
    for way, one in limits.items():
        if "average" in one:
            etree.SubElement(bandwidth, way, one)


def _no_limits_of_zero(case: Case, xml: Any) -> None:
    bandwidth = xml.find("bandwidth")
    for one in list(bandwidth) if bandwidth is not None else ():
        for word, value in list(one.attrib.items()):
            if value == "0":
                del one.attrib[word]
        if "average" not in one.attrib:
            bandwidth.remove(one)
    if bandwidth is not None and not len(bandwidth):
        xml.remove(bandwidth)


def _packed_virtio_only(case: Case, xml: Any) -> None:
    model, driver = xml.find("model"), xml.find("driver")
    if driver is not None and (model is None or model.get("type") != "virtio"):
        xml.remove(driver)


def _one_queue_is_none(case: Case, xml: Any) -> None:
    driver = xml.find("driver")
    if driver is not None and driver.get("queues") == "1":
        del driver.attrib["queues"]


def _at(xml: Any, element: Any, *, after: tuple[str, ...]) -> None:
    before = next(found for tag in after if (found := xml.find(tag)) is not None)
    before.addnext(element)


def _no_script(case: Case, xml: Any) -> None:
    script = xml.find("script")
    if script is not None:
        xml.remove(script)


def _mtu(case: Case, xml: Any) -> None:
    mtu = case["vif"]["network"]["meta"].get("mtu")
    if mtu and xml.find("mtu") is None and xml.get("type") in ("bridge", "ethernet"):
        _at(xml, etree.Element("mtu", size=str(mtu)), after=("source", "driver", "model", "mac"))


def _lower(case: Case, xml: Any) -> None:
    mac = xml.find("mac")
    mac.set("address", mac.get("address").lower())


DIFFERENCES = (
    Difference("the MAC address in lower case", _lower),
    Difference("a target always, called tap", _target),
    Difference("managed='no' from libvirt 8.10 on", _managed),
    Difference("802.1Qbg: one `<parameters>`", _one_element),
    Difference("a macvtap's model is the image's", _model_of_the_image),
    Difference("a flavor's limits hold for a tap too", _limits_of_a_tap),
    Difference("a limit of 0 is none", _no_limits_of_zero),
    Difference("packed rings for virtio only", _packed_virtio_only),
    Difference("one queue is not said", _one_queue_is_none),
)

FROM_NOVA_20 = (
    Difference("no empty script", _no_script),
    Difference("an MTU with libvirt older than 3.3 too", _mtu),
    *DIFFERENCES,
)
