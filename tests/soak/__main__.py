# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.soak``: the long run and the crowd; 1 where anything leaked or was left."""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import secrets
import sys
from collections.abc import Sequence

from tests.soak import crowd, cycles
from tests.soak.hosts import PLUGINS, soak_host
from vifplug.testing.configured import context_of, emptied
from vifplug_bridge.plugin import BridgePlugin
from vifplug_ovs.plugin import OvsPlugin

RUNS = {"bridge": BridgePlugin, "hybrid": OvsPlugin}
"""The ways in which a VIF is plugged and unplugged, and the plugin of each."""


def long_runs(bridge: int, hybrid: int) -> list[str]:
    """Carry out so many cycles of each way; print what they took, and return what was wrong."""
    wrong = []
    with soak_host() as host, emptied(*PLUGINS) as driver:
        for way, count in (("bridge", bridge), ("hybrid", hybrid)):
            if count:
                found = cycles.run(driver, RUNS[way], way, count)
                print(found, flush=True)
                wrong += found.leaks
        wrong += [f"left: {line}" for line in host.left()]
    return wrong


def a_crowd(processes: int, seconds: float, seed: str) -> list[str]:
    """Have a crowd call for so long; print what it did, and return what was wrong."""
    with soak_host() as host:
        for context in map(context_of, PLUGINS):
            context.stop()  # each process of the crowd starts daemons of its own
        report = crowd.crowd(processes, seconds, seed)
        print(f"{processes} processes for {seconds:g} s, seed {seed}: {report}", flush=True)
        with emptied(*PLUGINS):
            pass
        return [*report.unexplained, *(f"left: {line}" for line in host.left())]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; print what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--bridge", type=int, default=20_000, help="cycles of bridge")
    parser.add_argument("--hybrid", type=int, default=5_000, help="cycles of hybrid")
    parser.add_argument("--processes", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the crowd calls")
    parser.add_argument("--seed", default="")
    given = parser.parse_args(arguments)
    # The crowd has what its parent has configured. Python 3.14 forks no more by itself.
    multiprocessing.set_start_method("fork", force=True)
    logging.getLogger().addHandler(logging.NullHandler())
    wrong = []
    if given.bridge or given.hybrid:
        wrong += long_runs(given.bridge, given.hybrid)
    if given.seconds:
        wrong += a_crowd(given.processes, given.seconds, given.seed or secrets.token_hex(4))
    for line in wrong:
        print(line)
    print(f"{len(wrong)} findings")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
