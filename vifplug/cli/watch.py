# SPDX-License-Identifier: Apache-2.0
"""``vifplug watch``: tells of each VIF that stops being plugged as asked, and mends it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from vifplug.cli import DONE, FAILED, REFUSED
from vifplug.cli import DRIFT as DIFFERS
from vifplug.cli.command import problem
from vifplug.cli.folder import read_folder
from vifplug.cli.metrics import listening, serve
from vifplug.cli.reading import Given, Invalid
from vifplug.cli.service import Signals, notify, unit
from vifplug.cli.vifs import VIFCommand
from vifplug.driver import GenericVIFDriver
from vifplug.errors import VifplugError
from vifplug.model.vif import VIF
from vifplug.plan.wired import Ready
from vifplug.watching.metrics import Metrics
from vifplug.watching.sources import Sources
from vifplug.watching.vifs import CarriedVIFs, WatchedVIFs
from vifplug.watching.watcher import DRIFT, MENDED, Event, Watcher
from vifplug.watching.watcher import FAILED as NOT_MENDED


class Watch(VIFCommand):
    """Tell of each VIF that differs from its file, as soon as it does, until SIGTERM.

    Without FILE and --dir: of each VIF that this host carries and that differs from its plug.
    """

    tells_host = False
    needs_files = "*"

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        super().arguments(parser)
        words = "a folder of VIFs as apply has it, instead of FILE; read anew on SIGHUP"
        parser.add_argument("--dir", metavar="DIR", type=_folder, help=words)
        words = "plug what differs, at once"
        parser.add_argument("--repair", action="store_true", help=words)
        words = "look at everything once and end: 3 if a VIF differs"
        parser.add_argument("--once", action="store_true", help=words)
        words = "serve metrics over HTTP there; without an address, on loopback only"
        parser.add_argument("--listen", metavar="[ADDRESS:]PORT", type=listening, help=words)
        words = "print a unit of systemd that runs this command, and end"
        parser.add_argument("--unit", action="store_true", help=words)

    def act(self, arguments: argparse.Namespace) -> int:
        if arguments.unit:
            words = [word for word in sys.argv[1:] if word != "--unit"]
            print(unit("tells of VIFs that differ from their files", words), end="")
            return DONE
        if arguments.files and arguments.dir:
            print("vifplug watch: --dir takes no FILE (see vifplug watch --help)", file=sys.stderr)
            return REFUSED
        return super().act(arguments)

    def read(self, arguments: argparse.Namespace) -> list[Given[Ready | VifplugError]]:
        if arguments.dir:
            return read_folder(str(arguments.dir), self.checked, {})
        return super().read(arguments)

    def act_on(self, vifs: Sequence[VIF], arguments: argparse.Namespace) -> int:
        self.as_json = arguments.format == "json"
        told = arguments.files or arguments.dir
        watched = WatchedVIFs(self.driver, self.ready) if told else CarriedVIFs(self.driver)
        watcher = Watcher(self.driver, watched, tell=self._tell, repair=arguments.repair)
        if arguments.listen and not arguments.once:
            # A driver of its own, because it is asked in another thread.
            serve(Metrics(GenericVIFDriver(), counts=watcher.counts), arguments.listen)
        if arguments.once:
            watcher.once()
            failed = watcher.failing
            return FAILED if failed else DIFFERS if watcher.differing else DONE
        signals = Signals()
        with signals.taken():
            sources = Sources(signals.wake)
            try:
                watcher.run(
                    sources,
                    ready=lambda: self._ready_now(watcher),
                    go_on=lambda: self._goes_on(watcher, sources, signals, arguments),
                )
            finally:
                sources.close()
                notify(STOPPING="1")
        return DONE

    def _ready_now(self, watcher: Watcher) -> None:
        self.status = self._status(watcher)
        notify(READY="1", STATUS=self.status)
        print(f"vifplug: {self.status}", file=sys.stderr)

    @staticmethod
    def _status(watcher: Watcher) -> str:
        counts = watcher.counts
        return (
            f"watching {len(watcher.vifs)} VIFs, {watcher.differing} not as asked; "
            f"drifts {counts.drifts}, mended {counts.mended}, not mended {counts.failed}"
        )

    def _goes_on(
        self, watcher: Watcher, sources: Sources, signals: Signals, arguments: argparse.Namespace
    ) -> bool:
        """Do what a signal asks for; whether the watch goes on."""
        if signals.ended:
            return False
        if signals.reload():
            self._reload(watcher, sources, arguments)
        if (status := self._status(watcher)) != self.status:
            self.status = status
            notify(STATUS=status)
        return True

    def _reload(self, watcher: Watcher, sources: Sources, arguments: argparse.Namespace) -> None:
        """Read the files again. If a VIF is invalid, those before are watched on."""
        if not isinstance(watcher.vifs, CarriedVIFs):
            try:
                found = self.read(arguments)
                watcher.replace(WatchedVIFs(self.driver, [given.checked for given in found]))
            except Invalid as invalid:
                self._refuse(invalid, as_json=False)
        watcher.resync(sources)
        self._ready_now(watcher)

    def _tell(self, event: Event) -> None:
        """Print an event: a line for people, or an object in a line for programs."""
        print(json.dumps(_row(event)) if self.as_json else _line(event), flush=True)


def _folder(text: str) -> Path:
    """Return a folder that is there. Raises ArgumentTypeError."""
    if not Path(text).is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is no folder")
    return Path(text)


def _line(event: Event) -> str:
    found = event.finding
    what = event.kind
    if event.kind == DRIFT:
        what += f": {'; '.join(found.drift)}"
    elif event.kind == NOT_MENDED:
        what += f": {str(found.error).removeprefix(f'VIF {found.vif_id}: ')}"
    elif event.kind == MENDED and event.seconds is not None:
        what += f" in {event.seconds * 1000:.0f} ms"
    words = (found.vif_id, found.vif_type, found.process or "", " ".join(what.split()))
    return "  ".join(word for word in words if word)


def _row(event: Event) -> dict[str, object]:
    found = event.finding
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "id": found.vif_id,
        "vif_type": found.vif_type,
        "process": found.process,
        "event": event.kind,
        "drift": list(found.drift),
        "seconds": event.seconds,
        "error": str(found.error) if found.error else None,
        "problem": problem(found.error) if found.error else None,
    }
