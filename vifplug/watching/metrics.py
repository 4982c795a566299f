# SPDX-License-Identifier: Apache-2.0
"""What the host has plugged, as metrics for Prometheus. Needs the extra ``vifplug[metrics]``."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from vifplug.driver import GenericVIFDriver
from vifplug.errors import VifplugError
from vifplug.plan.inventory import Inventory
from vifplug.watching.watcher import Counts

_STATES = ("up", "down", "off", "unattached", "drift", "orphan")


class Metrics:
    """A collector for a registry of prometheus_client: it looks at the host when it is asked.

    ``complaints`` are what could not be read at the last look.
    """

    def __init__(
        self,
        driver: GenericVIFDriver,
        *,
        timeout: float | None = None,
        counts: Counts | None = None,
    ) -> None:
        """``counts`` are those of a watch, where one runs."""
        self._driver, self._timeout, self._counts = driver, timeout, counts
        self._one_at_a_time = threading.Lock()
        self.complaints: list[str] = []

    def collect(self) -> Iterator[Any]:
        """Yield the families of metrics."""
        with self._one_at_a_time:
            began = time.monotonic()
            found = self._driver.inventory(timeout=self._timeout)
            checked = self._driver.checked(found, timeout=self._timeout)
            self.complaints = [str(failure) for failure in found.failures]
            failed = sum(isinstance(each.plan, VifplugError) for each in checked)
            yield from _families(found, drift=sum(map(bool, checked)), failed=failed)
            if self._counts:
                yield from _counted(self._counts)
            yield _gauge(
                "scrape_seconds", "How long the look took, in seconds.", time.monotonic() - began
            )


def _families(found: Inventory, *, drift: int, failed: int) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    labels = ("vif_type", "process", "state")
    words = "VIFs that this host carries."
    vifs = GaugeMetricFamily("vifplug_vifs", words, labels=labels)
    counts = Counter((vif.vif_type, vif.process or "", vif.state) for vif in found.vifs)
    for vif_type, process in sorted({each[:2] for each in counts}):
        # Also those without a VIF, so that a state that ends falls to 0.
        for state in _STATES:
            vifs.add_metric((vif_type, process, state), counts[vif_type, process, state])
    yield vifs
    if not found.unasked:  # else it is not known which guests there are
        orphans = sum(vif.state == "orphan" for vif in found.vifs)
        yield _gauge("orphans", "VIFs that no guest of this host has.", orphans)
    yield _gauge("drift", "VIFs that are not plugged as asked.", drift)
    yield _gauge("uncompared", "VIFs that could not be compared with the host.", failed)
    words = "Bridges and VLAN devices of ours that no VIF uses."
    yield _gauge("unused_bridges", words, len(found.unused))
    words = "Switches that could not be read: their VIFs are missing here."
    yield _gauge("unread_switches", words, len(found.failures))
    yield _gauge("libvirt_answers", "Whether libvirt tells of its guests.", int(not found.unasked))


def _counted(counts: Counts) -> Iterator[Any]:
    from prometheus_client.core import CounterMetricFamily

    for name, words, value in (
        ("drifts", "Drifts that the watch has told.", counts.drifts),
        ("mended", "Repairs of the watch.", counts.mended),
        ("not_mended", "Repairs of the watch that failed.", counts.failed),
    ):
        yield CounterMetricFamily(f"vifplug_watch_{name}", words, value=value)


def _gauge(name: str, words: str, value: float) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(f"vifplug_{name}", words, value=value)
