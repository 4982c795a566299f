# SPDX-License-Identifier: Apache-2.0
"""The application: global options, configuration, logging, and which commands there are."""

from __future__ import annotations

import argparse
import logging
import os
import stat
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import NoReturn

import cliff.app
from cliff.commandmanager import CommandManager
from oslo_config import cfg

import vifplug
from vifplug.cli import REFUSED
from vifplug.cli.streams import printable
from vifplug.errors import meant

COMMANDS = {
    "apply": "apply:Apply",
    "attach": "attach:Attach",
    "check": "check:Check",
    "conformance": "conformance:Conformance",
    "define": "define:Define",
    "demo": "demo:Demo",
    "detach": "detach:Detach",
    "doctor": "doctor:Doctor",
    "export": "export:Export",
    "gc": "gc:Gc",
    "libvirt-hook": "libvirt_hook:LibvirtHook",
    "list": "list:List",
    "metrics": "metrics:MetricsCommand",
    "new-plugin": "new_plugin:NewPlugin",
    "plan": "plan:Plan",
    "plug": "plug:Plug",
    "plugins": "plugins:Plugins",
    "schema": "schema:Schema",
    "show": "show:Show",
    "topology": "topology:TopologyCommand",
    "unplug": "unplug:Unplug",
    "watch": "watch:Watch",
    "xml": "xml:Xml",
}
"""A table, since looking for entry points in all that is installed takes longer than a command."""


_MOST = 1 << 20
"""Bytes of a configuration file."""


_STAMPED = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_LIBRARIES = ("stevedore", "oslo", "oslo_privsep", "oslo_config", "cliff")
"""Whose own lines are left out, unless --debug asks for them."""

_UNKNOWN = "unrecognized arguments: "
"""How argparse begins to complain of an option that a command does not have."""

_JOURNAL = Path("/run/systemd/journal/dev-log")


class _Commands(CommandManager):
    def _load_commands(self) -> None:
        self.commands = {
            name: EntryPoint(name, f"vifplug.cli.{place}", "vifplug.cli")
            for name, place in COMMANDS.items()
        }


class _Words(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        # Here too, because a progress bar lets control characters pass.
        return printable(f"{record.levelname.lower()}: {super().format(record)}")


class App(cliff.app.App):
    """``vifplug`` itself."""

    NAME = "vifplug"

    def __init__(self) -> None:
        super().__init__(
            description="Connect virtual machines to networks: VIFs in, ports and libvirt XML out.",
            version=vifplug.__version__,
            command_manager=_Commands("vifplug.commands"),  # a name, for cliff before 4.13
            deferred_help=True,  # else --help after a command is not the command's
        )

    def build_option_parser(
        self,
        description: str | None,
        version: str | None,
        argparse_kwargs: dict[str, object] | None = None,
    ) -> argparse.ArgumentParser:
        """Return cliff's parser with ``--config-file``."""
        more = {"prog": self.NAME, **(argparse_kwargs or {})}
        parser = super().build_option_parser(description, version, more)
        one_line(parser)
        parser.add_argument(
            "--config-file",
            action="append",
            default=[],
            metavar="FILE",
            help="oslo.config file, may be repeated (default: /etc/vifplug/vifplug.conf if there)",
        )
        return parser

    @property
    def verbose(self) -> bool:
        """Whether ``-v`` or ``--debug`` asks for tracebacks and the log."""
        return bool(self.options.debug or self.options.verbose_level > self.DEFAULT_VERBOSE_LEVEL)

    def configure_logging(self) -> None:
        """Send warnings to standard error, one line each; with -v everything, with -q errors.

        A log file and the journal also get what became of each VIF.
        """
        logging.raiseExceptions = False  # a log file on a full disk is no reason for a traceback
        quiet = self.options.verbose_level == 0
        shown = logging.DEBUG if self.verbose else logging.ERROR if quiet else logging.WARNING
        kept = logging.DEBUG if self.verbose else logging.INFO
        screen = _prepared(logging.StreamHandler(sys.stderr), shown, _Words())
        handlers = [screen, *self._log_file(kept), *_journal(logging.INFO)]
        logging.basicConfig(handlers=handlers, level=logging.NOTSET, force=True)
        logging.getLogger().setLevel(min(handler.level for handler in handlers))
        if not self.options.debug:
            for library in _LIBRARIES:
                logging.getLogger(library).setLevel(logging.WARNING)

    def _log_file(self, level: int) -> list[logging.Handler]:
        name = self.options.log_file
        if not name:
            return []
        try:
            return [_prepared(logging.FileHandler(name), level, logging.Formatter(_STAMPED))]
        except OSError as error:
            self.parser.error(f"--log-file {name}: {error.strerror}")

    def run_subcommand(self, argv: list[str]) -> int:
        """Run one command; unlike cliff, complain on standard error."""
        if argv[0] == "help" and len(argv) > 1:
            argv = [argv[1], "--help"]
        if argv[0].startswith("-"):
            words = f"{argv[0]} stands after the command, as in: vifplug list {argv[0]} ..."
            print(f"vifplug: {words} (vifplug --help has the options before it)", file=sys.stderr)
            return REFUSED
        if argv[0] not in (*COMMANDS, "help", "complete"):
            known = f"known: {', '.join(COMMANDS)}{meant(argv[0], COMMANDS)}"
            print(f"vifplug: no command {argv[0]!r}; {known}", file=sys.stderr)
            return REFUSED
        return int(super().run_subcommand(argv))

    def initialize_app(self, argv: list[str]) -> None:
        """Read the configuration. Ends the program with 2 where it can't be read."""
        if self.options.deferred_help or argv[:1] == ["help"]:
            return
        if not argv:
            self.parser.error(f"a command is missing; known: {', '.join(COMMANDS)}")
        if argv[0] == "demo":  # it sees nothing of the machine's own
            cfg.CONF([], default_config_files=[], default_config_dirs=[], use_env=False)
            return
        files = self.options.config_file or None
        try:
            for name in self.options.config_file:
                _look_at(name)
            # In the process' own CONF: the privileged daemon is started with the same files.
            cfg.CONF([], project="vifplug", default_config_files=files)
        except (cfg.Error, OSError, ValueError) as error:
            self.parser.exit(REFUSED, f"vifplug: configuration: {_one_line(error)}\n")


def _prepared(
    handler: logging.Handler, level: int, formatter: logging.Formatter
) -> logging.Handler:
    handler.setLevel(level)
    handler.setFormatter(formatter)
    return handler


def _journal(level: int) -> list[logging.Handler]:
    """Return the way to the journal where there is one, and standard error does not go there."""
    if "JOURNAL_STREAM" in os.environ or not _JOURNAL.is_socket():
        return []
    from logging.handlers import SysLogHandler

    try:
        handler = SysLogHandler(str(_JOURNAL), SysLogHandler.LOG_DAEMON)
    except OSError:
        return []
    handler.ident = "vifplug: "
    return [_prepared(handler, level, logging.Formatter("%(message)s"))]


def one_line(parser: argparse.ArgumentParser) -> None:
    """Have a parser complain in one line, instead of with all of its usage before it."""

    def error(message: str) -> NoReturn:
        if message.startswith(_UNKNOWN):
            word = message.removeprefix(_UNKNOWN).split()[0]
            message += meant(word, parser._option_string_actions)
        if _asks_for_json():
            from vifplug.cli.command import no_vif

            print(no_vif(message, "Usage"))
        parser.exit(REFUSED, f"{parser.prog}: {message} (see {parser.prog} --help)\n")

    parser.error = error  # type: ignore[method-assign]


def _asks_for_json() -> bool:
    """Whether the command line, which is malformed, asks for output for programs."""
    words = " ".join(sys.argv[1:])
    return any(each in words for each in ("-f json", "-fjson", "--format json", "--format=json"))


def _look_at(name: str) -> None:
    """Refuse a file that oslo.config would read for ever, or not name. Raises ValueError."""
    try:
        mode = Path(name).stat().st_mode if name else 0
        if stat.S_ISFIFO(mode) or name == os.devnull:
            return
        if not stat.S_ISREG(mode):
            raise ValueError(f"{name!r}: not a file")
        with Path(name).open("rb") as file:
            raw = file.read(_MOST + 1)
        if len(raw) > _MOST:
            raise ValueError(f"{name}: larger than {_MOST >> 20} MiB")
        raw.decode()
    except OSError as error:
        raise ValueError(f"{name}: {error.strerror}") from None
    except UnicodeError as error:
        raise ValueError(f"{name}: not UTF-8 ({error})") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
