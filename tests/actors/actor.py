# SPDX-License-Identifier: Apache-2.0
"""Another program of a host, and one thing that it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.actors.scene import Scene
from tests.actors.shapes import SHAPES, Shape


def _nothing(scene: Scene) -> None:
    """Prepare nothing."""


@dataclass(frozen=True, kw_only=True)
class Actor:
    """A program and what it does to a host; ``act`` may be called several times.

    ``act`` returns when the program is done. ``prepare`` is called before the VIF is plugged.
    ``packages`` are the Debian packages that it needs, by name. ``libvirt``: the guest is one of a
    libvirtd. ``misplaces``: it puts the guest in another network. ``once``: a second act does
    nothing.
    """

    name: str
    act: Callable[[Scene], object]
    packages: tuple[str, ...] = ()
    prepare: Callable[[Scene], object] = _nothing
    shapes: tuple[Shape, ...] = SHAPES
    libvirt: bool = False
    misplaces: bool = False
    once: bool = False
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why it can't act on a kind of VIF, by the kind's name."""

    def acts_on(self, shape: Shape) -> bool:
        """Whether it can act on a kind of VIF."""
        return shape in self.shapes

    def why_not(self, shape: Shape) -> str:
        """Return why it can't act on a kind of VIF; nothing where there is nothing to act on."""
        return self.refused.get(shape.name, "")
