# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.fuzz``: hostile scenarios, as many as asked for; 1 where anything was found."""

from __future__ import annotations

import argparse
import json
import logging
import secrets
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from tests.fuzz.run import Fuzzer
from tests.fuzz.scenario import FILE, PARTS

SORTS = {
    "bridge": (PARTS, "bridge", False),
    "vepa": (PARTS, "vepa", False),
    "ovs": (PARTS, "ovs", True),
    "files": (FILE, "", False),
    "ovs-files": (FILE, "", True),
}
"""The way in, the plugin, and whether the host has an Open vSwitch."""

SHARES = {"bridge": 45, "vepa": 15, "ovs": 17, "files": 15, "ovs-files": 8}
"""Of 100 scenarios, so many are of a sort."""

_CHUNK = 400
"""Scenarios of one process: then another one begins, with hosts of its own."""


def worker(sort: str, seed: str, numbers: range) -> dict[str, object]:
    """Carry out some scenarios of a sort in this process; return the report as plain data."""
    logging.getLogger().addHandler(logging.NullHandler())
    way, plugin, with_switch = SORTS[sort]
    report = Fuzzer(seed, way, plugin, with_switch=with_switch).run(numbers)
    findings = [
        {"sort": f.sort, "number": f.number, "scenario": str(f.scenario), "lines": [*f.lines]}
        for f in report.findings
    ]
    return {"tried": report.tried, "hosts": report.hosts, "plugs": report.plugs,
            "unplugs": report.unplugs, "findings": findings}  # fmt: skip


def _chunks(count: int) -> list[tuple[str, range]]:
    """Return the processes to start: the sorts in turn, so that each is soon seen."""
    found = []
    for sort, share in SHARES.items():
        number = max(count * share // 100, 1)
        found += [(at, sort, range(at, min(at + _CHUNK, number)))
                  for at in range(0, number, _CHUNK)]  # fmt: skip
    return [(sort, numbers) for _, sort, numbers in sorted(found, key=lambda each: each[0])]


def _started(sort: str, seed: str, numbers: range) -> dict[str, Any]:
    words = ("--worker", sort, "--seed", seed, "--first", str(numbers.start),
             "--count", str(len(numbers)))  # fmt: skip
    done = subprocess.run((sys.executable, "-m", "tests.fuzz", *words), text=True,
                          stdout=subprocess.PIPE, check=False)  # fmt: skip
    if done.returncode:
        sort_of = f"the fuzzer itself ended with status {done.returncode}"
        finding = {"sort": sort_of, "number": numbers.start, "scenario": sort, "lines": []}
        return {"tried": 0, "hosts": 0, "plugs": {}, "unplugs": {}, "findings": [finding]}
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _words(counter: Counter[str]) -> str:
    return ", ".join(f"{number:,} {word}" for word, number in sorted(counter.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as many scenarios as asked for; print what was found, by sort."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("--worker", choices=tuple(SORTS), help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    seed = given.seed or secrets.token_hex(4)
    if given.worker:
        numbers = range(given.first, given.first + given.count)
        print(json.dumps(worker(given.worker, seed, numbers)))
        return 0
    print(f"seed {seed}", flush=True)
    totals: dict[str, Counter[str]] = defaultdict(Counter)
    findings: list[dict[str, Any]] = []
    start, chunks = time.monotonic(), _chunks(given.count)
    with ThreadPoolExecutor(given.jobs) as pool:
        running = {pool.submit(_started, sort, seed, n): sort for sort, n in chunks}
        for done in as_completed(running):
            sort, found = running[done], done.result()
            for word in ("plugs", "unplugs"):
                totals[f"{sort} {word}"].update(found[word])
            totals[sort].update(scenarios=found["tried"], hosts=found["hosts"])
            known = {each["sort"] for each in findings}
            for each in found["findings"]:
                if each["sort"] not in known:
                    known.add(each["sort"])
                    _show(each)
            findings += found["findings"]
    for sort in SORTS:
        plugs, unplugs = totals[f"{sort} plugs"], totals[f"{sort} unplugs"]
        print(f"{sort:10} {_words(totals[sort])}; plugs: {_words(plugs)}; "
              f"unplugs: {_words(unplugs)}")  # fmt: skip
    tried = sum(totals[sort]["scenarios"] for sort in SORTS)
    took = time.monotonic() - start
    print(f"{tried:,} scenarios in {took:,.0f} s, seed {seed}: {len(findings)} findings")
    for sort, number in Counter(each["sort"] for each in findings).most_common():
        print(f"{number:6}  {sort}")
    return 1 if findings else 0


def _show(finding: dict[str, Any]) -> None:
    print(f"\n{finding['sort']}\n  {finding['number']}: {finding['scenario']}")
    print("".join(f"    {line}\n" for line in finding["lines"][:12]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
