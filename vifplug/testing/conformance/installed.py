# SPDX-License-Identifier: Apache-2.0
"""The suite for an installed distribution: one class for each of its vif_types.

A distribution that has more to say than its cases (a switch that must run, drifts) ships the class
itself, in the module ``conformance`` of its package. Its cases are in the package's folder
``cases``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
from pathlib import Path

from vifplug.errors import meant
from vifplug.plugin import GROUP
from vifplug.registry import EntryClaim, Registry
from vifplug.testing.conformance import PluginTests

__all__ = ["ASKED", "NotTestable", "asked_for", "suites"]

ASKED = "VIFPLUG_CONFORMANCE"
"""The environment variable that tells a process of pytest's what is to be tested."""


class NotTestable(Exception):
    """Why a distribution can't be tested, in one sentence; and the command's exit status."""

    def __init__(self, why: str, status: int = 2) -> None:
        super().__init__(why)
        self.status = status


def asked_for() -> dict[str, type[PluginTests]]:
    """Return the classes for what the environment asks for."""
    distribution, cases = json.loads(os.environ[ASKED])
    return suites(distribution, cases)


def suites(distribution: str, cases: str | None) -> dict[str, type[PluginTests]]:
    """Return a distribution's classes by their names. Raises NotTestable.

    ``cases`` is a folder of planning cases; without it the distribution's own are taken.
    """
    found: dict[str, type[PluginTests]] = {}
    claims = _claims(distribution)
    for claim in claims:
        suite = _suite(claim, cases)
        found[suite.__name__] = suite
    for suite in found.values():
        _require_json(Path(suite.cases))
    if not any(suite().all_cases() for suite in found.values()):
        types = " and ".join(claim.vif_type for claim in claims)
        where = cases or "it ships none in its package's folder cases; see --cases"
        raise NotTestable(f"{distribution} has no planning case of vif_type {types}: {where}")
    return found


def _claims(distribution: str) -> list[EntryClaim]:
    """Return the claims of a distribution on vif_types. Raises NotTestable."""
    try:
        installed = importlib.metadata.distribution(distribution)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        names = {entry.dist.name for entry in importlib.metadata.entry_points(group=GROUP)
                 if entry.dist}  # fmt: skip
        known = ", ".join(sorted(names)) or "none"
        why = f"no distribution {distribution!r} is installed"
        raise NotTestable(f"{why}; with plugins: {known}{meant(distribution, names)}") from None
    types = {entry.name for entry in installed.entry_points if entry.group == GROUP}
    if not types:
        raise NotTestable(f"{distribution} {installed.version} has no vif_type ({GROUP})")
    claims = [claim for claim in Registry(only=types).claims()
              if claim.distribution == installed.metadata["Name"]]  # fmt: skip
    for claim in claims:
        if claim.plugin is None:
            why = f"vif_type {claim.vif_type} of {claim.source} can't be used: {claim.error}"
            raise NotTestable(why, status=1)
    return claims


def _suite(claim: EntryClaim, cases: str | None) -> type[PluginTests]:
    plugin = claim.plugin
    assert plugin is not None
    package = plugin.__module__.rpartition(".")[0]
    base: type[PluginTests] = PluginTests
    if importlib.util.find_spec(f"{package}.conformance"):
        module = importlib.import_module(f"{package}.conformance")
        for each in vars(module).values():
            if isinstance(each, type) and issubclass(each, PluginTests):
                base = each if getattr(each, "vif_type", None) == claim.vif_type else base
    folder = Path(cases).resolve() if cases else _own_cases(base, package)
    if not folder.is_dir():
        why = "it ships no folder of planning cases" if cases is None else "it is no folder"
        raise NotTestable(f"{claim.distribution}: {folder}: {why}; see --cases")
    name = f"Test_{re.sub(r'[^A-Za-z0-9]', '_', claim.vif_type)}"
    return type(name, (base,), {"vif_type": claim.vif_type, "cases": folder})


def _require_json(folder: Path) -> None:
    """Raise NotTestable for a case with a file that is no JSON."""
    for path in sorted(folder.glob("*/*.json")):
        try:
            json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise NotTestable(f"{path} is no JSON: {error}") from None


def _own_cases(base: type[PluginTests], package: str) -> Path:
    """Return the folder of a distribution's own cases, beside its package's modules."""
    return Path(str(importlib.import_module(package).__path__[0])) / base.cases
