# SPDX-License-Identifier: Apache-2.0
"""Which plugin connects which vif_type: entry points, loaded by stevedore, one when it is needed.

stevedore passes over a plugin that doesn't import, and lets the last of two that claim one name
win. Here each such plugin is kept and reported, by name and distribution, and hurts no other.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from stevedore.named import NamedExtensionManager

from vifplug.errors import NO_VIF, PLUGIN_ERRORS, PluginFailed, UnknownVIFType, VifplugError, meant
from vifplug.parts import Part
from vifplug.plugin import API_VERSION, GROUP, SWITCHES, VIFPlugin

SET_ASIDE = "set aside"
"""The state of a claim on a vif_type that the configuration gives to another distribution."""

EntryPoint = importlib.metadata.EntryPoint
Options = Callable[[type[VIFPlugin]], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class EntryClaim:
    """One entry point's claim on a vif_type, and what came of it.

    ``state`` is ok, failed (it does not import or is no VIFPlugin), duplicate (another claims the
    same vif_type, and the option ``claims`` does not say which has it), set aside (the option says
    that another has it) or incompatible (written for another version of the contract).
    """

    vif_type: str
    class_name: str
    distribution: str
    version: str
    state: str
    error: str = ""
    plugin: type[VIFPlugin] | None = None

    @property
    def source(self) -> str:
        """The distribution with its version."""
        return f"{self.distribution} {self.version}"

    @property
    def mend(self) -> str:
        """What mends a claim that is not ok; empty where nothing is to be mended."""
        if self.state == "duplicate":
            option = f"[vifplug] claims = {self.vif_type}:{self.distribution}"
            return f"uninstall it, or have it: {option}"
        if self.state == "incompatible":
            return f"install the {self.distribution} that goes with this vifplug"
        return f"reinstall or remove {self.distribution}" if self.state == "failed" else ""

    def to_dict(self) -> dict[str, str | None]:
        """Return the claim as ``vifplug plugins -f json`` prints it."""
        return {
            "vif_type": self.vif_type,
            "class": self.class_name,
            "distribution": self.distribution,
            "version": self.version,
            "state": self.state,
            "error": self.error or None,
        }


if TYPE_CHECKING:
    _Manager = NamedExtensionManager[Any]
else:
    _Manager = NamedExtensionManager  # stevedore before 5.6 takes no subscript


class _Loader(_Manager):
    """stevedore's loading, on a list of our own: its cache misses a change within 128 seconds."""

    def __init__(self, entry: EntryPoint) -> None:
        self._entry = entry
        self.error = ""
        try:
            super().__init__(
                GROUP,
                [entry.name],
                on_load_failure_callback=self._failed,
                on_missing_entrypoints_callback=lambda names: None,
            )
        except (AssertionError, SystemExit) as error:  # these, stevedore lets through
            self._failed(self, entry, error)

    def list_entry_points(self) -> list[EntryPoint]:
        return [self._entry]

    def _failed(self, manager: Any, entry: EntryPoint, error: BaseException) -> None:
        self.error = f"{type(error).__name__}: {error}"


class Registry:
    """The installed plugins. Nothing is imported before it is asked for."""

    def __init__(
        self,
        *,
        options: Options = lambda plugin: {},
        only: Collection[str] | None = None,
        pinned: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        """``options`` gives the configured values of a plugin's options.

        ``only`` are the vif_types to know, where that is not all. ``pinned`` returns, by vif_type,
        the distribution that has it where several claim it.
        """
        self._options, self._pinned = options, pinned
        self._entries: dict[str, list[EntryPoint]] = {}
        # Asked once, because each call reads all that is installed.
        every = importlib.metadata.entry_points()
        for entry in every.select(group=GROUP):
            if only is None or entry.name in only:
                self._entries.setdefault(entry.name, []).append(entry)
        self._plugins: dict[str, VIFPlugin] = {}
        self._vif_types = tuple(sorted(self._entries))
        switches = every.select(group=SWITCHES)
        self._switches = {e.name: e for e in switches if e.name in self._entries}
        self._presences: dict[str, Callable[[], bool]] = {}

    @property
    def vif_types(self) -> tuple[str, ...]:
        """The vif_types that some distribution claims."""
        return self._vif_types

    @property
    def switch_types(self) -> tuple[str, ...]:
        """One vif_type of each plugin whose switch may have something of any VIF."""
        return tuple(sorted(self._switches))

    def switches_here(self) -> tuple[str, ...]:
        """Return those of the switches' vif_types whose switch this host may have."""
        return tuple(vif_type for vif_type in self.switch_types if self._is_here(vif_type))

    def _is_here(self, vif_type: str) -> bool:
        try:
            if vif_type not in self._presences:
                presence = self._switches[vif_type].load()
                # Kept, as a plugin keeps its own: oslo.config takes long, and a batch asks often.
                options = self._options(presence)
                self._presences[vif_type] = partial(presence.present, options)
            return bool(self._presences[vif_type]())
        except PLUGIN_ERRORS:
            return True  # its plugin is loaded, and says what is wrong

    @property
    def loaded(self) -> tuple[VIFPlugin, ...]:
        """The plugins that some VIF has needed so far."""
        return tuple(self._plugins.values())

    def plugin(self, vif_type: str, *, vif_id: str) -> VIFPlugin:
        """Return the plugin for a vif_type, for the VIF that the error names.

        Raises UnknownVIFType where no plugin claims it, PluginFailed where it can't be used.
        """
        if vif_type not in self._plugins:
            self._plugins[vif_type] = plugin = self._load(vif_type, vif_id)
            plugin.vif_type = vif_type
        return self._plugins[vif_type]

    def some(self, vif_types: Iterable[str]) -> list[VIFPlugin]:
        """Return the plugins of some vif_types.

        The error of one that can't be used is reported when a VIF of its type is handled.
        """
        plugins = []
        for vif_type in vif_types:
            with contextlib.suppress(VifplugError):
                plugins.append(self.plugin(vif_type, vif_id=NO_VIF))
        return plugins

    def claims(self) -> list[EntryClaim]:
        """Return every claim, each loaded, in the order of vif_types."""
        return [claim for vif_type in self.vif_types for claim in self._claims(vif_type)]

    def _load(self, vif_type: str, vif_id: str) -> VIFPlugin:
        claims = self._claims(vif_type)
        if not claims:
            known = ", ".join(self.vif_types) or "none, no plugin is installed"
            also = meant(vif_type, self.vif_types)
            why = f"no installed distribution has one ({known}){also}"
            raise UnknownVIFType(vif_id, vif_type, why)
        claims = [claim for claim in claims if claim.state != SET_ASIDE]
        bad = [claim for claim in claims if claim.state != "ok"]
        if bad:
            sources = " and ".join(claim.source for claim in claims)
            raise PluginFailed(vif_id, vif_type, sources, bad[0].error)
        plugin = claims[0].plugin
        assert plugin is not None  # noqa: S101 - what state ok means
        try:
            return plugin(self._options(plugin))
        except VifplugError:
            raise
        except PLUGIN_ERRORS as error:
            why = f"{type(error).__name__}: {error}"
            raise PluginFailed(vif_id, vif_type, claims[0].source, why) from error

    def _claims(self, vif_type: str) -> list[EntryClaim]:
        entries = self._entries.get(vif_type, [])
        pinned = self._pinned().get(vif_type)
        if pinned is None and len(entries) < 2:
            return [_claim(entry) for entry in entries]
        # Sorted, because they come as the folders of distributions are listed.
        entries = sorted(entries, key=_distribution)
        names = " and ".join(_distribution(entry)[0] for entry in entries)
        if pinned is None:
            option = f"have one in [vifplug] claims = {vif_type}:NAME"
            error = f"claimed by {len(entries)}: {names}; uninstall all but one, or {option}"
            return [_claim(entry, refused=("duplicate", error)) for entry in entries]
        aside = (SET_ASIDE, f"[vifplug] claims gives {vif_type} to {pinned}")
        wanted = [entry for entry in entries if _is_named(entry, pinned)]
        if not wanted:  # another word than a name of these: no VIF is to have the wrong plugin
            aside = ("duplicate", f"{aside[1]}, which does not claim it: {names} does")
        return [_claim(e) if e in wanted else _claim(e, refused=aside) for e in entries]


def kinds_of(plugins: Iterable[VIFPlugin]) -> tuple[type[Part], ...]:
    """Return the kinds of part that some plugins use, each once."""
    return tuple(dict.fromkeys(kind for plugin in plugins for kind in plugin.kinds))


def _claim(entry: EntryPoint, *, refused: tuple[str, str] | None = None) -> EntryClaim:
    """Return what came of a claim; ``refused`` is its state and error where it is not looked at."""
    plugin: Any = None
    state, error = refused or ("ok", "")
    if not refused:
        loader = _Loader(entry)
        plugin = None if loader.error else loader[entry.name].plugin
        state, error = ("failed", loader.error) if loader.error else _judge(plugin)
    name, version = _distribution(entry)
    return EntryClaim(
        vif_type=entry.name,
        class_name=entry.value.replace(":", "."),
        distribution=name,
        version=version,
        state=state,
        error=error,
        plugin=plugin if state == "ok" else None,
    )


def _judge(plugin: Any) -> tuple[str, str]:
    if not (isinstance(plugin, type) and issubclass(plugin, VIFPlugin)):
        return "failed", f"{plugin!r} is not a VIFPlugin"
    version = getattr(plugin, "api_version", None)
    if version != API_VERSION:
        older = isinstance(version, int) and version < API_VERSION
        than = f"{'older' if older else 'newer'} than {API_VERSION}, this vifplug's"
        return "incompatible", f"made for api_version {version}, which is {than}"
    if plugin.__abstractmethods__:
        return "failed", f"does not have {', '.join(sorted(plugin.__abstractmethods__))}()"
    return "ok", ""


def _is_named(entry: EntryPoint, distribution: str) -> bool:
    """Whether a distribution has this name, as pip compares names."""
    return _plain(_distribution(entry)[0]) == _plain(distribution)


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _distribution(entry: EntryPoint) -> tuple[str, str]:
    return (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")
