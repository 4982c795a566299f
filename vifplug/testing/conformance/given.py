# SPDX-License-Identifier: Apache-2.0
"""What a plugin's author says of the plugin, and what follows from it: cases, hosts, daemons."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, ClassVar

import pytest
from oslo_config import cfg
from oslo_config.fixture import Config

from vifplug import VIF, GenericVIFDriver
from vifplug.errors import VifplugError
from vifplug.operations import MakeLink, Operation
from vifplug.plugin import VIFPlugin
from vifplug.switch import Order, Switch
from vifplug.testing.cases import Case, Plugins, cases_in, good, mended
from vifplug.testing.configured import configured
from vifplug.testing.conformance.checks import NOT_HERE
from vifplug.testing.faults.saboteur import Saboteur
from vifplug.testing.faults.scene import Scene, Subject, scene
from vifplug.testing.namespace import CommandFailed, NetworkNamespace
from vifplug.testing.realhost import can_be_real, prepare

__all__ = ["Drift", "Given", "RunningSwitch", "Stage", "kernel_devices", "steady"]

Drift = Callable[[Scene, VIF], object]
"""Changes on a host something that a VIF needs, as another program might."""

Stage = Callable[[Case], Scene]
"""Makes a case's host real, and starts the plugin's daemon."""


_OTHER = {"id": "7f4a0c66-52b1-4d2c-8f0e-6a1d9b3e5c77", "address": "fa:16:3e:7f:4a:0c"}
NEIGHBOURS: Sequence[Mapping[str, Any]] = (
    {**_OTHER, "vif_type": "tap"},
    {
        **_OTHER,
        "vif_type": "bridge",
        "network": {"bridge": "br-beside", "should_create_bridge": True},
    },
)
"""VIFs of other plugins, each a fair neighbour."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunningSwitch:
    """A plugin's switch that runs for one test.

    ``options`` are the values of the plugin's options by which it is reached. ``state`` returns
    everything that the switch has, to be compared. ``stop`` ends it as a crash would, ``start``
    brings it back with what it had. ``pause`` has it answer nothing until ``resume``.
    """

    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    state: Callable[[], Any] = dict
    stop: Callable[[], object] | None = None
    start: Callable[[], object] | None = None
    pause: Callable[[], object] | None = None
    resume: Callable[[], object] | None = None


@functools.cache
def _plugins() -> Plugins:
    return Plugins.usable()


@functools.cache
def _cases(folder: Path, vif_type: str) -> tuple[Case, ...]:
    found = []
    for case in cases_in(folder, _plugins()):
        data: Any = case.read("vif.json")
        of: object
        try:
            of = case.vif.vif_type  # which resolves another spelling of it
        except VifplugError:
            of = data.get("vif_type") if isinstance(data, dict) else None
        if of == vif_type:
            found.append(case)
    return tuple(found)


@functools.cache
def _mended(folder: Path, vif_type: str) -> tuple[Case, ...]:
    """Return the cases of which a plug leaves nothing that differs: each is planned once."""
    return tuple(mended(_cases(folder, vif_type)))


class Given:
    """What is said of a plugin.

    ``vif_type``  the VIFs' type; its plugin must be installed
    ``cases``     the folder of planning cases, beside the file of the class. Those of other types
                  in it are left out
    ``options``   values of the plugin's options for all tests with a real host
    ``drifts``    by a name, what another program may change of a plugged VIF. That a device of the
                  VIF goes is tried without it
    """

    vif_type: ClassVar[str]
    cases: ClassVar[str | Path] = "cases"
    options: ClassVar[Mapping[str, Any]] = {}
    drifts: ClassVar[Mapping[str, Drift]] = {}

    # What an author may override.

    def host(
        self, namespace: NetworkNamespace, case: Case
    ) -> AbstractContextManager[RunningSwitch]:
        """Run the plugin's switch in a namespace, with what the case's host.json has in it.

        Only for a plugin with a switch.
        """
        raise NotImplementedError

    def reaches(self, scene: Scene, vif: VIF) -> None:
        """Require that what a guest sends arrives. Its tap is there; nothing has opened it."""
        raise NotImplementedError

    def is_real(self, case: Case) -> bool:
        """Whether a network namespace can show the case's host."""
        return can_be_real(case.host)

    def marks(self, case: Case) -> Sequence[pytest.MarkDecorator]:
        """Return the marks of the tests that make the case's host real."""
        return ()

    def network(self) -> AbstractContextManager[NetworkNamespace]:
        """Return the namespace of a host, which the test is in."""
        return NetworkNamespace(enter=True)

    def dump(self, namespace: NetworkNamespace, switch: RunningSwitch | None) -> dict[str, Any]:
        """Return all that a host has, to be compared."""
        found = namespace.everything()
        return found | {"switch": switch.state()} if switch else found

    def order(self, operations: Sequence[Operation]) -> Order:
        """Return a VIF's operations in the order of the switch."""
        switch = self.switch_class()
        if switch is None:
            return Order(before=tuple(operations))
        return switch.order(object.__new__(switch), operations, alone=None)

    # What follows.

    @property
    def plugin(self) -> type[VIFPlugin]:
        """The plugin's class."""
        return _plugins()[self.vif_type]

    @property
    def plugins(self) -> Plugins:
        """Every installed plugin that can be used."""
        return _plugins()

    def switch_class(self) -> type[Switch] | None:
        """Return the class of the plugin's switch in the daemon, if it has one."""
        module = importlib.import_module(self.plugin.privileged())
        found = [each for each in vars(module).values() if isinstance(each, type)
                 and issubclass(each, Switch) and not inspect.isabstract(each)]  # fmt: skip
        return found[-1] if found and self.plugin.switch else None

    def folder(self) -> Path:
        """Return the folder of planning cases."""
        folder = Path(self.cases)
        if folder.is_absolute():
            return folder
        return Path(inspect.getfile(type(self))).parent / folder

    def all_cases(self) -> Sequence[Case]:
        """Return the cases of the type."""
        return _cases(self.folder(), self.vif_type)

    def good_cases(self) -> Sequence[Case]:
        """Return the cases that can be plugged."""
        return good(self.all_cases())

    def real_cases(self) -> Sequence[Case]:
        """Return the cases that are plugged on a real kernel."""
        return [case for case in _mended(self.folder(), self.vif_type) if self.is_real(case)]

    def moving_cases(self) -> Sequence[Case]:
        """Return the cases of a VIF that is elsewhere."""
        cases = (case for case in self.all_cases() if "move.txt" in case.expected())
        return [case for case in cases if self.is_real(case)]

    def chosen_cases(self) -> Sequence[Case]:
        """Return the case by which is tried what takes long: the one that changes the most."""
        new = [c for c in self.real_cases() if c.vif.id not in str(c.read("host.json"))]
        new = [case for case in new if not self.marks(case)] or new
        return sorted(new, key=lambda case: -len(case.plan().operations))[:1]

    def fault_cases(self) -> Sequence[Case]:
        """Return cases in which each kind of step occurs, as few as do."""
        found, seen = [], set[Any]()
        for case in sorted(self.real_cases(), key=lambda case: -len(case.steps)):
            if set(case.steps) - seen:
                seen |= set(case.steps)
                found.append(case)
        return found

    def switch_cases(self) -> Sequence[Case]:
        """Return the chosen case, where the plugin has a switch."""
        return self.chosen_cases() if self.plugin.switch else ()

    def owning_cases(self) -> Sequence[Case]:
        """Return the chosen case, if its VIF has devices of its own that a plug makes."""
        return [case for case in self.chosen_cases() if kernel_devices(case)]

    def reached_cases(self) -> Sequence[Case]:
        """Return the chosen case, where it is said what a guest reaches."""
        return self.chosen_cases() if type(self).reaches is not Given.reaches else ()

    def neighbours(self) -> Sequence[VIF]:
        """Return a VIF of another plugin, that needs nothing of a host."""
        for data in NEIGHBOURS:
            other = self.plugins.get(str(data["vif_type"]))
            if other and other is not self.plugin:
                return [VIF.from_dict(data)]
        return ()

    def has_host(self) -> bool:
        """Whether ``host()`` says how the plugin's switch is run."""
        return type(self).host is not Given.host

    def without(self) -> str | None:
        """Return why no host can be made real, or None."""
        if os.geteuid():
            return "it takes root to make a network namespace"
        if self.plugin.switch and not self.has_host():
            return f"{type(self).__name__}.host() does not say how to run the plugin's switch"
        return None

    _NONE: ClassVar[Mapping[str, str]] = {
        "case": "there is no case",
        "good_case": "every case is refused",
        "real_case": "a network namespace can show no case's host",
        "chosen_case": "a network namespace can show no case's host whose VIF is new",
        "fault_case": "a network namespace can show no case that changes something",
        "moving_case": f"{NOT_HERE}no case has a VIF that is elsewhere",
        "switch_case": f"{NOT_HERE}it has no switch",
        "snapshot": f"{NOT_HERE}it has no switch",
        "neighbour": "no other plugin is installed that makes a tap or a bridge",
        "drift": f"{NOT_HERE}its VIFs have no devices of their own, and no drifts are given",
        "boolean": f"{NOT_HERE}it has no option that is true or false",
        "owning_case": f"{NOT_HERE}its VIFs have no devices of their own",
        "reached_case": f"{NOT_HERE}reaches() does not say what arrives",
    }

    _PURE: ClassVar[tuple[str, ...]] = ("case", "good_case", "snapshot")

    def selected(self, name: str) -> Sequence[Any]:
        """Return the parameters of a test's argument."""
        found: list[Any]
        if name not in self._PURE and (why := self.without()):
            return [_skipped(why)]
        match name:
            case "snapshot":
                found = [self.plugin.snapshot] if self.plugin.snapshot else []
            case "drift":
                found = [*self.own_drifts(), *self.drifts]
            case "neighbour":
                found = list(self.neighbours())
            case "boolean":
                found = [o.dest for o in self.plugin.opts if isinstance(o.default, bool)]
            case _:
                every = self.all_cases() if name == "case" else getattr(self, f"{name}s")()
                marked = name not in self._PURE
                found = [pytest.param(case, id=case.name, marks=self.marks(case) if marked else ())
                         for case in every]  # fmt: skip
        return found or [_skipped(self._NONE[name])]

    def own_drifts(self) -> Mapping[str, Drift]:
        """Return the drifts that follow from the devices of the chosen case's VIF."""
        names = [name for case in self.chosen_cases() for name in kernel_devices(case)]
        return {f"{place} gone": functools.partial(_remove, place=place)
                for place in ("first device", "last device")[: len(names)]}  # fmt: skip

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Give each test the cases that it asks for by an argument's name."""
        for name in self._NONE:
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, self.selected(name))

    @pytest.fixture
    def conf(self, tmp_path: Path) -> Iterator[Config]:
        """The process' configuration, with locks in the test's own folder."""
        with configured(tmp_path, *dict.fromkeys(self.plugins.values())) as config:
            config.config(group="vifplug", libvirt_version="9.0.0", virt_type="qemu")
            for name, value in self.options.items():
                config.config(group=self.plugin.group, **{name: value})
            yield config

    @pytest.fixture
    def saboteur(self, monkeypatch: pytest.MonkeyPatch) -> Saboteur:
        """A saboteur, at rest, whose steps are the switch's too."""
        return Saboteur(monkeypatch, switch=self.switch_class())

    def _write(self, options: Mapping[str, Any]) -> None:
        """Write options to the configuration file, for a daemon that is no fork of the test."""
        lines = [
            f"[{self.plugin.group}]",
            *(f"{name} = {value}" for name, value in options.items()),
        ]
        if options:
            with Path(cfg.CONF.config_file[0]).open("a") as file:
                file.write("\n".join(lines) + "\n")

    def subject(self, case: Case, conf: Config) -> Subject:
        """Return a case's VIF with what makes its host real."""
        running: list[RunningSwitch] = []

        def prepared(namespace: NetworkNamespace, stack: ExitStack) -> GenericVIFDriver:
            if self.has_host():
                running[:] = [stack.enter_context(self.host(namespace, case))]
                for name, value in running[0].options.items():
                    conf.config(group=self.plugin.group, **{name: value})
                self._write(running[0].options)
            return prepare(case, conf, namespace)

        def dump(namespace: NetworkNamespace) -> dict[str, Any]:
            return self.dump(namespace, running[0] if running else None)

        def switch() -> RunningSwitch | None:
            return running[0] if running else None

        return Subject(case.vif, prepared, self.plugin, dump, self.order, switch=switch)

    @pytest.fixture
    def stage(self, conf: Config, saboteur: Saboteur) -> Iterator[Stage]:
        """Make a case's host real, and start the plugin's daemon."""
        with contextlib.ExitStack() as stack:

            def made(case: Case) -> Scene:
                namespace = stack.enter_context(self.network())
                try:
                    made = scene(self.subject(case, conf), saboteur, namespace)
                    return stack.enter_context(made)
                except CommandFailed as error:
                    pytest.skip(f"this kernel can't show the case's host: {error}")

            yield made


def kernel_devices(case: Case) -> list[str]:
    """Return the devices of a case's VIF that a plug makes."""
    made = (o.device for o in case.plan().operations if isinstance(o, MakeLink))
    return [name for name in made if name in case.wiring.devices]


def steady(at: Scene, case: Case) -> None:
    """Have a host as it is once a first VIF has come and gone.

    That VIF may have left what others may use too: a bridge, say.
    """
    own, vif = {*case.wiring.devices, case.vif.devname}, case.vif
    made = {name for operation in case.plan().operations for name in operation.made}
    if any(name not in own and vif.id[:8] not in name for name in made):
        at.driver.plug(None, vif)
        at.driver.unplug(None, vif)
        at.leaves_nothing()
        at.before = at.everything()


def _skipped(why: str) -> Any:
    return pytest.param(None, id="none", marks=pytest.mark.skip(reason=why))


def _remove(scene: Scene, vif: VIF, *, place: str) -> None:
    devices = scene.devices(vif)
    scene.ip("link", "delete", devices[0 if place.startswith("first") else -1])
