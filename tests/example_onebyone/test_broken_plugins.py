# SPDX-License-Identifier: Apache-2.0
"""A third party's plugin that is wrong in one place: it is named, and every other VIF is served."""

from __future__ import annotations

import contextlib
import importlib
import json
from collections.abc import Callable, Iterator, Mapping
from types import ModuleType

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config
from oslo_privsep.priv_context import Method

from tests.example_onebyone.conftest import BRIDGED, IDS, WRONG, Relayd, bridged, vif
from vifplug import VIF, GenericVIFDriver, PlugFailed, PluginFailed, Result, VifplugError
from vifplug.cli import doctor
from vifplug.plugin import Check
from vifplug.testing import NetworkNamespace
from vifplug.testing.configured import emptied
from vifplug_bridge.plugin import BridgePlugin

Changes = Mapping[str, Mapping[str, str]]
Install = Callable[[Changes], None]

NAME = '        name = vif.devname or derived_name("vhu", vif.id)\n'
WIRE = "        wrong = host.switch(Relay)\n        if wrong is None or wrong.error:\n"
TRACES = "        for name, row in self.ports.items():\n"
LOAD = "        return load(path, until=deadline)\n"
MADE = "        return Wiring(parts=parts, interface=made.interface, notes=made.notes)\n"
ROW = "        wanted = Row(vif_id=owner.vif_id"
LEAVE = "    def leave("
DOCTOR = "        wrong = host.switch(Relay)\n        if wrong is None or not wrong.absent:\n"
LAST = "context, plug, unplug = privileged.entrypoints"


def wiring(**more: str) -> dict[str, str]:
    fields = {"parts": "parts", "interface": "made.interface"} | more
    words = ", ".join(f"{name}={value}" for name, value in fields.items())
    return {MADE: f"        return Wiring({words})\n"}


def before(place: str, line: str) -> dict[str, str]:
    """Replace a place by some code and the place itself."""
    return {place: f"{line}\n{place}"}


PLUG: dict[str, tuple[str, Changes]] = {
    "a module that is no Python": (
        "SyntaxError",
        {"plugin": {"@dataclass(": "@dataclass(("}},
    ),
    "a module that raises": (
        "NameError: name 'nothing' is not defined",
        {"plugin": {"class RelayPlugin": "nothing\n\n\nclass RelayPlugin"}},
    ),
    "a module that ends the process": (
        "SystemExit: 7",
        {"plugin": {"class RelayPlugin": "raise SystemExit(7)\n\n\nclass RelayPlugin"}},
    ),
    "a class that is not there": (
        "has no attribute 'RelayPlugin'",
        {"plugin": {"class RelayPlugin": "class AnotherPlugin"}},
    ),
    "a class that can't be made": (
        "KeyError: 'licence'",
        {"plugin": before(LEAVE, "    def __init__(self, options=None):\n"
                                 "        raise KeyError('licence')\n")},
    ),
    "details that are no dataclass": (
        "TypeError",
        {"plugin": {"    details = RelayDetails\n": "    details = dict\n"}},
    ),
    "a check that raises": (
        "KeyError: 'licence'",
        {"plugin": before(LEAVE, "    def check(self, vif):\n        raise KeyError('licence')\n")},
    ),
    "a wire that raises": (
        "KeyError: 'licence'",
        {"plugin": before(WIRE, "        raise KeyError('licence')")},
    ),
    "a wire that ends the process": (
        "SystemExit: 3",
        {"plugin": before(WIRE, "        raise SystemExit(3)")},
    ),
    "a wire that returns nothing": (
        "wire() returned NoneType, not a Wiring",
        {"plugin": {MADE: "        return None\n"}},
    ),
    "a part that is none": (
        "wire() returned the part str, which is no Part",
        {"plugin": wiring(parts="(*parts, 'port')")},
    ),
    "a kind of part that is not declared": (
        "not a part: {'kind': 'wrong-port'",
        {"parts": {"ProxyNeighbour, Port)": "ProxyNeighbour)"}},
    ),
    "a part with a value that its field does not allow": (
        "part host-route: to is 'blue'; allowed: an IP address",
        {"plugin": wiring(parts="(*parts, HostRoute(device=tap, to='blue'))")},
    ),
    "a part with a field that is not declared": (
        "part wrong-port: vifplug_wrong.parts.Port has a field that is not declared",
        {"parts": {"    segment: str = declared(WORD)\n": "    segment: str\n"}},
    ),
    "a process that is no word": (
        "the process is 'My-Proc'; allowed: a process' name",
        {"plugin": wiring(process="'My-Proc'")},
    ),
    "an interface that libvirt does not have": (
        "an interface of type 'etherment'; allowed: bridge",
        {"plugin": wiring(interface="Interface(type='etherment', mac='', guest=None)")},
    ),
    "a part that raises": (
        "KeyError: 'licence'",
        {"parts": before(ROW, "        raise KeyError('licence')")},
    ),
    "a part that returns nothing": (
        "vifplug_wrong.parts.Port.operations() returned NoneType, not a tuple",
        {"parts": before(ROW, "        return None")},
    ),
    "a part that is never true": (
        "(vifplug_wrong.parts.Port asks for this again once it is done: it is wrong)",
        {"parts": {"        if row == wanted:\n": "        if row is wanted:\n"}},
    ),
    "a part without a title": (
        "KeyError: 'licence'",
        {"parts": {'        return f"{self.name} -> {self.segment}"\n':
                   "        raise KeyError('licence')\n"}},
    ),
    "a privileged module that ends the process": (
        "SystemExit: 3",
        {"privileged": before(LAST, "raise SystemExit(3)\n")},
    ),
    "a privileged module without a context": (
        "has no attribute 'context'",
        {"privileged": {LAST: "_, plug, unplug = privileged.entrypoints"}},
    ),
    "a privileged module without entrypoints": (
        "plug",
        {"privileged": {LAST: "context, _, _ = privileged.entrypoints"}},
    ),
}  # fmt: skip


READ: dict[str, tuple[str, Changes]] = {
    "a reader that is no module": (
        "ModuleNotFoundError: No module named 'vifplug_wrong.nothing'",
        {"plugin": {'switch = "snapshot"': 'switch = "nothing"'}},
    ),
    "a reader without a function": (
        "AttributeError",
        {"snapshot": {"def read(": "def look("}},
    ),
    "a reader that raises": (
        "KeyError: 'licence'",
        {"snapshot": {LOAD: "        raise KeyError('licence')\n"}},
    ),
    "a reader that ends the process": (
        "SystemExit: 3",
        {"snapshot": {LOAD: "        raise SystemExit(3)\n"}},
    ),
    "a snapshot that can't tell what it has": (
        "KeyError: 'licence'",
        {"snapshot": before(TRACES, "        raise KeyError('licence')")},
    ),
    "a snapshot that can't be planned on": (
        "KeyError: 'licence'",
        {"snapshot": {"        return replace(self, ports=dict(self.ports))\n":
                      "        raise KeyError('licence')\n"}},
    ),
}  # fmt: skip


LATER: dict[str, tuple[str, Changes]] = {
    "a kind that can't tell its lost marks": (
        "KeyError: 'licence'",
        {"parts": before("    @property\n    def places",
                         "    @classmethod\n    def lost_marks(cls, host):\n"
                         "        raise KeyError('licence')\n")},
    ),
}  # fmt: skip


def wrong_vif() -> VIF:
    return vif(vif_type="wrong")


@contextlib.contextmanager
def driving(conf: Config, relayd: Relayd) -> Iterator[GenericVIFDriver]:
    """Return a driver that has read the broken plugin's options, as far as there are any."""
    with emptied(BridgePlugin) as driver:
        with contextlib.suppress(VifplugError, cfg.NoSuchGroupError):
            driver.registry.plugin("wrong", vif_id="-")
            conf.config(group=WRONG, socket=str(relayd.socket))
            driver = GenericVIFDriver()
        context = None
        with contextlib.suppress(Exception, SystemExit):
            context = getattr(importlib.import_module(f"{WRONG}.privileged"), "context", None)
        if context:
            context.start(Method.FORK)
        try:
            yield driver
        finally:
            if context:
                context.stop()


def served(driver: GenericVIFDriver, namespace: NetworkNamespace, text: str) -> str:
    """Have the broken plugin's VIF refused, and another one served; return what is refused."""
    failed, plugged = driver.plug_all([(None, wrong_vif()), (None, bridged())])
    assert isinstance(failed, (PluginFailed, PlugFailed)), failed
    assert failed.vif_id == IDS[0]
    assert text in str(failed)
    assert len(str(failed).splitlines()) == 1
    assert isinstance(plugged, Result) and plugged.changed
    assert {link["ifname"] for link in namespace.ip_json("link")} == {"lo", "br100"}
    listed, unread = driver.listing()
    assert [one.id for one in listed] == [BRIDGED]
    assert driver.check(None, bridged()).notes is not None
    (unplugged,) = driver.unplug_ids([BRIDGED])
    assert isinstance(unplugged, Result) and unplugged.changed
    checks: list[tuple[str, Check]] = [*doctor._found(driver, driver.whole_host())]
    assert "vifplug_bridge" in {name for name, check in checks if check.ok}
    return "\n".join(map(str, unread))


@pytest.mark.parametrize("what", PLUG)
def test_a_plugin_that_is_wrong_is_named_and_hurts_no_other(
    what: str, wrong: Install, conf: Config, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    text, changes = PLUG[what]
    wrong(changes)
    with driving(conf, relayd) as driver:
        unread = served(driver, namespace, text)
        if what.startswith(("a module", "a class")):  # nobody knows what its switch has
            assert WRONG in unread and text in unread
        (failed,) = driver.plug_all([(None, wrong_vif())])
        assert WRONG in str(failed)


@pytest.mark.parametrize("what", READ)
def test_a_switch_that_is_not_read_is_told_by_a_list(
    what: str, wrong: Install, conf: Config, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    text, changes = READ[what]
    wrong(changes)
    with driving(conf, relayd) as driver:
        unread = served(driver, namespace, text)
    assert WRONG in unread and text in unread


@pytest.mark.parametrize("what", LATER)
def test_what_concerns_no_vif_fails_none(
    what: str, wrong: Install, conf: Config, relayd: Relayd, namespace: NetworkNamespace,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    text, changes = LATER[what]
    wrong(changes)
    conf.config(group="vifplug_relay", socket="/nonexistent/socket")
    with driving(conf, relayd) as driver:
        assert driver.plug(None, bridged()).changed
        assert driver.plug(None, wrong_vif()).changed
        assert len(driver.list()) == 2
        outcomes = driver.unplug_ids([IDS[0], BRIDGED])
        assert [isinstance(one, Result) for one in outcomes] == [True, True], outcomes
    assert f"{WRONG}.parts.Port.lost_marks: {text}" in caplog.text


DOCTORS = {
    "raises": ("KeyError: 'licence'", "        raise KeyError('licence')"),
    "ends the process": ("SystemExit: 3", "        raise SystemExit(3)"),
    "returns something else": ("doctor() returned 'ok', which is no Check", "        yield 'ok'"),
}


@pytest.mark.parametrize("what", DOCTORS)
def test_a_doctor_that_is_wrong_hides_no_other(
    what: str, wrong: Install, conf: Config, relayd: Relayd, namespace: NetworkNamespace
) -> None:
    text, line = DOCTORS[what]
    wrong({"plugin": before(DOCTOR, line)})
    with driving(conf, relayd) as driver:
        found = [*doctor._found(driver, driver.whole_host())]
    (bad,) = [check for name, check in found if name == WRONG and not check.ok]
    assert text in bad.detail and bad.mend == f"reinstall or remove {WRONG}"
    good = [check for name, check in found if name == "vifplug_relay" and check.check == "relay"]
    assert [check.detail for check in good] == [f"{relayd.socket}: answers"]  # as it is configured


def test_the_command_list_prints_the_rest_and_exits_1(
    package: ModuleType, wrong: Install, conf: Config, relayd: Relayd,
    namespace: NetworkNamespace, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    import argparse

    from vifplug.cli.list import List

    wrong({"snapshot": {LOAD: "        raise KeyError('licence')\n"}})
    with driving(conf, relayd) as driver:
        driver.plug(None, bridged())
        arguments = argparse.Namespace(
            timeout=5.0, format="json", tree=False, guest=None, bridge=None, orphaned=False,
            drift=False,
        )  # fmt: skip
        assert List(None, arguments).act(arguments) == 1  # type: ignore[no-untyped-call]
    assert [one["id"] for one in json.loads(capsys.readouterr().out)] == [BRIDGED]
