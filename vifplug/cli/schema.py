# SPDX-License-Identifier: Apache-2.0
"""``vifplug schema``: the JSON Schema of a VIF of one type."""

from __future__ import annotations

import argparse

from vifplug.cli import DONE
from vifplug.cli.command import Command
from vifplug.errors import NO_VIF
from vifplug.model.vif import ALIASES
from vifplug.registry import Registry


class Schema(Command):
    """Print the JSON Schema (2020-12) of a VIF of a type."""

    formats = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("vif_type", metavar="VIF_TYPE")

    def act(self, arguments: argparse.Namespace) -> int:
        vif_type = ALIASES.get(arguments.vif_type, arguments.vif_type)
        plugin = Registry().plugin(vif_type, vif_id=NO_VIF)
        self.print_json(plugin.schema(vif_type))
        return DONE
