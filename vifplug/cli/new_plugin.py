# SPDX-License-Identifier: Apache-2.0
"""``vifplug new-plugin``: a third party's distribution, ready to be tested and changed."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import keyword
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import vifplug
from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli.command import Command
from vifplug.fields import WORD
from vifplug.model.vif import ALIASES
from vifplug.plan.compare import step_lines
from vifplug.registry import Registry

TEMPLATE = Path(__file__).with_name("template")
_NAME = re.compile(r"[a-z][a-z0-9_]{1,31}")
_PREFIX = "vifplug_"
_TAP = "tap0b6a9d0e-7a"
"""The tap of the VIF in the template's planning case."""

_SUFFIX, _DOT = ".j2", "dot-"
_PACKAGE = "PACKAGE"
"""The name of the folder that is the package."""


class Refused(Exception):
    """Why there is no such plugin to be made, in one sentence."""


class NewPlugin(Command):
    """Make a folder with a plugin of your own: a distribution that passes the conformance suite."""

    formats = False
    reads_configuration = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", metavar="NAME", help="the package's name, as vifplug_acme")
        parser.add_argument("folder", metavar="DIR", help="a folder that is new, or empty")
        words = "the vif_type (default: NAME without vifplug_)"
        parser.add_argument("--type", metavar="TYPE", help=words)
        words = "the VIFs are ports of a switch that has a database of its own"
        parser.add_argument("--switch", action="store_true", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        if importlib.util.find_spec("jinja2") is None:
            mend = "pip install 'vifplug[new-plugin]'"
            print(f"vifplug: new-plugin needs jinja2: {mend}", file=sys.stderr)
            return FAILED
        name, folder = arguments.name, Path(arguments.folder)
        try:
            words = _words(name, arguments.type, switch=arguments.switch)
            _require_empty(folder)
        except Refused as refused:
            print(f"vifplug: {refused}", file=sys.stderr)
            return REFUSED
        for path, text in _files(words):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        print(f"made {folder}: next, in a virtual environment and as root:")
        print(f"  pip install -e '{folder}[test]' && vifplug conformance {name}")
        return DONE


def _words(name: str, vif_type: str | None, *, switch: bool) -> dict[str, Any]:
    """Return what the template's files say of the plugin. Raises Refused."""
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        allowed = "2 to 32 lower-case letters, digits and _, first a letter"
        raise Refused(f"NAME {name!r} is no name of a package; allowed: {allowed}, as vifplug_acme")
    if name in sys.stdlib_module_names or importlib.util.find_spec(name):
        raise Refused(f"NAME {name} is taken: this Python has a module of that name")
    short = name.removeprefix(_PREFIX)
    vif_type = short if vif_type is None else vif_type
    registry = Registry()
    if not WORD.pattern.fullmatch(vif_type):
        raise Refused(f"vif_type {vif_type!r} is not allowed: {WORD.allowed}; see --type")
    if vif_type in registry.vif_types or vif_type in ALIASES:
        owner = next((c.source for c in registry.claims() if c.vif_type == vif_type), "vifplug")
        raise Refused(f"vif_type {vif_type} is taken: {owner} has it; see --type")
    for claim in registry.claims() if switch else ():
        if claim.plugin and claim.plugin.snapshot and claim.plugin.snapshot.key == short:
            raise Refused(f"NAME {name} is taken: the switch of {claim.source} has the key {short}")
    major, minor = vifplug.__version__.split(".")[:2]
    return {
        "package": name,
        "short": short,
        "vif_type": vif_type,
        "name": "".join(word.capitalize() for word in short.split("_")),
        "switch": switch,
        "plan": _plan(f"{short}-port" if switch else ""),
        "requirement": f"vifplug>={major}.{minor},<{major}.{int(minor) + 1}",
    }


def _plan(port: str) -> list[str]:
    """Return the steps of the template's planning case; ``port`` is the kind of its port, if any.

    Where the lines break depends on that.
    """
    if port:
        second = ("change", port, f"{_TAP} -> blue", f"add port {_TAP}")
    else:
        second = ("change", "sysctl", _TAP, "ipv4.proxy_arp 1")
    steps = (("make", "tap", _TAP, "MTU 1450, IPv6 off"), second)
    width = max(len(kind) for _, kind, _, _ in steps)
    return [line for step in steps for line in step_lines(*step, width)]


def _require_empty(folder: Path) -> None:
    """Raise Refused for a folder that has something, or is none."""
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Refused(f"DIR {folder} is there, and is no folder")
    if folder.exists() and any(folder.iterdir()):
        raise Refused(f"DIR {folder} is there, and is not empty")


def _files(words: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Yield the files of the new folder: where each lies, and its text."""
    import jinja2

    environment = jinja2.Environment(  # noqa: S701 - no HTML
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    for part in ("common", "switch" if words["switch"] else "plain"):
        top = TEMPLATE / part
        for path in sorted(top.rglob(f"*{_SUFFIX}")):
            place = str(path.relative_to(top)).removesuffix(_SUFFIX)
            place = place.replace(_PACKAGE, words["package"]).replace(_DOT, ".")
            yield Path(place), environment.from_string(path.read_text()).render(words)
