# SPDX-License-Identifier: Apache-2.0
"""Looks through the configuration files for mistakes, and names them in plain words.

oslo.config passes over options and groups that no program registers, so that a typo would have no
effect and no message. It says of a bad value neither the group nor the file.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from oslo_config import cfg, types

from vifplug import opts
from vifplug.errors import closest

_OURS = "vifplug"
_PLUGINS, _OPTIONS = "vifplug.plugins", "oslo.config.opts"
_PRIVILEGED = "_privileged"

DAEMONS = frozenset(
    (
        "capabilities",
        "group",
        "helper_command",
        "log_daemon_traceback",
        "logger_name",
        "thread_pool_size",
        "user",
    )
)
"""The options of a daemon's group, which are oslo.privsep's: that takes long to import."""

_MUCH_ALIKE = 0.75
"""How alike two groups' names must be, beyond what they all begin with, for "did you mean"."""

Options = Mapping[str, Any]
"""A group's options by name; those of a daemon's group are None."""

Values = Mapping[str, Mapping[str, Sequence[str]]]
"""What a file holds: values by group and option."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """Something in a configuration file that has no effect; ``meant`` is what may be meant."""

    file: str
    what: str
    meant: str = ""

    def __str__(self) -> str:
        end = f"; did you mean {self.meant}?" if self.meant else ""
        return f"{self.file}: {self.what}{end}"


class Configuration:
    """The files that a configuration was read from."""

    def __init__(self, conf: Any) -> None:
        """``conf`` is an oslo.config configuration that was called."""
        self._conf = conf
        self._known: dict[str, Options | None] = {}

    @cached_property
    def files(self) -> Mapping[str, Values]:
        """What each file holds, in the order in which they were read."""
        names = list(self._conf.default_config_files or ())
        for folder in self._conf.default_config_dirs or ():
            names += sorted(str(path) for path in Path(folder).expanduser().glob("*.conf"))
        return {name: _parsed(name) for name in names}

    def mistakes(self) -> Iterator[Mistake]:
        """Yield the options and groups that no installed distribution has."""
        for file, groups in self.files.items():
            for group, values in groups.items():
                if group == "DEFAULT":
                    yield from self._misplaced(file, values)
                elif (known := self._options(group)) is not None:
                    for option in values:
                        if option not in known:
                            what = f"[{group}] has no option {option}"
                            yield Mistake(file=file, what=what, meant=self._meant(group, option))
                elif _is_ours(file) or group.lower().startswith("vif"):
                    what = f"no installed distribution has the group [{group}]"
                    yield Mistake(file=file, what=what, meant=self._group_like(group))

    def bad_values(self) -> Iterator[str]:
        """Yield in words the values that their options don't take."""
        for file, groups in self.files.items():
            for group, values in groups.items():
                for option, given in values.items():
                    opt = (self._options(group) or {}).get(option)
                    value = given[-1]
                    if opt is None or "$" in value:  # oslo.config replaces what follows that
                        continue
                    try:
                        opt.type(value)
                    except ValueError as error:
                        allowed = _allowed(opt.type, error)
                        yield f"{file}: [{group}] {option} is {value!r}; allowed: {allowed}"

    def in_words(self, error: Exception) -> str:
        """Return an error of oslo.config as one line that names group, option, value and file."""
        if isinstance(error, cfg.ConfigSourceValueError) and (bad := next(self.bad_values(), "")):
            return bad
        text = " ".join(str(error).split())
        # A value may also come from the environment.
        return re.sub(r"LocationInfo\(.*?detail='(.*?)'\)", r"\1", text)

    # What is known.

    def _options(self, group: str) -> Options | None:
        """Return the options of a group; None for a group that is not known."""
        name = group.lower()  # as oslo.config compares them
        if name not in self._known:
            self._known[name] = self._looked_up(name)
        return self._known[name]

    def _looked_up(self, group: str) -> Options | None:
        if group == opts.GROUP:
            return {opt.dest: opt for opt in opts.OPTS}
        package = group.removesuffix(_PRIVILEGED)
        if package in self._plugins or package in self._others:
            if package != group:
                return dict.fromkeys(DAEMONS)
            if (found := _in_module(package)) is not None:
                return found
        return self._by_class.get(group)

    @cached_property
    def _plugins(self) -> frozenset[str]:
        """The packages that have a plugin."""
        return frozenset(entry.module.partition(".")[0] for entry in _entries(_PLUGINS))

    @cached_property
    def _others(self) -> frozenset[str]:
        """The packages of ours that have options and no plugin."""
        names = (entry.module.partition(".")[0] for entry in _entries(_OPTIONS))
        return frozenset(n for n in names if n.startswith(_OURS)) - {_OURS} - self._plugins

    @cached_property
    def _by_class(self) -> Mapping[str, Options]:
        """The options of every plugin that can be loaded, by its group."""
        found: dict[str, Options] = {}
        for entry in _entries(_PLUGINS):
            # Whatever a broken plugin raises: the command says it, or doctor.
            with contextlib.suppress(Exception, SystemExit):
                plugin = entry.load()
                found[plugin.group] = {opt.dest: opt for opt in plugin.opts}
        return found

    @cached_property
    def _groups(self) -> frozenset[str]:
        daemons = (f"{package}{_PRIVILEGED}" for package in self._plugins)
        packages = self._plugins | self._others
        return frozenset((opts.GROUP, *packages, *daemons, *self._by_class)) - {""}

    def _misplaced(self, file: str, options: Iterable[str]) -> Iterator[Mistake]:
        """Yield the options of ours before the first group; others may be oslo.log's."""
        for option in options:
            if _is_ours(file) and (meant := self._elsewhere(option)):
                yield Mistake(file=file, what=f"[DEFAULT] has no option {option}", meant=meant)

    def _group_like(self, group: str) -> str:
        """Return the group that is meant; the beginning that all have makes none alike."""
        tails = {name.removeprefix(f"{_OURS}_"): name for name in self._groups}
        tail = group.lower().removeprefix(f"{_OURS}_")
        found = closest(tail, tails, alike=_MUCH_ALIKE)
        return f"[{tails[found]}]" if found else ""

    def _meant(self, group: str, option: str) -> str:
        known = self._options(group) or {}
        return self._elsewhere(option) or closest(option, known)

    def _elsewhere(self, option: str) -> str:
        """Return the place of an option of this name in another group."""
        groups = sorted(group for group in self._groups if not group.endswith(_PRIVILEGED))
        has = (group for group in groups if option in (self._options(group) or {}))
        return next((f"[{group}] {option}" for group in has), "")


def _entries(group: str) -> Iterable[importlib.metadata.EntryPoint]:
    return importlib.metadata.entry_points(group=group)


def _in_module(package: str) -> Options | None:
    """Return the options in a package's module ``opts``: to load its plugins takes longer."""
    try:
        module = importlib.import_module(f"{package}.opts")
        return {opt.dest: opt for opt in module.OPTS} if package == module.GROUP else None
    except Exception:  # whatever a plugin's module raises
        return None


def _parsed(name: str) -> Values:
    found: dict[str, dict[str, list[str]]] = {}
    with contextlib.suppress(OSError):  # a file that vanished meanwhile
        cfg.ConfigParser(name, found).parse()
    return found


def _is_ours(file: str) -> bool:
    """Whether a file is for vifplug alone: others have groups that we know nothing of."""
    path = Path(file)
    return path.name.startswith(_OURS) or path.parent.name.startswith(_OURS)


def _allowed(kind: Any, error: ValueError) -> str:
    """Return in words which values a type takes."""
    if isinstance(kind, types.Boolean):
        return "true or false"
    if getattr(kind, "choices", None):
        return ", ".join(str(choice) for choice in kind.choices)
    if isinstance(kind, types.Number):
        words = "an integer" if isinstance(kind, types.Integer) else "a number"
        if kind.min is not None and kind.max is not None:
            return f"{words} from {kind.min} to {kind.max}"
        return words
    if pattern := getattr(kind, "regex", None):
        return f"text that matches {pattern.pattern}"
    return str(error).rpartition("allowed: ")[2]
