# SPDX-License-Identifier: Apache-2.0
"""Names in pictures: any text may be one, also markup. Pure."""

from __future__ import annotations

import re
import unicodedata

_NO_LETTER = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
"""What XML has no place for, and what would change the order of the letters around it."""


_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


def plain(text: str) -> str:
    """Return a text of one line, with everything written out that is no letter."""
    return _NO_LETTER.sub(lambda found: ascii(found[0])[1:-1], text)


def escaped(text: str) -> str:
    """Return a text as it stands in XML and HTML, in an element or in an attribute."""
    return plain(text).translate(_MARKUP)


def width(text: str) -> int:
    """Return how many columns a text takes: some letters take two."""
    return sum(1 + (unicodedata.east_asian_width(letter) in "FW") for letter in text)


def cut(text: str, columns: int) -> str:
    """Return a text that takes some columns at most."""
    found = plain(text)
    if width(found) <= columns:
        return found
    while width(found) >= columns:
        found = found[:-1]
    return f"{found}…"
