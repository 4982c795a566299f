# SPDX-License-Identifier: Apache-2.0
"""What every command shares: how errors end it, and the two forms of its output."""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from typing import Any, ClassVar

import cliff.command
from oslo_config import cfg

from vifplug.cli import FAILED, REFUSED
from vifplug.cli.app import App, one_line
from vifplug.errors import VifplugError


class Command(cliff.command.Command):
    """A command. ``act`` does it and returns the exit status."""

    app: App
    formats: ClassVar[bool] = True

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
        try:
            return self.act(parsed_args)
        except VifplugError as error:
            self.complain(error)
            return error.exit_status
        except cfg.Error as error:
            print(f"vifplug: configuration: {' '.join(str(error).split())}", file=sys.stderr)
            return REFUSED
        except OSError as error:  # VIFs and the host have errors of our own: a full /tmp, say
            print(f"vifplug: {' '.join(str(error).split())}", file=sys.stderr)
            self._trace(error)
            return FAILED
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())
            print(f"vifplug: this is a bug: {words} (-v shows where)", file=sys.stderr)
            self._trace(error)
            return FAILED

    def complain(self, error: VifplugError, vif_id: str = "") -> None:
        """Write an error on standard error, one line that names the VIF; with -v its origin."""
        words = " ".join(str(error).split())
        about = f"VIF {vif_id}: " if vif_id and vif_id not in words else ""
        print(f"error: {about}{words}", file=sys.stderr)
        self._trace(error)

    def _trace(self, error: Exception) -> None:
        if self.app.verbose:
            traceback.print_exception(error, file=sys.stderr)

    @staticmethod
    def print_json(data: Any) -> None:
        """Print data for programs."""
        print(json.dumps(data, indent=2))
