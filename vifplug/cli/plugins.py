# SPDX-License-Identifier: Apache-2.0
"""``vifplug plugins``: every plugin with its vif_types; a broken one with its error."""

from __future__ import annotations

import argparse

from oslo_config import cfg

from vifplug import opts
from vifplug.cli import DONE
from vifplug.cli.command import Command
from vifplug.registry import Registry


class Plugins(Command):
    """Print every installed plugin: vif_type, state, distribution, class, and what is wrong."""

    def act(self, arguments: argparse.Namespace) -> int:
        group = opts.register(cfg.CONF)
        claims = Registry(pinned=lambda: group.claims or {}).claims()
        if arguments.format == "json":
            self.print_json([claim.to_dict() for claim in claims])
            return DONE
        widths = [max((len(c.vif_type) for c in claims), default=0), 12]
        widths.append(max((len(c.source) for c in claims), default=0))
        for claim in claims:
            words = zip((claim.vif_type, claim.state, claim.source), widths, strict=True)
            print("  ".join(word.ljust(width) for word, width in words), claim.class_name, sep="  ")
            if claim.error:
                print(f"{'':{widths[0]}}  {claim.error}")
        return DONE
