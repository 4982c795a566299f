# SPDX-License-Identifier: Apache-2.0
"""Checks 1 to 8: what a plugin says of its VIFs. They need neither root nor a daemon."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import importlib.metadata
import re
import subprocess
import sys
import time
from typing import Any

import msgpack
import pytest

from vifplug import VIF, Conflict, Host, InvalidVIF
from vifplug.errors import VifplugError
from vifplug.parts import Tap, build
from vifplug.plan.compare import COLUMNS, plan
from vifplug.plugin import API_VERSION, Check, VIFPlugin
from vifplug.registry import Registry
from vifplug.switch import Snapshot
from vifplug.testing.cases import Case
from vifplug.testing.conformance.checks import check
from vifplug.testing.conformance.given import Given
from vifplug.testing.conformance.watched import watched
from vifplug.testing.domain import validate
from vifplug.wiring import Wiring

__all__ = ["PlanTests"]

PRIVILEGED = ("oslo_privsep", "vifplug.apply", "vifplug.daemon", "vifplug.kernel",
              "vifplug.privileged")  # fmt: skip
"""What a plugin's class must not load: plans are made without it."""

VERSIONS = ("5.6.0", "5.7.0", "8.9.0", "8.10.0", "9.0.0")
"""Versions of libvirt around those by which an interface differs."""

VIRT_TYPES = ("kvm", "qemu", "lxc", "parallels")

WISHES: dict[str, Any] = {
    "devname": "wish0",
    "network.mtu": 1387,
    "queues": 3,
    "qos": {"inbound_average": 1000},
}
"""Fields that a VIF may set, and values that no case has."""

PATIENCE = 30.0
"""Seconds after a deadline that a busy machine gets."""


def given(data: Any) -> Any:
    """Return a VIF as JSON without the fields that are null: they are as good as not there."""
    if isinstance(data, dict):
        return {key: given(value) for key, value in data.items() if value is not None}
    return data


class PlanTests(Given):
    """Checks 1 to 8."""

    def configured(self, case: Case) -> VIFPlugin:
        """Return the plugin with the options of a case."""
        plugin = self.plugin(case.options)
        plugin.vif_type = self.vif_type
        return plugin

    def wired(self, case: Case, vif: VIF) -> Wiring:
        """Return what the plugin says of a VIF on a case's host. Raises as it does."""
        plugin = self.configured(case)
        plugin.check(vif)
        passed_over = plugin.passed_over(vif)
        wiring = plugin.wire(vif, case.host)
        return dataclasses.replace(wiring, passed_over=(*passed_over, *wiring.passed_over))

    # 1

    @check(1)
    def test_the_vif_type_is_claimed_once_and_its_plugin_can_be_used(self) -> None:
        claims = [each for each in Registry().claims() if each.vif_type == self.vif_type]
        assert [(each.state, each.error) for each in claims] == [("ok", "")]
        assert self.plugin.api_version == API_VERSION

    @check(1)
    def test_the_plugins_module_loads_no_privileged_code(self) -> None:
        code = f"import sys, {self.plugin.__module__}; print(*sys.modules)"
        command = (sys.executable, "-c", code)
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        loaded = done.stdout.split()
        assert [name for name in loaded if name.startswith(PRIVILEGED)] == []

    @check(1)
    def test_the_sample_of_the_configuration_has_its_options(self) -> None:
        package = self.plugin.privileged().rpartition(".")[0]
        entries = importlib.metadata.entry_points(group="oslo.config.opts")
        ours = [entry for entry in entries if entry.module.startswith(f"{package}.")]
        assert ours, f"no entry point oslo.config.opts leads to {package}"
        listed = {str(group): [each.name for each in opts]
                  for entry in ours for group, opts in entry.load()()}  # fmt: skip
        assert "helper_command" in listed.get(f"{package}_privileged", ())
        if self.plugin.opts:
            assert {each.name for each in self.plugin.opts} <= {*listed.get(self.plugin.group, ())}

    # 2

    @check(2)
    def test_the_schema_takes_the_cases(self) -> None:
        jsonschema = pytest.importorskip("jsonschema")
        schema = self.plugin.schema(self.vif_type)
        jsonschema.Draft202012Validator.check_schema(schema)
        for case in self.good_cases():
            data: Any = case.read("vif.json")
            jsonschema.validate(given({**data, "vif_type": self.vif_type}), schema)

    @check(2)
    def test_an_unknown_detail_is_refused_by_its_name(self, good_case: Case) -> None:
        data: Any = copy.deepcopy(good_case.read("vif.json"))
        data.setdefault("details", {})["of_nobody"] = 1
        with pytest.raises(InvalidVIF) as error:
            self.wired(good_case, VIF.from_dict(data))
        assert error.value.field == "details.of_nobody"

    @check(2)
    def test_a_required_field_that_is_missing_is_named(self, good_case: Case) -> None:
        for path in self.plugin.required:
            data: Any = copy.deepcopy(good_case.read("vif.json"))
            *outer, last = path.split(".")
            place = data
            for name in outer:
                place = place.get(name, {})
            place.pop(last, None)
            with pytest.raises(InvalidVIF) as error:
                self.wired(good_case, VIF.from_dict(data))
            assert error.value.field == path

    # 3

    @check(3)
    def test_wire_only_computes(self, good_case: Case) -> None:
        plugin, vif, host = self.configured(good_case), good_case.vif, good_case.host
        plugin.check(vif)
        with watched() as seen:
            first = plugin.wire(vif, host)
        assert seen == [], "wire() may ask nothing but its arguments"
        assert isinstance(first, Wiring)
        assert self.configured(good_case).wire(vif, good_case.host) == first

    @check(3)
    def test_doctor_only_computes(self, case: Case) -> None:
        try:
            host = case.host
        except VifplugError:
            host = Host()
        for of in (host, Host()):
            plugin = self.configured(case)
            with watched() as seen:
                found = list(plugin.doctor(of))
            assert seen == [], "doctor() may ask nothing but its argument"
            assert all(isinstance(each, Check) for each in found)

    # 4

    @check(4)
    def test_the_parts_survive_the_way_to_the_daemon(self, good_case: Case) -> None:
        for part in good_case.wiring.parts:
            packed = msgpack.packb(part.to_dict())
            assert build(msgpack.unpackb(packed), self.plugin.kinds) == part

    @check(4)
    def test_the_process_is_one_that_the_plugin_names(self, good_case: Case) -> None:
        process = good_case.wiring.process
        assert process in self.plugin.processes
        assert re.fullmatch(r"[a-z]{0,16}", process)

    @check(4)
    def test_a_line_break_is_in_no_parts_field(self, good_case: Case) -> None:
        for part in good_case.wiring.parts:
            for name, value in part.to_dict().items():
                if isinstance(value, str):
                    with pytest.raises(ValueError):
                        build({**part.to_dict(), name: f"{value}\nx"}, self.plugin.kinds)

    # 5

    @check(5)
    def test_a_plan_fits_80_columns_with_a_line_for_each_operation(self, good_case: Case) -> None:
        found = good_case.plan()
        assert [line for line in str(found).splitlines() if len(line) > COLUMNS] == []
        for operation in found.operations:
            assert re.fullmatch(r"[^\x00-\x1f\x7f]+", str(operation)), repr(operation)

    @check(5)
    def test_after_its_own_plan_nothing_is_left_to_do(self, good_case: Case) -> None:
        wiring, owner, host = good_case.wiring, good_case.owner, good_case.host.planning()
        assert bool(plan(owner, wiring, host)) == bool(good_case.plan())
        assert not plan(owner, wiring, host).operations

    # 6

    @check(6)
    def test_libvirts_schema_takes_the_interface(self, good_case: Case) -> None:
        seen: set[str] = set()
        for version in VERSIONS:
            for virt_type in VIRT_TYPES:
                host = dataclasses.replace(
                    good_case.host, libvirt_version=version, virt_type=virt_type
                )
                try:
                    wiring = self.configured(good_case).wire(good_case.vif, host)
                except VifplugError:
                    continue
                seen.add(wiring.interface.to_xml())
        for xml in seen | {good_case.wiring.interface.to_xml()}:
            validate(xml)

    @check(6)
    def test_a_guests_queues_are_its_taps(self, good_case: Case) -> None:
        wiring = good_case.wiring
        for part in wiring.parts:
            if isinstance(part, Tap) and part.name == wiring.interface.target:
                assert part.multi_queue == (wiring.interface.guest.queues is not None)

    @check(6)
    @pytest.mark.parametrize("wish", WISHES)
    def test_a_wish_is_honoured_or_refused_or_noted(self, good_case: Case, wish: str) -> None:
        data: Any = copy.deepcopy(good_case.read("vif.json"))
        *outer, last = wish.split(".")
        place = data
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = WISHES[wish]
        if wish == "network.mtu" and not good_case.wiring.devices:
            return  # a guest may heed it by itself
        try:
            wiring = self.wired(good_case, VIF.from_dict(data))
        except VifplugError as error:
            named = (last, str(WISHES[wish]))
            assert isinstance(error, Conflict) or any(word in str(error) for word in named)
            return
        before = good_case.wiring
        notes = " ".join((*wiring.notes, *wiring.passed_over))
        changed = (wiring.parts, wiring.interface) != (before.parts, before.interface)
        assert changed or last.removesuffix("s") in notes, f"{wish} is dropped in silence"

    # 7

    @check(7)
    def test_the_reader_of_a_switch_that_is_not_there_answers_in_time(
        self, snapshot: type[Snapshot]
    ) -> None:
        reader = importlib.import_module(str(self.plugin.reader()))
        options = self.plugin().options
        vifs = [case.vif for case in self.good_cases()[:1]]
        for asked in (vifs, None):
            deadline = time.monotonic() + 1
            found = reader.read(options, asked, Host(), deadline=deadline)
            assert time.monotonic() < deadline + PATIENCE
            assert found is None or isinstance(found, snapshot)

    # 8

    @check(8)
    def test_a_case_gives_what_its_folder_says(self, case: Case) -> None:
        expected = case.expected()
        assert expected, "the folder says nothing of what comes of it"
        assert case.actual() == expected
