# SPDX-License-Identifier: Apache-2.0
"""Pictures of a real host: the drawn things, Graphviz, and the page in a real browser."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lxml import etree

from tests.picture.browser import Browser, browser
from tests.picture.hosts import drawn, pictured, random_host
from tests.picture.scene import IDS, MARKUP, NAMES, TAPS, VIFS, Scene, scene
from vifplug.picture.page import page
from vifplug.picture.svg import svg
from vifplug.testing import NetworkNamespace
from vifplug.testing.shell import Shell


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("scene")) as found:
        yield found


@pytest.fixture(scope="module")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The page and the file of a host with 300 VIFs."""
    folder = tmp_path_factory.mktemp("large")
    picture = pictured(("what is plugged", drawn(*random_host(300))))
    files = {"html": page(picture), "svg": svg(picture)}
    for ending, text in files.items():
        (folder / f"large.{ending}").write_text(text)
    return {ending: folder / f"large.{ending}" for ending in files}


# What is drawn.


def test_every_thing_of_a_real_host_is_drawn(host: Scene) -> None:
    nodes = host.nodes
    patch = "int-br-ex ⇄ phy-br-ex"
    q = IDS["filtered"][:11]
    kinds = {name: nodes[name]["kind"] for name in ("br100", "br-int", "br-ex", patch, "gre0")}
    assert kinds == {"br100": "bridge", "br-int": "ovs bridge", "br-ex": "ovs bridge",
                     patch: "patch", "gre0": "gre"}  # fmt: skip
    states = {name: nodes[TAPS[name]]["state"] for name in ("web", "switched", "drifted", "markup")}
    assert states == {"web": "up", "switched": "up", "drifted": "drift", "markup": "orphan"}
    assert nodes[MARKUP]["state"] == "orphan"
    assert host.edges >= {
        ("eth1", "br100"),
        ("br100", TAPS["web"]),
        (TAPS["web"], "web-1"),
        ("br100", "off-1"),
        ("gre0", "br-ex"),
        ("br-ex", patch),
        (patch, "br-int"),
        ("br-int", f"qvb{q} ⇄ qvo{q}"),
        (f"qvb{q} ⇄ qvo{q}", f"qbr{q}"),
        (f"qbr{q}", "filtered-1"),
        ("eth3", "direct-1"),
    }


def test_the_text_has_a_line_for_each_vif(host: Scene) -> None:
    text = host.drawn["tree"].read_text()
    for name in NAMES:
        assert sum(IDS[name][:8] in line for line in text.splitlines()) == 1
    assert f"{MARKUP}  ORPHAN: no guest has it" in text
    assert f"DRIFT: {TAPS['drifted']} is down" in text
    assert host.shell("topology").stdout == text


def test_graphviz_accepts_the_picture(host: Scene) -> None:
    done = subprocess.run(["dot", "-Tsvg", str(host.drawn["dot"])], capture_output=True, check=True)
    assert done.stderr == b""
    texts = [each.text for each in etree.fromstring(done.stdout).iter("{*}text")]
    assert {"br-int", TAPS["web"], "web-1", MARKUP} <= {*texts}


def test_the_file_is_written_in_one_step_or_not_at_all(host: Scene, tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "host.svg"
    done = host.shell("topology", "-o", str(missing))
    assert done.returncode == 1 and "No such file" in done.stderr
    assert "Traceback" not in done.stderr
    path = tmp_path / "host.svg"
    path.write_text("old")
    assert host.shell("topology", "-o", str(path)).returncode == 0
    etree.parse(path)
    assert [each.name for each in tmp_path.iterdir()] == ["host.svg"]
    assert path.stat().st_mode & 0o777 == 0o644
    for words in (("--draw", "png"), ("-f", "json", "-o", str(path))):
        assert host.shell("topology", *words).returncode == 2


def test_a_host_without_anything_is_drawn_too(tmp_path: Path) -> None:
    with NetworkNamespace() as namespace:
        shell = Shell(namespace, tmp_path)
        shell.configure("vifplug_ovs", ovsdb_connection=f"unix:{tmp_path}/none")
        for way in ("tree", "html"):
            done = shell("topology", "--draw", way)
            assert (done.returncode, "nothing is plugged here" in done.stdout) == (0, True), done
        assert shell.json("topology")["nodes"] == []


def test_a_switch_that_is_none_leaves_the_rest_and_exits_1(host: Scene, tmp_path: Path) -> None:
    shell = Shell(host.shell.namespace, tmp_path)
    shell.configure("vifplug", **host.shell.options["vifplug"])
    (tmp_path / "socket").write_text("")
    shell.configure("vifplug_ovs", ovsdb_connection=f"unix:{tmp_path}/socket")
    done = shell("topology")
    assert done.returncode == 1
    assert TAPS["web"] in done.stdout and "what it has is missing here" in done.stderr


# Before and after.


def test_plan_draws_before_and_after_and_changes_nothing(host: Scene, tmp_path: Path) -> None:
    new = {**VIFS[2], "id": "aab6a9d0-7a3c-4a6e-9d55-3f1f0a3c2b11"}
    file = host.shell.file([new], "new.json")
    before = host.shell.namespace.everything()
    tap = f"tap{new['id'][:11]}"
    drawing = host.shell("plan", "--draw", "tree", file)
    assert drawing.returncode == 0, drawing.stderr
    was, _, then = drawing.stdout.partition("\nafter: ")
    assert was.startswith("before: nothing of this is here; 7 other VIFs are not shown")
    assert f"+  {tap}  ovs manual  {new['id'][:8]}" in then and "+  br-int" not in then
    path = tmp_path / "plan.html"
    written = host.shell("plan", "-o", str(path), file)
    assert written.stdout == host.shell("plan", file).stdout and "<h2>after" in path.read_text()
    assert host.shell.namespace.everything() == before
    refused = host.shell("plan", "--draw", "dot", file, "-f", "json")
    assert (refused.returncode, refused.stdout) == (2, "")


def test_plan_draws_a_vif_that_is_as_asked_without_a_change(host: Scene) -> None:
    done = host.shell("plan", "--draw", "tree", host.shell.file([VIFS[2]], "same.json"))
    assert done.returncode == 0, done.stderr
    was, _, then = done.stdout.partition("\nafter: ")
    assert was.partition("\n")[2] == then.partition("\n")[2]
    assert TAPS["switched"] in then and "+" not in then


# The page.


def texts(screen: Browser, selector: str) -> list[str]:
    wanted = f"[...document.querySelectorAll({selector!r})].map((each) => each.textContent)"
    return list(screen.tell(wanted))


def count(screen: Browser, selector: str) -> int:
    return int(screen.tell(f"document.querySelectorAll({selector!r}).length"))


def now(screen: Browser) -> str:
    """Return what the thing tells that has the focus."""
    return str(screen.tell("document.activeElement.getAttribute('aria-label') || ''"))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_page_shows_the_host_without_a_complaint(
    host: Scene, screen: Browser, dark: bool
) -> None:
    screen.open(host.drawn["html"], dark=dark)
    assert screen.complaints == []
    assert count(screen, ".lane") == len(NAMES)
    labels = texts(screen, ".node .name, .node .label")
    assert {"eth1", "br100", "br-int", "br-ex", "phy-br-ex", "web-1", TAPS["web"]} <= {*labels}
    assert screen.tell("document.title").startswith("vifplug on ")
    assert count(screen, "script") == 1
    told = (
        f"[...document.querySelectorAll('.guest')].some((g) => g.told[0] == {MARKUP + '  guest'!r})"
    )
    assert screen.tell(told), "a name that is markup is a name"
    paper = screen.tell("getComputedStyle(document.body).backgroundColor")
    assert paper == ("rgb(18, 21, 26)" if dark else "rgb(255, 255, 255)")
    assert texts(screen, ".chips button") == ["up 2", "off 3", "drift 1", "orphan 1"]
    assert screen.complaints == []


def test_a_person_chooses_light_or_dark(host: Scene, screen: Browser) -> None:
    screen.open(host.drawn["html"], dark=True)
    papers = []
    for _ in range(3):
        screen.tell("document.querySelector('#theme').click()")
        papers.append(screen.tell("getComputedStyle(document.body).backgroundColor"))
    assert papers == ["rgb(255, 255, 255)", "rgb(18, 21, 26)", "rgb(18, 21, 26)"]


def test_the_mouse_shows_what_belongs_together(host: Scene, screen: Browser) -> None:
    screen.open(host.drawn["html"])
    name = TAPS["web"]
    spot = screen.tell(
        "(() => { const text = [...document.querySelectorAll('.node .name')]"
        f".find((each) => each.textContent == '{name}'); const box = text.getBoundingClientRect();"
        " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
    )
    screen.point(*spot)
    assert {*texts(screen, ".node.lit .name, .node.lit .label")} == {"eth1", "br100", name, "web-1"}
    assert count(screen, ".wire.lit") == 3
    panel = texts(screen, "aside")[0]
    assert IDS["web"] in panel and "held by a process" in panel
    screen.point(5, 5)
    assert texts(screen, "aside") == [""]
    assert screen.complaints == []


def test_the_keyboard_searches_and_moves(host: Scene, screen: Browser) -> None:
    screen.open(host.drawn["html"])
    screen.press("/", *"DRIFTED")
    assert texts(screen, "#found") == ["1 of 7 VIFs"]
    assert {*texts(screen, ".lane.hit .state")} == {f"DRIFT: {TAPS['drifted']} is down"}
    screen.press("Enter")
    assert IDS["drifted"] in now(screen)
    assert IDS["drifted"] in texts(screen, "aside")[0]
    screen.press("ArrowLeft")
    assert now(screen).startswith("drifted-1  guest")
    screen.press("ArrowLeft")
    assert now(screen).startswith(TAPS["drifted"])
    screen.press("ArrowLeft")
    assert now(screen).startswith("br-int")
    screen.press("ArrowRight", "ArrowRight")
    assert "guest" in now(screen)
    screen.press("Escape")
    assert (texts(screen, "#found"), count(screen, ".sought")) == ([""], 0)
    screen.press("n")
    first = now(screen)
    screen.press("n")
    assert {IDS[name] for name in ("drifted", "markup")} == {
        vif_id for vif_id in IDS.values() if vif_id in first + now(screen)
    }
    screen.press("p")
    assert now(screen) == first
    screen.press("/", *"nothing like it")
    assert texts(screen, "#found") == ["nothing found"]
    assert screen.complaints == []


def test_the_tab_key_leads_into_the_picture(host: Scene, screen: Browser) -> None:
    screen.open(host.drawn["html"])
    screen.press("/")
    for _ in range(10):
        screen.press("Tab")
        if now(screen).startswith("VIF "):
            break
    assert now(screen).startswith("VIF ")
    screen.press("ArrowDown")
    assert now(screen)


def test_a_state_is_chosen_by_its_button(host: Scene, screen: Browser) -> None:
    screen.open(host.drawn["html"])
    screen.tell("document.querySelector('.chips [data-state=off]').click()")
    assert count(screen, ".lane.hit") == 3
    assert texts(screen, "#found") == ["3 of 7 VIFs"]
    screen.tell("document.querySelector('.chips [data-state=off]').click()")
    assert count(screen, ".sought") == 0


def test_300_vifs_can_be_searched_and_found(large: dict[str, Path], screen: Browser) -> None:
    screen.open(large["html"])
    assert count(screen, ".lane") == 300
    ids = screen.tell("[...document.querySelectorAll('.lane')].map((each) => each.dataset.vif)")
    screen.press("/", *ids[-1][:8], "Enter")
    assert ids[-1] in now(screen)
    visible = "(() => { const box = document.activeElement.querySelector('.state')"
    visible += ".getBoundingClientRect(); return box.top > 80 && box.bottom < innerHeight; })()"
    assert screen.tell(visible), "what is found is scrolled to"
    assert count(screen, ".lane.hit") == 1
    ill = count(screen, ".lane[data-ill]")
    assert ill > 5 and count(screen, "#marks i") == ill
    assert screen.complaints == []


def test_the_browser_draws_the_file_of_svg(
    host: Scene, large: dict[str, Path], screen: Browser, tmp_path: Path
) -> None:
    for path, number in ((host.drawn["svg"], len(NAMES)), (large["svg"], 300)):
        etree.parse(path)
        for dark, paper in ((False, "rgb(255, 255, 255)"), (True, "rgb(18, 21, 26)")):
            screen.open(path, dark=dark)
            assert count(screen, ".lane") == number
            fill = "getComputedStyle(document.querySelector('rect.paper')).fill"
            assert screen.tell(fill) == paper
            assert screen.tell("document.documentElement.getBoundingClientRect().height") > 100
    assert screen.complaints == []


def test_the_page_of_a_plan_has_both_pictures(host: Scene, screen: Browser, tmp_path: Path) -> None:
    new = {**VIFS[0], "id": "aab6a9d0-7a3c-4a6e-9d55-3f1f0a3c2b11"}
    path = tmp_path / "plan.html"
    done = host.shell("plan", "-o", str(path), host.shell.file([new], "added.json"))
    assert done.returncode == 0, done.stderr
    screen.open(path)
    assert [text.split(" ")[0] for text in texts(screen, "h2")] == ["before", "after"]
    assert count(screen, ".lane.made") == 1
    assert screen.complaints == []
