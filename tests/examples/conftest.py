# SPDX-License-Identifier: Apache-2.0
"""The distributions in ``examples``, as pip installs them.

Other tests don't see them: one is on sys.path, with its entry points, while a test asks for it.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.thirdparty import installed
from vifplug.plugin import VIFPlugin
from vifplug.testing.cases import Plugins

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@dataclass(frozen=True)
class Example:
    """A distribution that is installed, and its one plugin."""

    folder: Path
    vif_type: str

    def __getattr__(self, module: str) -> ModuleType:
        return importlib.import_module(f"vifplug_{self.vif_type}.{module}")

    @property
    def kind(self) -> type[VIFPlugin]:
        """The plugin's class."""
        found: type[VIFPlugin] = getattr(self.plugin, f"{self.vif_type.capitalize()}Plugin")
        return found

    @property
    def plugins(self) -> Plugins:
        return Plugins({self.vif_type: self.kind})


@pytest.fixture(scope="session")
def folders() -> Iterator[Callable[[str], Path]]:
    """Install an example at its first use; return its folder, which every user may read."""
    found: dict[str, Path] = {}
    with tempfile.TemporaryDirectory(prefix="vifplug-") as space:
        Path(space).chmod(0o755)

        def folder(name: str) -> Path:
            if name not in found:
                package = f"vifplug_{name}"
                (Path(space) / name).mkdir()
                found[name] = installed(EXAMPLES / package, package, Path(space) / name)
            return found[name]

        yield folder


@pytest.fixture
def example(
    request: Any, folders: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> Example:
    """The example that the module's ``EXAMPLE`` names, or a parameter, installed."""
    name = getattr(request, "param", None) or request.module.EXAMPLE
    monkeypatch.syspath_prepend(str(folders(name)))
    return Example(folders(name), name)
