# SPDX-License-Identifier: Apache-2.0
"""The Novas that the tests run, each with our wheels, once a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nova import environments
from tests.nova.environments import Environment


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of this tree."""
    return environments.built(tmp_path_factory.mktemp("nova-wheels"))


def _nova(release: int, wheels: list[Path], *names: str) -> Iterator[Environment]:
    """Yield a Nova with those of our wheels whose names begin so, or all."""
    ours = [wheel for wheel in wheels if wheel.name.startswith(names or "")]
    with environments.copied(environments.made(release), ours) as found:
        yield found


@pytest.fixture(scope="session")
def nova34(wheels: list[Path]) -> Iterator[Environment]:
    """Nova 34.0.0 with all of ours."""
    yield from _nova(34, wheels)


@pytest.fixture(scope="session")
def nova34_alone(wheels: list[Path]) -> Iterator[Environment]:
    """Nova 34.0.0 with our driver and no plugin."""
    yield from _nova(34, wheels, "vifplug-", "vifplug_nova-")


@pytest.fixture(scope="session")
def nova20() -> Path:
    """Nova 20.6.1, the last with a firewall, without what it needs."""
    return environments.old("20.6.1")


@pytest.fixture(scope="session")
def nova33_bridge(wheels: list[Path]) -> Iterator[Environment]:
    """Nova 33.0.2 after ``pip install vifplug_bridge``, and nothing else of ours."""
    yield from _nova(33, wheels, "vifplug-", "vifplug_bridge-")


@pytest.fixture(scope="session")
def nova33(wheels: list[Path]) -> Iterator[Environment]:
    """Nova 33.0.2, the last that knows Linux bridges, with all of ours."""
    yield from _nova(33, wheels)
