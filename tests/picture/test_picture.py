# SPDX-License-Identifier: Apache-2.0
"""Pictures of hosts that are described: what is drawn, and that every name stays a name."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace

import pytest
from lxml import etree

from tests.picture.hosts import MARKUP, UP, drawn, patched, pictured, random_host, vif
from vifplug.errors import SwitchError
from vifplug.model.host import Host
from vifplug.model.link import Link
from vifplug.model.snapshot import Snapshot, SwitchPort, Trace
from vifplug.picture.differ import compared
from vifplug.picture.dot import dot
from vifplug.picture.found import names_of
from vifplug.picture.graph import CHANGES, STATES, Topology
from vifplug.picture.page import page
from vifplug.picture.place import Box, placed
from vifplug.picture.style import DARK, LIGHT, of_a_file, read
from vifplug.picture.svg import SIGNS, svg
from vifplug.picture.text import cut, plain
from vifplug.picture.tree import tree
from vifplug_ovs.snapshot import OvsPort

pytestmark = pytest.mark.unit

A, B, C = (f"{n}b6a9d0e-7a3c-4a6e-9d55-3f1f0a3c2b11" for n in "012")
TAP, OTHER, MACVTAP = (f"tap{vif_id[:11]}" for vif_id in (A, B, C))


@pytest.fixture
def small() -> Topology:
    """A VIF on a VLAN's bridge, one on Open vSwitch, and a macvtap on a VLAN of the same card."""
    links = {
        "eth0": Link(kind="physical", **UP),
        "eth0.100": Link(kind="vlan", vlan=100, lower="eth0", master="br100", **UP),
        "eth0.7": Link(kind="vlan", vlan=7, lower="eth0", **UP),
        "br100": Link(kind="bridge", **UP),
        "br200": Link(kind="bridge", **UP),
        "veth9": Link(kind="veth", master="br100", **UP),
        "eth2": Link(kind="physical", up=True, index=5),
        TAP: Link(kind="tap", master="br100", **UP),
        OTHER: Link(kind="tap", up=True),
        MACVTAP: Link(kind="macvtap", lower="eth0.7", **UP),
    }
    host = patched(links, {OTHER: OvsPort(tag=5)})
    vifs = [
        vif(A, [TAP], bridge="br100", guest="web1"),
        vif(B, [OTHER], bridge="br-int", guest=MARKUP, vif_type="ovs", process="manual",
            in_use=False, wanted=False),
        vif(C, [MACVTAP], guest="web1", vif_type="macvtap"),
    ]  # fmt: skip
    return drawn(host, vifs, unused=("br200",))


TREE = f"""\
eth2  physical  down
└─ br-ex  ovs bridge
   └─ int-br-ex ⇄ phy-br-ex  patch
      └─ br-int  ovs bridge  also by br-tun
         └─ {OTHER}  ovs manual  1b6a9d0e  {plain(MARKUP)}  ORPHAN: no guest has it
eth0  physical
├─ eth0.100  VLAN 100
│  └─ br100  bridge
│     └─ {TAP}  bridge  0b6a9d0e  web1  up
└─ eth0.7  VLAN 7
   └─ {MACVTAP}  macvtap  2b6a9d0e  web1  up
vx1  vxlan
└─ br-tun  ovs bridge  also by vx2
br200  bridge  unused
"""


def test_the_tree_leads_from_the_wire_to_the_guests(small: Topology) -> None:
    assert tree(pictured(("what is plugged", small))) == TREE
    br100 = next(trunk for trunk in small.trunks if trunk.node.name == "br100")
    assert br100.others == ("veth9",)


def test_every_name_is_text_in_every_picture(small: Topology) -> None:
    picture = pictured((MARKUP, small), ("again", small))
    name = plain(MARKUP)
    for text in (svg(picture), page(picture), dot(picture), tree(picture)):
        assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in text and "\0" not in text
    root = etree.fromstring(svg(picture).encode())
    assert {each.tag.partition("}")[2] for each in root.iter()} <= {
        "svg", "title", "style", "rect", "text", "g", "path", "circle"}  # fmt: skip
    titles = [each.text for each in root.iter("{*}title")]
    assert any(f"guest  {name}" in (title or "") for title in titles)
    html = etree.HTML(page(picture))
    assert len(html.findall(".//script")) == 1
    assert not [k for each in html.iter() for k in each.attrib if k.startswith("on")]
    assert not html.xpath("//@src | //@href | //@style")
    assert "://" not in re.sub(r'xmlns="[^"]*"', "", page(picture))


def test_a_host_without_anything_has_a_picture() -> None:
    empty = pictured(("what is plugged", drawn(Host(), [])))
    for text in (svg(empty), page(empty), dot(empty), tree(empty)):
        assert "nothing is plugged here" in text
    etree.fromstring(svg(empty).encode())


def test_a_switch_that_can_not_be_read_is_told() -> None:
    failure = SwitchError(A, "ovs", "no answer")
    found = drawn(Host(), [], failures=(failure,))
    assert found.incomplete and "no answer" in page(pictured(("x", found)))


@dataclass(frozen=True)
class Toy(Snapshot):
    """A switch whose plugin tells no ports for pictures, or fails at it."""

    key = "toy"
    fails: bool = False
    error: str | None = None
    absent: bool = False

    def traces(self, vif_id: str | None = None, interface_id: str | None = None) -> list[Trace]:
        return [Trace(vif_id=A, vif_type="toy", bridge="sw0", ports=("port9",), in_use=True)]

    def all_ports(self) -> list[SwitchPort]:
        if self.fails:
            raise KeyError("port9")
        return []


@pytest.mark.parametrize("fails", [False, True])
def test_a_switch_that_tells_no_ports_is_drawn_by_its_traces(fails: bool) -> None:
    host = Host(switches={"toy": Toy(fails=fails)})
    found = drawn(host, [vif(A, ["port9"], bridge="sw0", guest="web1")])
    assert found.edges == (("sw0", "device:port9"), ("device:port9", "guest:web1"))
    assert next(node.kind for node in found.nodes if node.name == "sw0") == "toy bridge"


def overlaps(one: Box, other: Box) -> bool:
    return (
        one.x < other.x + other.w
        and other.x < one.x + one.w
        and one.y < other.y + other.h
        and other.y < one.y + one.h
    )


@pytest.mark.parametrize("number", [0, 1, 3, 40, 300])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_nothing_lies_on_anything_else(number: int, seed: int) -> None:
    host, vifs = random_host(number, seed=seed)
    found = drawn(host, vifs)
    picture = placed(found)
    assert {row.lane.id for row in picture.rows} == {one.id for one in vifs}
    assert {box.node.key for box in picture.boxes} == {node.key for node in found.nodes}
    for one, other in itertools.combinations(picture.boxes, 2):
        assert not overlaps(one, other), (one, other)
    for box in picture.boxes:
        assert box.x >= 0 and box.x + box.w <= picture.width
        assert box.y >= 0 and box.y + box.h <= picture.height
    # No line but its own goes through a thing.
    for line in picture.lines:
        if line.y1 != line.y2:
            continue
        for box in picture.boxes:
            meets = line.x1 < box.x + box.w - 1 and box.x + 1 < line.x2
            inside = box.y < line.y1 < box.y + box.h
            assert box.node.key in line.ends or not (meets and inside), (line, box)


def test_trunks_that_join_in_a_circle_are_drawn() -> None:
    """Patches and VLANs of a bridge can lead back to it."""
    links = {
        "br0": Link(kind="bridge", **UP),
        "br1": Link(kind="bridge", **UP),
        "br0.5": Link(kind="vlan", vlan=5, lower="br0", master="br1", **UP),
        "a": Link(kind="veth", lower="b", master="br0", **UP),
        "b": Link(kind="veth", lower="a", master="br1", **UP),
        TAP: Link(kind="tap", master="br1", **UP),
        OTHER: Link(kind="tap", master="br0", **UP),
    }
    host = Host(links=links)
    found = drawn(host, [vif(A, [TAP], bridge="br1"), vif(B, [OTHER], bridge="br0")])
    picture = placed(found)
    assert {"br0", "br1", "br0.5", TAP} <= {box.node.name for box in picture.boxes}
    assert TAP in tree(pictured(("x", found)))


def test_states_differ_by_shape_and_by_line_not_only_by_colour() -> None:
    assert set(SIGNS) == {*STATES, *CHANGES}
    assert len(set(SIGNS.values())) == len(SIGNS)
    sheet = read("picture.css")
    lines = {state: re.findall(rf"\.wire\.{state} \{{(.*?)\}}", sheet) for state in STATES}
    dashes = [re.sub(r"stroke: \S+;", "", text) for each in lines.values() for text in each]
    assert len(set(dashes)) == len(dashes) == len(STATES) - 1  # an unused bridge has no line


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_text_can_be_read_on_what_it_stands_on(colours: dict[str, str]) -> None:
    grounds = {
        "ink": ("paper", "panel", "stripe", "lit", "uplink", "vlan", "bridge", "switch", "guest"),
        "faint": ("paper", "panel", "bridge", "switch", "uplink"),
        **{state: ("paper",) for state in STATES if state in colours},
    }
    for text, under in grounds.items():
        for ground in under:
            light, dark = sorted((luminance(colours[text]), luminance(colours[ground])))[::-1]
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_a_long_name_is_cut_and_told_whole() -> None:
    long = "guest-" + "x" * 300 + "宽" * 40
    found = drawn(Host(links={TAP: Link(kind="tap", master="br1"), "br1": Link(kind="bridge")}),
                  [vif(A, [TAP], bridge="br1", guest=long)])  # fmt: skip
    text = svg(pictured(("x", found)))
    assert long in text and placed(found).width < 1400
    assert cut("宽" * 9, 5) == "宽宽…"


def test_a_file_of_svg_needs_no_variables_and_knows_dark() -> None:
    sheet = of_a_file()
    assert "var(" not in sheet and "$" not in sheet
    assert LIGHT["paper"] in sheet and DARK["paper"] in sheet.partition("@media")[2]


def test_before_and_after_show_what_differs_and_no_more() -> None:
    links = {
        "br1": Link(kind="bridge", **UP),
        "br2": Link(kind="bridge", **UP),
        "eth0": Link(kind="physical", **UP),
        TAP: Link(kind="tap", master="br1", **UP),
        OTHER: Link(kind="tap", master="br2", **UP),
    }
    host = Host(links=links)
    moved = {**links, "br3": Link(kind="bridge", **UP)}
    moved["eth0"] = replace(links["eth0"], master="br3")
    moved[TAP] = replace(links[TAP], master="br3")
    after = Host(links=moved)
    other = vif(B, [OTHER], bridge="br2")
    was = drawn(host, [vif(A, [TAP], bridge="br1"), other])
    then = drawn(after, [vif(A, [TAP], bridge="br3"), other, vif(C, [], bridge="br3")])
    both = compared(was, then, [A, C], (names_of(host), names_of(after)))
    assert [each.left_out for each in both] == [1, 1]
    changes = [{node.name: node.change for node in each.nodes} for each in both]
    assert changes == [
        {"br1": "", TAP: ""},
        {"eth0": "changed", "br3": "made", TAP: "changed"},
    ]
    assert {lane.id: lane.change for lane in both[1].lanes} == {A: "changed", C: "made"}
    text = tree(pictured(("before", both[0]), ("after", both[1])))
    assert f"+  no device  bridge  {C[:8]}  up" in text
    assert f"~  {TAP}" in text
    assert OTHER not in svg(pictured(("before", both[0]), ("after", both[1])))
