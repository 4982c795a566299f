# SPDX-License-Identifier: Apache-2.0
"""A folder of files that declares the VIFs of a host. What may be half of it is refused."""

from __future__ import annotations

import errno
import logging
import os
import stat
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from vifplug.cli.reading import MOST, Given, Input, decoded, plain_json
from vifplug.errors import NO_VIF, InvalidVIF
from vifplug.model.vif import VIF
from vifplug.sources.written import Written, parts

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_JSON, _YAML = (".json",), (".yaml", ".yml")
_ALLOWED = "a folder with files named *.json, *.yaml or *.yml"
_WHOLE = "a whole file of one VIF or a list; [] says that no VIF is wanted"
_AT_REST = "files that nobody writes meanwhile; write another name, then rename"

_Stamps = dict[str, tuple[int, ...]]


def read_folder(folder: str, check: Callable[[VIF], T], names: dict[str, str]) -> list[Given[T]]:
    """Return the VIFs that a folder declares, each with what ``check`` returns for it.

    ``names`` gets the name of each VIF by its id, also where others are invalid. Raises Invalid
    with every error in the folder.
    """
    found = Input(check)
    try:
        before = _files(folder)
    except InvalidVIF as error:
        found.refuse(folder, error)
        return found.whole()
    _warn_of_others(folder)
    for name in before:
        path = Path(folder, name)
        try:
            data = _data(path)
        except (OSError, ValueError, InvalidVIF) as error:
            found.refuse(str(path), _unreadable(path, error))
            continue
        for written in parts(data, path.stem, str(path)):
            found.add(str(path), written.place, partial(_vif, written, names))
    if not found.errors and _files(folder) != before:
        found.refuse(folder, InvalidVIF(NO_VIF, f"folder {folder}", "changing", _AT_REST))
    return found.whole()


def _vif(written: Written, names: dict[str, str]) -> VIF:
    vif = written.vif()
    names.setdefault(vif.id, written.name)
    return vif


def _files(folder: str) -> _Stamps:
    """Return the names of the files that declare VIFs, each with what tells that it changed.

    Raises InvalidVIF where there is none, or the folder can't be read.
    """
    try:
        if not folder:  # it would be the folder of the process
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        paths = sorted(Path(folder).iterdir())
        stamps = {path.name: _stamp(path) for path in paths if _declares(path.name)}
    except OSError as error:
        found = f"unreadable ({error.strerror})"
        raise InvalidVIF(NO_VIF, f"folder {folder or repr('')}", found, _ALLOWED) from None
    if not stamps:
        raise InvalidVIF(NO_VIF, f"folder {folder}", "empty", f"{_ALLOWED}, at least one")
    return stamps


def _declares(name: str) -> bool:
    return Path(name).suffix in (*_JSON, *_YAML) and not name.startswith(".")


def _warn_of_others(folder: str) -> None:
    for path in sorted(Path(folder).iterdir()):
        if not _declares(path.name) and not path.name.startswith((".", "README")):
            ending = "its name ends in none of .json, .yaml, .yml"
            LOG.warning("%s is passed over: %s", path.name, ending)


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _data(path: Path) -> Any:
    """Return what a file declares. Raises OSError, ValueError, InvalidVIF."""
    text = _text(path)
    if path.suffix in _JSON:
        data = plain_json(text) if text.strip() else None
    else:
        from vifplug.sources import yaml_text

        data = yaml_text.load(text)
        # Half of a YAML text is often valid YAML.
        if data is not None and not text.endswith("\n"):
            raise ValueError("cut off: its last line has no end")
    if data is None:
        raise ValueError("empty")
    return data


def _text(path: Path) -> str:
    # Without a wait for the writer of a FIFO.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a file")
        return decoded(file.read(MOST + 1))


def _unreadable(path: Path, error: Exception) -> InvalidVIF:
    found = f"unreadable ({error.strerror})" if isinstance(error, OSError) else str(error)
    return InvalidVIF(NO_VIF, f"file {path}", found, _WHOLE)
