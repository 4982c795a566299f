# SPDX-License-Identifier: Apache-2.0
"""The colours and the style sheets of pictures, light and dark. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from string import Template

LIGHT: Mapping[str, str] = {
    "paper": "#ffffff", "ink": "#1b1f24", "faint": "#5d6673", "wire": "#aab2be",
    "stripe": "#eef4ff", "panel": "#f6f8fa", "edge": "#d5dae1", "lit": "#ffe9a8",
    "uplink": "#e6edf8", "vlan": "#ecebfb", "bridge": "#e3f3ee", "switch": "#f4eafa",
    "patch": "#f3f4f6", "port": "#ffffff", "guest": "#fdf6e7",
    "up": "#177245", "down": "#8f5200", "off": "#5d6673", "unattached": "#1d5fd6",
    "unwired": "#7a35d8", "drift": "#c2410c", "orphan": "#b5123e", "focus": "#0b62d6",
}  # fmt: skip

DARK: Mapping[str, str] = {
    "paper": "#12151a", "ink": "#e7eaef", "faint": "#9aa4b2", "wire": "#4b5564",
    "stripe": "#1a2433", "panel": "#1a1e25", "edge": "#323a46", "lit": "#5a4a12",
    "uplink": "#1d2a40", "vlan": "#27264a", "bridge": "#16332b", "switch": "#33203f",
    "patch": "#23272e", "port": "#1a1e25", "guest": "#2f2917",
    "up": "#4cc38a", "down": "#e3a83f", "off": "#9aa4b2", "unattached": "#74acff",
    "unwired": "#bb9bff", "drift": "#ff8f52", "orphan": "#ff7391", "focus": "#8cc2ff",
}  # fmt: skip


def read(name: str) -> str:
    """Return a file of this package."""
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def of_a_file() -> str:
    """Return the style sheet of an SVG file: not every viewer of these knows variables."""
    sheet = Template(read("picture.css"))
    dark = sheet.substitute(DARK)
    return f"{sheet.substitute(LIGHT)}@media (prefers-color-scheme: dark) {{\n{dark}}}\n"


def of_a_page() -> str:
    """Return the style sheet of a page, on which a person may choose light or dark."""
    light, dark = (
        "".join(f"--{name}:{colour};" for name, colour in each.items()) for each in (LIGHT, DARK)
    )
    names = {name: f"var(--{name})" for name in LIGHT}
    return "\n".join(
        [
            f":root{{color-scheme:light;{light}}}",
            f"@media (prefers-color-scheme: dark){{:root{{color-scheme:dark;{dark}}}}}",
            f":root[data-theme=light]{{color-scheme:light;{light}}}",
            f":root[data-theme=dark]{{color-scheme:dark;{dark}}}",
            Template(read("picture.css")).substitute(names),
            Template(read("page.css")).substitute(names),
        ]
    )
