# SPDX-License-Identifier: Apache-2.0
"""``vifplug topology``: a picture of what this host has plugged."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli.command import Command, add_timeout
from vifplug.cli.list import print_tree
from vifplug.driver import GenericVIFDriver

if TYPE_CHECKING:
    from vifplug.picture.graph import Pictured

LOG = logging.getLogger(__name__)

TREE = "tree"
DRAWN = (TREE, "dot", "svg", "html")
_READABLE = 0o644


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the option that names the picture's file."""
    words = "write this file in one step instead; its ending tells how to draw, without --draw"
    parser.add_argument("-o", "--output", metavar="FILE", help=words)


def title() -> str:
    """Return the title of a picture of this host."""
    import platform

    return f"vifplug on {platform.node() or 'this host'}"


class TopologyCommand(Command):
    """Draw what this host has plugged: uplinks, VLANs, bridges, patches, devices and guests."""

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "how to draw: a tree of text (default), text for Graphviz, SVG, or an HTML page"
        parser.add_argument("--draw", choices=DRAWN, help=words)
        add_output(parser)
        add_timeout(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        if arguments.format == "json" and (arguments.draw or arguments.output):
            print("vifplug topology: -f json draws no picture", file=sys.stderr)
            return REFUSED
        driver = GenericVIFDriver()
        try:
            found = driver.topology(timeout=arguments.timeout)
        finally:
            driver.close()
        if arguments.format == "json":
            self.print_json({**found.to_dict(), "title": title()})
        else:
            from vifplug.picture.graph import Pictured

            picture = Pictured(title=title(), parts=(("what is plugged", found),))
            draw(picture, how(arguments), arguments.output)
        for text in found.warnings:
            LOG.warning("%s", text)
        return FAILED if found.incomplete else DONE


def how(arguments: argparse.Namespace) -> str:
    """Return how to draw: as asked, else by the ending of the file, else as a tree."""
    ending = Path(arguments.output or "").suffix.removeprefix(".")
    return str(arguments.draw or (ending if ending in DRAWN else TREE))


def draw(picture: Pictured, way: str, file: str | None) -> None:
    """Draw a picture to a file, or to standard output. Raises OSError."""
    text = _text(picture, way)
    if file:
        _write(Path(file), text)
    elif way == TREE:
        print_tree(text)
    else:
        print(text, end="")


def _text(picture: Pictured, way: str) -> str:
    # Each is loaded when it is asked for.
    match way:
        case "dot":
            from vifplug.picture.dot import dot

            return dot(picture)
        case "svg":
            from vifplug.picture.svg import svg

            return svg(picture)
        case "html":
            from vifplug.picture.page import page

            return page(picture)
        case _:
            from vifplug.picture.tree import tree

            return tree(picture)


def _write(path: Path, text: str) -> None:
    """Write a file in one step: a browser that reads it meanwhile sees the old one or the new."""
    import tempfile

    if path.exists() and not path.is_file():  # a device, or a pipe
        path.write_text(text, encoding="utf-8")
        return
    descriptor, fresh = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(descriptor, _READABLE)
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink()
        raise
