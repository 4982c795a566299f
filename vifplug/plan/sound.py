# SPDX-License-Identifier: Apache-2.0
"""What a plugin's wiring must be: what the plugin's daemon would take. Pure.

A plan then refuses what a plug would refuse.
"""

from __future__ import annotations

from typing import Any

from vifplug import fields
from vifplug.parts.part import Part, build
from vifplug.plugin import VIFPlugin
from vifplug.wiring import PROCESS, Wiring


def require_sound(wiring: Any, plugin: VIFPlugin) -> None:
    """Raise ValueError for what is no wiring, or for one that no daemon of the plugin takes."""
    if not isinstance(wiring, Wiring):
        raise ValueError(f"wire() returned {type(wiring).__name__}, not a Wiring")
    try:
        PROCESS.check(wiring.process, lenient=False)
    except fields.NotAllowed:
        words = f"the process is {wiring.process!r}; allowed: {PROCESS.allowed}"
        raise ValueError(words) from None
    for part in wiring.parts:
        if not isinstance(part, Part):
            raise ValueError(f"wire() returned the part {type(part).__name__}, which is no Part")
        for words in (part.title, part.detail):
            if not isinstance(words, str):
                raise ValueError(f"part {part.kind}: its title or detail is {words!r}, not text")
        if _built(part, plugin) != part:
            kind = type(part)
            words = "has a field that is not declared, or one that its declaration changes"
            raise ValueError(f"part {part.kind}: {kind.__module__}.{kind.__name__} {words}")


def _built(part: Part, plugin: VIFPlugin) -> Part | None:
    """Return a part as the daemon builds it; None where a field is missing, as if undeclared."""
    try:
        return build(part.to_dict(), plugin.kinds)
    except TypeError:
        return None
