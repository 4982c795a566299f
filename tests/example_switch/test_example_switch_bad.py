# SPDX-License-Identifier: Apache-2.0
"""Switches of third parties that are wrong: their own VIFs fail, with the plugin's name.

A bridge VIF beside them in the same call is served, and ``list`` tells what can be read.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

import pytest

from tests.example_switch.conftest import BRIDGED, IDS, Hosted, Installed, Start, bridged
from vifplug import GenericVIFDriver, PlugFailed, PluginFailed, Result, SwitchError, VifplugError
from vifplug.errors import UnplugFailed
from vifplug.testing.claims import every_claim

Variant = Callable[..., Installed]
Changes = Mapping[str, Mapping[str, str]]

_PLUG, _UNPLUG = "    return privileged.plug", "    return privileged.unplug"
_WRITE = "    setting.write_text(f"
_READ = '        return load(options["database"])'
_SEND = '        with Path(f"{self._path}.lock")'
_SEEK = "meanwhile: Callable[[], object]) -> Acme:\n"
_WIRE = "        made = own_tap("
_OPERATIONS = "        if host.link(self.device) is None:\n"


def raising(error: str = 'KeyError("ports")') -> str:
    return f"        raise {error}\n"


def own(error: str) -> str:
    return f"        from vifplug_wrong.snapshot import {error} as Own\n"


WRONG: dict[str, tuple[type[VifplugError], str, Changes]] = {
    "a read that raises": (
        PluginFailed,
        "vifplug_wrong.snapshot: KeyError: 'ports'",
        {"snapshot": {_READ: raising()}},
    ),
    "a read that returns something else": (
        PluginFailed,
        "vifplug_wrong.snapshot: read() returned {}, not its snapshot 'wrong'",
        {"snapshot": {_READ: "        return {}"}},
    ),
    "a snapshot of another key": (
        PluginFailed,
        "not its snapshot 'wrong'",
        {"snapshot": {_READ: "        from vifplug.model.snapshot import Unread\n"
                             '        return Unread("acme", "")'}},
    ),
    "a wire that raises": (
        PluginFailed,
        "(vifplug_wrong) can't be used: KeyError: 'ports'",
        {"plugin": {_WIRE: raising() + _WIRE}},
    ),
    "a part that raises in the daemon": (
        PlugFailed,
        "vifplug_wrong.parts: KeyError: 'ports'",
        {
            "parts": {_OPERATIONS: "        if IN_DAEMON:\n    " + raising() + _OPERATIONS,
                      "KINDS = (": "IN_DAEMON = False\nKINDS = ("},
            "privileged": {
                _SEEK: _SEEK + "        import vifplug_wrong.parts\n"
                "        vifplug_wrong.parts.IN_DAEMON = True\n"
            },
        },
    ),
    "a kind of part that the daemon does not know": (
        PlugFailed,
        "not a part: {'kind': 'wrong-trunk'",
        {"privileged": {"kinds=KINDS": "kinds=KINDS[:-1]"}},
    ),
    "an operation that nothing performs": (
        PlugFailed,
        "vifplug_wrong.operations.SetProxyArp: no code is registered that performs it",
        {"privileged": {"@privileged.perform.register\n": ""}},
    ),
    "an operation whose performance raises": (
        PlugFailed,
        "vifplug_wrong.privileged: KeyError: 'ports'",
        {"privileged": {"    kernel.required(operation.device)\n": raising()[4:]}},
    ),
    "a send that raises the switch's own error": (
        SwitchError,
        "ports.json: the licence has expired",
        {"privileged": {_SEND: own("AcmeError")
                        + raising('Own(NO_VIF, self._path, "the licence has expired", 7)')
                        + _SEND}},
    ),
    "a send that raises something else": (
        PlugFailed,
        "vifplug_wrong.privileged: KeyError: 'ports'",
        {"privileged": {_SEND: raising() + _SEND}},
    ),
    "a switch that can't be sought in": (
        PlugFailed,
        "vifplug_wrong.privileged: KeyError: 'ports'",
        {"privileged": {_SEEK: _SEEK + raising()}},
    ),
    "a switch that finds nothing": (
        PlugFailed,
        "AttributeError: 'NoneType' object has no attribute 'key'",
        {"privileged": {_SEEK: _SEEK + "        return None\n"}},
    ),
    "a switch that can't be opened": (
        PlugFailed,
        "vifplug_wrong.privileged: KeyError: 'ports'",
        {"privileged": {"        self._seen = Acme()\n": raising()}},
    ),
    "a privileged side that does not import": (
        PluginFailed,
        "(vifplug_wrong.privileged) can't be used: KeyError: 'ports'",
        {"privileged": {"@context.entrypoint\ndef plug": raising()[8:] + "\ndef plug"}},
    ),
    "an entrypoint that raises": (
        PluginFailed,
        "(vifplug_wrong.privileged) can't be used: KeyError: 'ports'",
        {"privileged": {_PLUG: raising()[4:] + _PLUG}},
    ),
    "an entrypoint that answers nothing": (
        PluginFailed,
        "(vifplug_wrong.privileged) can't be used: plug has 0 replies for 1 VIFs",
        {"privileged": {_PLUG: "    return []\n" + _PLUG}},
    ),
}  # fmt: skip


@pytest.fixture
def wrong(variant: Variant) -> Callable[[Changes], Installed]:
    """Install a plugin that is wrong, in the place of the one before."""

    def install(changes: Changes) -> Installed:
        for name in [name for name in sys.modules if name.startswith("vifplug_wrong")]:
            del sys.modules[name]
        return variant("wrong", **changes)

    return install


@pytest.mark.parametrize("what", WRONG)
def test_a_plugin_that_is_wrong_fails_its_own_vif_and_no_other(
    what: str, wrong: Callable[[Changes], Installed], start: Start, host: Hosted
) -> None:
    kind, text, changes = WRONG[what]
    plugin = wrong(changes)
    driver = start(plugin, daemons=what != "a privileged side that does not import")
    before = host.everything()[0]["links"]
    failed, plugged = driver.plug_all([(None, plugin.vif()), (None, bridged())])
    assert type(failed) is kind or (kind is SwitchError and isinstance(failed, SwitchError))
    assert text in str(failed)
    assert failed.vif_id == IDS[0]
    assert isinstance(plugged, Result) and plugged.changed
    assert host.links() - before.keys() == {"br100"}
    assert (host.ports, host.proxy_arp) == ({}, "0")
    assert list(every_claim()) == ["br100"]
    assert [one.id for one in driver.list()] == [BRIDGED]
    _, unplugged = driver.unplug_all([(None, plugin.vif()), (None, bridged())])
    assert isinstance(unplugged, Result) and unplugged.changed


def test_a_part_that_raises_in_the_caller_fails_its_own_plan(
    wrong: Callable[[Changes], Installed], start: Start
) -> None:
    plugin = wrong({"parts": {_OPERATIONS: raising() + _OPERATIONS}})
    driver = start(plugin)
    failed, plan = driver.plan_all([(None, plugin.vif()), (None, bridged())])
    assert isinstance(failed, PluginFailed)
    assert "(vifplug_wrong) can't be used: KeyError: 'ports'" in str(failed)
    assert plan


def test_two_plugins_that_claim_one_switch_both_fail(
    acme: Installed, variant: Variant, start: Start, host: Hosted
) -> None:
    key = 'key: ClassVar[str] = "{}"'
    rival = variant("rival", snapshot={key.format("rival"): key.format("acme")})
    driver = start(acme, rival)
    vifs = [acme.vif(), rival.vif(1), bridged()]
    *failed, plugged = driver.plug_all([(None, vif) for vif in vifs])
    for error in failed:
        assert isinstance(error, PluginFailed)
        assert "another plugin has a switch 'acme' too: uninstall one of them" in str(error)
        assert "vifplug_rival.snapshot" in str(error)
    assert isinstance(plugged, Result)
    assert [one.id for one in driver.list()] == [BRIDGED]
    assert host.ports == {}


UNPLUGS: dict[str, tuple[str, Changes]] = {
    "a part that can't give back": (
        "vifplug_wrong.parts: KeyError: 'ports'",
        {"parts": {"        others = _noted": raising() + "        others = _noted"}},
    ),
    "a part that gives back in vain": (
        "set wrong0 proxy_arp off: still to do",
        {"privileged": {_WRITE: "    operation.value and" + _WRITE[3:]}},
    ),
    "a switch that can't say what it has": (
        "vifplug_wrong.privileged: KeyError: 'ports'",
        {"privileged": {"        self._seen = load(self._path)\n": raising()}},
    ),
    "a switch that answers for too few": (
        "ValueError: zip()",
        {"privileged": {"self._seen) for vif in vifs]": "self._seen) for vif in ()]"}},
    ),
    "a removal that raises": (
        "vifplug_wrong.privileged: KeyError: 'ports'",
        {"privileged": {"                    ports.pop(": "            " + raising()
                        + "                    ports.pop("}},
    ),
    "an entrypoint that raises": (
        "KeyError: 'ports'",
        {"privileged": {_UNPLUG: raising()[4:] + _UNPLUG}},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", UNPLUGS)
def test_an_unplug_that_is_wrong_is_told_and_hurts_no_other(
    what: str, wrong: Callable[[Changes], Installed], start: Start, host: Hosted
) -> None:
    text, changes = UNPLUGS[what]
    plugin = wrong(changes)
    driver = start(plugin)
    pairs = [(None, plugin.vif()), (None, bridged())]
    assert all(isinstance(one, Result) for one in driver.plug_all(pairs))
    failed, unplugged = driver.unplug_all(pairs)
    assert isinstance(failed, (UnplugFailed, PlugFailed, PluginFailed))
    assert text.replace("wrong0", "acme0") in str(failed)
    assert isinstance(unplugged, Result) and unplugged.changed
    assert [one.id for one in driver.list()] == [IDS[0]]


_CLOSE = '        """Between two changes, nothing is open."""\n'
_VOID = f"{_CLOSE}\n    def void(self, tokens):\n{raising()}"


@pytest.mark.parametrize("last", [raising(), _VOID], ids=["closed", "asked for void claims"])
def test_a_switch_that_fails_in_the_end_changes_nothing(
    last: str, wrong: Callable[[Changes], Installed], start: Start, host: Hosted
) -> None:
    plugin = wrong({"privileged": {_CLOSE: last}})
    driver: GenericVIFDriver = start(plugin)
    assert driver.plug(None, plugin.vif()).changed
    assert driver.unplug(None, plugin.vif()).changed
    assert host.ports == {}
