# SPDX-License-Identifier: Apache-2.0
"""Cases of the sources: folders of data.json, or data.xml, another system's model, and its VIFs.

vifs.json are the VIFs; a case that must be refused has error.txt instead.
``python -m tests.sources.cases`` writes both anew, for review.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vifplug import VIF, VifplugError
from vifplug.sources import SOURCES

FOLDER = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    """One folder; ``source`` is the name that ``--from`` takes."""

    source: str
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.source}-{self.folder.name}"

    @property
    def path(self) -> Path:
        return self.folder / ("data.json" if SOURCES[self.source].json else "data.xml")

    @property
    def data(self) -> Any:
        text = self.path.read_text()
        return json.loads(text) if SOURCES[self.source].json else {"domain": text}

    def vifs(self) -> list[VIF]:
        source = SOURCES[self.source]
        return [source.vif_of(part) for _, part in source.parts(self.data)]

    def expected(self) -> dict[str, str]:
        paths = {name: self.folder / name for name in ("vifs.json", "error.txt")}
        return {name: path.read_text() for name, path in paths.items() if path.exists()}

    def actual(self) -> dict[str, str]:
        try:
            vifs = self.vifs()
        except VifplugError as error:
            return {"error.txt": f"{type(error).__name__}: {error}\n"}
        return {"vifs.json": json.dumps([vif.to_dict() for vif in vifs], indent=2) + "\n"}


CASES = [
    Case(source, folder)
    for source in sorted(SOURCES)
    for folder in sorted((FOLDER / source).iterdir())
]
GOOD = [case for case in CASES if "error.txt" not in case.expected()]


if __name__ == "__main__":
    for case in CASES:
        for name in case.expected():
            (case.folder / name).unlink()
        for name, text in case.actual().items():
            (case.folder / name).write_text(text)
