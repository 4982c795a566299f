# SPDX-License-Identifier: Apache-2.0
"""What vifplug's suite must know of this plugin: see ``vifplug conformance --help``."""

from __future__ import annotations

from typing import ClassVar

from vifplug import VIF
from vifplug.testing.conformance import Drift, PluginTests, Scene


def answers_no_more(scene: Scene, vif: VIF) -> None:
    """Take back what the plugin has set, as another program might."""
    (tap,) = scene.devices(vif)
    scene.host.run("sysctl", "-qw", f"net.ipv4.conf.{tap}.proxy_arp=0")


class Test<< name >>(PluginTests):
    """The suite, with the cases in the folder ``cases``."""

    vif_type = "<< vif_type >>"
    drifts: ClassVar[dict[str, Drift]] = {"proxy_arp off": answers_no_more}
