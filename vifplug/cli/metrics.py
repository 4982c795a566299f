# SPDX-License-Identifier: Apache-2.0
"""``vifplug metrics``: what this host has plugged, in Prometheus' text format."""

from __future__ import annotations

import argparse
import ipaddress
import sys
from typing import Any

from vifplug.cli import DONE, FAILED
from vifplug.cli.command import Command, add_timeout
from vifplug.driver import GenericVIFDriver
from vifplug.errors import VifplugError
from vifplug.watching.metrics import Metrics

_LOOPBACK = "127.0.0.1"


class NotInstalled(VifplugError):
    """The library for metrics is not installed."""

    def __str__(self) -> str:
        return "prometheus_client is not installed: pip install 'vifplug[metrics]'"


class MetricsCommand(Command):
    """Print how many VIFs this host has, in which state, for Prometheus."""

    formats = False

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        words = "write this file in one step instead, as for node_exporter's textfile collector"
        parser.add_argument("-o", "--output", metavar="FILE", help=words)
        add_timeout(parser)

    def act(self, arguments: argparse.Namespace) -> int:
        metrics = Metrics(GenericVIFDriver(), timeout=arguments.timeout)
        registry = registry_of(metrics)
        from prometheus_client import generate_latest, write_to_textfile

        if arguments.output:
            write_to_textfile(arguments.output, registry)
        else:
            print(generate_latest(registry).decode(), end="")
        for complaint in metrics.complaints:
            print(f"warning: {complaint}: its VIFs are missing here", file=sys.stderr)
        return FAILED if metrics.complaints else DONE


def registry_of(metrics: Metrics) -> Any:
    """Return a registry with these metrics only. Raises NotInstalled."""
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise NotInstalled from None
    registry = CollectorRegistry()
    registry.register(metrics)
    return registry


def serve(metrics: Metrics, listen: tuple[str, int]) -> None:
    """Serve metrics over HTTP, in a thread of its own. Raises NotInstalled, OSError."""
    registry = registry_of(metrics)
    from prometheus_client import start_http_server

    address, port = listen
    start_http_server(port, addr=address, registry=registry)


def listening(text: str) -> tuple[str, int]:
    """Return an address and a port; without an address, loopback's. Raises ArgumentTypeError."""
    address, _, port = text.rpartition(":")
    try:
        host = ipaddress.ip_address(address.strip("[]") or _LOOPBACK)
        if not 0 < int(port) < 1 << 16:
            raise ValueError
    except ValueError:
        words = f"{text!r} is no PORT, IPv4:PORT or [IPv6]:PORT"
        raise argparse.ArgumentTypeError(words) from None
    return str(host), int(port)
