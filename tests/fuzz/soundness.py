# SPDX-License-Identifier: Apache-2.0
"""What the tests require of a run: nothing is found, and not because nothing was done."""

from __future__ import annotations

from tests.fuzz.run import Fuzzer

SEED = "1"
"""Fixed, so that a test can be repeated; ``make fuzz`` takes another one each time."""


def require_nothing_found(way: str, plugin: str, *, count: int, with_switch: bool = False) -> None:
    """Run the first scenarios of the seed; require that all is left as it was."""
    report = Fuzzer(SEED, way, plugin, with_switch=with_switch).run(range(count))
    print(report)
    assert not report.findings, "\n\n".join(str(finding) for finding in report.findings[:5])
    assert report.tried == count
    for outcome in ("done", "refused"):
        assert report.plugs[outcome] >= count // 8, f"hardly any plug is {outcome}: {report}"
    assert report.unplugs["done"] >= count // 2, report
