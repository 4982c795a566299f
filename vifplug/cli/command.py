# SPDX-License-Identifier: Apache-2.0
"""What every command shares: how errors end it, and the two forms of its output."""

from __future__ import annotations

import argparse
import json
import logging
import math
import sys
import traceback
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import cliff.command
from oslo_config import cfg

from vifplug.cli import FAILED, REFUSED
from vifplug.cli.app import App, one_line
from vifplug.cli.configuration import Configuration
from vifplug.errors import NO_VIF, VifplugError
from vifplug.fields import UUID

LOG = logging.getLogger(__name__)

BLANK: Mapping[str, Any] = {
    "id": None,
    "vif_type": None,
    "process": None,
    "changed": False,
    "devices": [],
    "made": [],
    "removed": [],
    "error": None,
}
"""What programs read of a VIF of which nothing is known."""


class Warnings(logging.Handler):
    """Keeps the warnings of one command."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._texts.append(record.getMessage())

    def about(self, vif_id: str | None) -> list[str]:
        """Return the warnings of one VIF, without its name, and those of no VIF at all."""
        start = f"VIF {vif_id}: "
        return [
            text.removeprefix(start)
            for text in self._texts
            if text.startswith(start) or not text.startswith("VIF ")
        ]


def problem(error: Exception, *, file: str | None = None) -> dict[str, Any]:
    """Return an error for programs; ``file`` holds the VIF."""
    known = VifplugError().problem | {"class": type(error).__name__}
    found = error.problem if isinstance(error, VifplugError) else known
    return {**found, "file": file}


def failed(error: Exception, *, file: str | None = None) -> dict[str, Any]:
    """Return the object of a VIF that could not be read, or of no VIF in particular."""
    vif_id = getattr(error, "vif_id", NO_VIF)
    return {
        **BLANK,
        "id": vif_id if UUID.pattern.fullmatch(vif_id) else None,
        "error": " ".join(str(error).split()),
        "problem": problem(error, file=file),
    }


def no_vif(words: str, kind: str) -> str:
    """Return the document of a command that ended before it knew any VIF."""
    named = {**problem(VifplugError()), "class": kind}
    return json.dumps([{**BLANK, "error": words, "warnings": [], "problem": named}], indent=2)


LONGEST = 3600.0
"""Seconds that a command may be given."""


def seconds(text: str) -> float:
    """Return a time-out in seconds. Raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds up to {LONGEST:.0f}")
    return value


def add_timeout(parser: argparse.ArgumentParser) -> None:
    """Add the option of the commands that take their time."""
    words = "how long it may take, instead of the configured timeout"
    parser.add_argument("--timeout", type=seconds, metavar="SECONDS", help=words)


class Command(cliff.command.Command):
    """A command. ``act`` does it and returns the exit status."""

    app: App
    formats: ClassVar[bool] = True
    reads_configuration: ClassVar[bool] = True

    def __init__(self, app: App, app_args: argparse.Namespace | None) -> None:
        # Without a name, because cliff would look for hooks in all that is installed.
        super().__init__(app, app_args)

    def get_epilog(self) -> str:
        """Return what stands below the help."""
        # Not cliff's, which reads all that is installed to name the command's distribution.
        return ""

    @cached_property
    def warnings(self) -> Warnings:
        """What was warned of since the command began, where programs read the output."""
        return Warnings()

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        one_line(parser)
        if self.formats:
            words = "text for people (default) or json for programs"
            parser.add_argument(
                "-f", "--format", choices=("text", "json"), default="text", help=words
            )
        self.arguments(parser)
        return parser

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's own arguments."""

    def act(self, arguments: argparse.Namespace) -> int:
        """Do it; return the exit status. Raises VifplugError."""
        raise NotImplementedError

    def take_action(self, parsed_args: argparse.Namespace) -> int:
        as_json = getattr(parsed_args, "format", "") == "json"
        if as_json:
            logging.getLogger().addHandler(self.warnings)
        try:
            if self.reads_configuration:
                self._warn_of_mistakes()
            return self.act(parsed_args)
        except Exception as error:
            if isinstance(error, cfg.Error):
                error.msg = Configuration(cfg.CONF).in_words(error)
            status = self._ended_by(error)
            if as_json:
                self.print_rows([failed(error)])
            return status
        finally:
            logging.getLogger().removeHandler(self.warnings)

    @staticmethod
    def _warn_of_mistakes() -> None:
        for mistake in Configuration(cfg.CONF).mistakes():
            LOG.warning("%s", mistake)

    def _ended_by(self, error: Exception) -> int:
        """Tell of the error that ended the command; return the exit status."""
        words = " ".join(str(error).split())
        match error:
            case VifplugError():
                self.complain(error)
                return error.exit_status
            case cfg.Error():
                print(f"vifplug: configuration: {words}", file=sys.stderr)
                return REFUSED
            case OSError():  # VIFs and the host have errors of our own: a full /tmp, say
                print(f"vifplug: {words}", file=sys.stderr)
            case _:
                words = f"{type(error).__name__}: {words}"
                print(f"vifplug: this is a bug: {words} (-v shows where)", file=sys.stderr)
        self._trace(error)
        return FAILED

    def complain(self, error: VifplugError, vif_id: str = "", *, file: str = "") -> None:
        """Write an error on standard error, one line that names the VIF; with -v its origin.

        ``file`` holds the VIF.
        """
        words = " ".join(str(error).split())
        about = f"VIF {vif_id}: " if vif_id and vif_id not in words else ""
        in_file = file not in ("", "-") and file not in words
        held_by = f"{' '.join(file.split())}: " if in_file else ""
        print(f"error: {held_by}{about}{words}", file=sys.stderr)
        self._trace(error)

    def _trace(self, error: Exception) -> None:
        if self.app.verbose:
            traceback.print_exception(error, file=sys.stderr)

    def print_rows(self, rows: Sequence[dict[str, Any]]) -> None:
        """Print an object for each VIF, with its warnings and its problem, for programs."""
        self.print_json(
            [
                {
                    **row,
                    "warnings": [*row.get("warnings", ()), *self.warnings.about(row["id"])],
                    "problem": row.get("problem"),
                }
                for row in rows
            ]
        )

    @staticmethod
    def print_json(data: Any) -> None:
        """Print data for programs."""
        print(json.dumps(data, indent=2))
