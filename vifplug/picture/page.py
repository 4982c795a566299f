# SPDX-License-Identifier: Apache-2.0
"""A picture as one HTML page, which needs nothing else: no file, no network. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator

from vifplug.picture.graph import STATES, Pictured
from vifplug.picture.style import of_a_page, read
from vifplug.picture.svg import meanings, part, sign
from vifplug.picture.text import escaped

_KEYS = (
    ("/", "search"),
    ("Enter", "next found"),
    ("n p", "next and previous ill VIF"),
    ("arrows", "move"),
    ("Esc", "clear"),
)


def page(picture: Pictured) -> str:
    """Return a picture as a page. Its policy lets only its own style sheet and script work."""
    style, script = of_a_page(), read("page.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{escaped(policy)}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escaped(picture.title)}</title>",
            f"<style>{style}</style></head>",
            "<body>",
            *_header(picture),
            "<main>",
            *_parts(picture),
            "</main>",
            *_footer(picture),
            '<aside aria-live="polite"></aside><div id="marks" aria-hidden="true"></div>',
            f"<script>{script}</script>",
            "</body></html>\n",
        ]
    )


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"


def _header(picture: Pictured) -> Iterator[str]:
    yield f"<header><div><h1>{escaped(picture.title)}</h1>"
    if len(picture.parts) == 1:
        yield f'<span class="summary">{escaped(picture.parts[0][1].summary)}</span>'
    yield '<span class="grow"></span><span id="found" role="status"></span>'
    yield (
        '<input type="search" placeholder="guest, MAC, id, device …" '
        'aria-label="search" autocomplete="off" spellcheck="false">'
    )
    yield '<button id="theme" type="button">theme: auto</button></div>'
    counted: Counter[str] = Counter()
    for _, topology in picture.parts:
        counted |= topology.counted
    yield '<div class="chips vifplug">'
    for state, words in STATES.items():
        if counted[state]:
            shown = _sign(state)
            yield (f'<button type="button" class="{state}" data-state="{state}" '
                   f'aria-pressed="false" title="{escaped(words)}">{shown}'
                   f"{state} {counted[state]}</button>")  # fmt: skip
    yield "</div>"
    for text in picture.warnings:
        yield f'<p class="warning" role="alert">{escaped(text)}</p>'
    yield "</header>"


def _footer(picture: Pictured) -> Iterator[str]:
    yield '<footer><ul class="vifplug">'
    for word, meaning in meanings(topology for _, topology in picture.parts).items():
        yield f"<li>{_sign(word)} {word}: {escaped(meaning)}</li>"
    keys = " · ".join(f"<kbd>{key}</kbd> {words}" for key, words in _KEYS)
    yield f"</ul><p>{keys}</p></footer>"


def _sign(state: str) -> str:
    return f'<svg viewBox="-8 -8 16 16" aria-hidden="true">{sign(state)}</svg>'


def _parts(picture: Pictured) -> Iterator[str]:
    for number, (title, topology) in enumerate(picture.parts):
        yield f'<section aria-label="{escaped(title)}">'
        if len(picture.parts) > 1:
            words = f"<small>{escaped(topology.summary)}</small>"
            yield f"<h2>{escaped(title)} {words}</h2>"
        yield f'<div class="paper">{part(topology, f"p{number}-")}</div></section>'
