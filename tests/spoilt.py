# SPDX-License-Identifier: Apache-2.0
"""The claims' folder, or a VIF's file in it, spoilt in many ways; and what is told of each."""

from __future__ import annotations

import json
import logging
import os
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.users import NOBODY
from vifplug import VIF, GenericVIFDriver, PrivilegeError
from vifplug.errors import UnplugFailed
from vifplug.testing.dumps import differences

OTHER = "5a0c6d6e-0000-4000-8000-000000000000"
"""The id of a VIF that no host has."""


def contents(folder: Path) -> dict[str, str]:
    """Return what lies in a folder: a file's text, what a link leads to, or the mode."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        text = f"{stat.filemode(status.st_mode)} {status.st_uid} "
        if path.is_symlink():
            text += str(path.readlink())
        elif path.is_file():
            text += repr(path.read_bytes())
        found[str(path.relative_to(folder))] = text
    return found


def token_of(folder: Path) -> Path:
    """Return the only folder of a token that there is."""
    (token,) = folder.iterdir()
    return token


def _to(path: Path) -> None:
    """Have a symbolic link instead of a folder, to where it is now."""
    path.rename(path.with_name("elsewhere"))
    path.symlink_to(path.with_name("elsewhere"))


def _file_for(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("")


SPOILT: dict[str, tuple[Callable[[Path], object], str]] = {
    "the folder is a user's": (
        lambda claims: os.chown(claims, NOBODY, NOBODY),
        "claims: it belongs to user 65534, not 0",
    ),
    "a token's folder is a user's": (
        lambda claims: os.chown(token_of(claims), NOBODY, NOBODY),
        ": it belongs to user 65534, not 0",
    ),
    "all may write": (
        lambda claims: claims.chmod(0o777),
        "claims: other users may write there",
    ),
    "a group may write a token's": (
        lambda claims: token_of(claims).chmod(0o775),
        ": other users may write there",
    ),
    "the folder is a link": (_to, "claims: it is not a folder"),
    "the folder is a file": (_file_for, "claims: it is not a folder"),
    "a token is a file": (lambda claims: _file_for(token_of(claims)), ": it is not a folder"),
    "the folder can't be listed": (
        lambda claims: claims.chmod(0o311),
        "claims: Permission denied",
    ),
    "a token's can't be listed": (
        lambda claims: token_of(claims).chmod(0o311),
        ": Permission denied",
    ),
    "a stranger's file beside the tokens": (
        lambda claims: (claims / "README").write_text("what is this?"),
        "README: it holds no claims",
    ),
    "a stranger's folder beside the tokens": (
        lambda claims: (claims / "br100").mkdir(),
        "br100: it holds no claims",
    ),
    "a stranger's file beside the claims": (
        lambda claims: (token_of(claims) / "README").write_text("what is this?"),
        "README: not a VIF's id",
    ),
}


def _rewrite(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "cut in half": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "no claims can be read from it",
    ),
    "empty": (lambda path: path.write_bytes(b""), "no claims can be read from it"),
    "nested": (lambda path: path.write_text("[" * 60000), "no claims can be read from it"),
    "no text": (lambda path: path.write_bytes(b"\xff\xfe\x00"), "no claims can be read from it"),
    "numbers": (lambda path: path.write_text('{"claims": [7]}'), "no claims can be read from it"),
    "another VIF's": (
        lambda path: _rewrite(
            path, lambda data: data["claims"].append(data["claims"][0].replace(path.name, OTHER))
        ),
        "it holds what is no claim of this VIF",
    ),
    "a mark": (
        lambda path: _rewrite(
            path, lambda data: data["claims"].append(f"vifplug:{path.name}::tap:bridge")
        ),
        "it holds what is no claim of this VIF",
    ),
    "a link": (lambda path: _instead(path, lambda p: p.symlink_to("/etc/hostname")), "Too many "),
    "a folder": (lambda path: _instead(path, Path.mkdir), "not a file"),
    "a pipe": (lambda path: _instead(path, os.mkfifo), "not a file"),
    "unreadable": (lambda path: path.chmod(0), "Permission denied"),
}


def hurts_no_other_vif(
    damage: str,
    vifs: tuple[VIF, VIF],
    batch: Sequence[VIF],
    driver: GenericVIFDriver,
    folder: Path,
    look: Callable[[], Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Require that each call names the damaged file of the second VIF, and spares other VIFs.

    ``batch`` are these two VIFs and a third, the latter two on bridges of their own. ``look``
    returns all that the host has.
    """
    first, second = vifs
    driver.plug_all([(None, first), (None, second)])
    path = token_of(folder) / second.id
    change, says = DAMAGED[damage]
    change(path)
    before, kept = look(), contents(folder)

    with caplog.at_level(logging.WARNING, "vifplug"):
        listed = [one.id for one in driver.list()]
        drift = driver.check(None, second)
    if damage == "unreadable":  # but to root; its daemon has no capability for that
        assert (set(listed), bool(drift), caplog.text) == ({first.id, second.id}, False, "")
    else:
        assert (listed, bool(drift)) == ([first.id], True)
        assert f"claims {path}: {says}" in caplog.text
        with pytest.raises(PrivilegeError) as refused:
            driver.plug(None, second)
        assert f"claims {path}: {says}" in str(refused.value)
        assert len(str(refused.value).splitlines()) == 1
    # In a batch it fails alone, wherever it stands.
    found = driver.plug_all([(None, each) for each in batch])
    assert isinstance(found[1], Exception)
    assert [getattr(found[at], "changed", found[at]) for at in (0, 2)] == [False, True]
    driver.unplug(None, batch[2])
    assert differences({"": before}, {"": look()}) == []
    assert contents(folder) == kept

    with pytest.raises(UnplugFailed) as failed:
        driver.unplug(None, second)
    assert f"claims {path}: {says}" in str(failed.value)
    (by_id,) = driver.unplug_ids([second.id])
    assert f"claims {path}: {says}" in str(by_id)
    assert contents(folder) == kept
    assert driver.unplug(None, first).changed

    # As the message says.
    assert "remove it" in str(failed.value)
    path.rmdir() if path.is_dir() else path.unlink()
    assert not driver.unplug(None, second).changed
    assert driver.plug(None, second).changed
    assert driver.unplug(None, second).changed
    assert contents(folder) == {}
