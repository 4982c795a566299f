# SPDX-License-Identifier: Apache-2.0
"""Runs the suite on other stacks.

``python -m tests.stacks trixie sid+pypi`` runs the important part on both: on Debian's own oslo,
cliff and others, and on the newest of PyPI. ``here`` is this machine, with this Python.
``--all`` runs the whole suite. ``--table`` runs nothing: it writes the tables of docs/vif-types.md
from the newest outcome of each test on these stacks.
Arguments after ``--`` are pytest's, instead of the important part.
"""

from __future__ import annotations

import argparse
import sys
import time

from tests.stacks import roots, table
from tests.stacks.families import IMPORTANT, WHOLE
from tests.stacks.runs import STACKS, NoRun, keep, kept, run


def main(argv: list[str]) -> int:
    """Run what is asked, and return 0 if all tests passed."""
    at = argv.index("--") if "--" in argv else len(argv)
    parser = argparse.ArgumentParser(prog="python -m tests.stacks", description=__doc__)
    parser.add_argument("stacks", nargs="+", choices=STACKS, metavar="STACK")
    parser.add_argument("--all", action="store_true", help="the whole suite")
    parser.add_argument("--table", action="store_true", help="write the table of the documents")
    parser.add_argument("--timeout", type=float, default=7200)
    asked = parser.parse_args(argv[:at])
    selection = argv[at + 1 :] or (WHOLE if asked.all else ["-q", *IMPORTANT])
    failed = False
    if asked.table:
        table.write([kept(STACKS[name]) for name in asked.stacks])
        return 0
    for stack in (STACKS[name] for name in asked.stacks):
        began = time.monotonic()
        try:
            ran = run(stack, selection, timeout=asked.timeout, shown=True)
        except (NoRun, roots.NoRoot) as error:
            print(f"{stack.name}: {error}", file=sys.stderr)
            failed = True
            continue
        print(f"{stack.name}: {ran.counted}, {time.monotonic() - began:.0f} s, {ran.versions}")
        failed |= ran.status != 0
        keep(ran)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
