# SPDX-License-Identifier: Apache-2.0
"""The folder of the notes on plugged VIFs, in one network namespace.

``<folder>/<vif id>`` holds the VIF as its last plug was asked for it. Every user may read it; only
the daemons' user writes it, under the VIF's lock. A note of a VIF that the host does not have is
void: nothing reads it, and an unplug of the VIF removes it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vifplug.fields import UUID
from vifplug.kernel import files, namespace
from vifplug.model.note import noted
from vifplug.model.vif import VIF


class NotesFolder:
    """Reads and writes notes."""

    def __init__(self, lock_path: str) -> None:
        """``lock_path`` is the option's; the notes are this network namespace's."""
        self.folder = namespace.folder(lock_path) / "notes"

    def ids(self) -> set[str]:
        """Return the ids of the VIFs that have a note; none where others may write the folder."""
        try:
            owner = self.folder.parent.lstat().st_uid
            if namespace.why_not_of((owner,), self.folder):
                return set()
            with os.scandir(self.folder) as entries:
                return {entry.name for entry in entries if UUID.pattern.fullmatch(entry.name)}
        except OSError:
            return set()

    def has(self, vif_id: str) -> bool:
        """Whether there is a note of a VIF."""
        return (self.folder / vif_id).exists()

    def of(self, vif_id: str) -> VIF | None:
        """Return a VIF as it was plugged; None where no note tells it."""
        try:
            return noted(files.read(self.folder / vif_id), vif_id)
        except (OSError, ValueError):
            return None

    def put(self, vif_id: str, text: str) -> None:
        """Write a VIF's note, unless it is there. Raises OSError."""
        path = self.folder / vif_id
        with contextlib.suppress(OSError, ValueError):
            if files.read(path) == f"{text}\n".encode():
                return
        if why := namespace.why_not_of((os.geteuid(),), self.folder):
            raise PermissionError(0, why)
        files.write(path, text)

    def remove(self, vif_id: str) -> None:
        """Remove a VIF's note, and the folder with the last one. Raises OSError."""
        with contextlib.suppress(FileNotFoundError):
            (self.folder / vif_id).unlink()
            with contextlib.suppress(OSError):
                self.folder.rmdir()  # only where it is empty

    def title(self, vif_id: str) -> Path:
        """Return the path of a VIF's note."""
        return self.folder / vif_id
