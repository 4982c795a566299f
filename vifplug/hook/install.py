# SPDX-License-Identifier: Apache-2.0
"""Where the script of libvirt's hooks is, how it gets there, and what doctor sees of it."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from vifplug.result import Check

NAME = "50-vifplug"
FOLDER = "etc/libvirt/hooks"
KINDS = ("qemu.d", "network.d", "daemon.d")
RELOAD = "systemctl reload libvirtd (or virtqemud and virtnetworkd)"

_MEND = "vifplug libvirt-hook --install"


@dataclass(frozen=True, kw_only=True)
class _Caller:
    """What calls the script of a kind: pid files of daemons, and the file that the script touches.

    The script in daemon.d touches it too, when its daemon starts, or reads its hooks again.
    """

    pids: tuple[str, ...]
    seen: str


_CALLERS = {
    "qemu.d": _Caller(pids=("run/libvirtd.pid", "run/virtqemud.pid"), seen="run/vifplug.hook"),
    "network.d": _Caller(
        pids=("run/libvirtd.pid", "run/virtnetworkd.pid"), seen="run/vifplug.hook.network"
    ),
}


def script(command: str, options: Sequence[str] = ()) -> str:
    """Return the script that runs this command, with options before its own."""
    text = resources.files("vifplug.hook").joinpath(NAME).read_text()
    text = text.replace("VIFPLUG=/usr/bin/vifplug\n", f"VIFPLUG={shlex.quote(command)}\n")
    return text.replace("OPTIONS=\n", f"OPTIONS={shlex.quote(' '.join(options))}\n")


def install(root: Path, text: str) -> Iterator[tuple[Path, bool]]:
    """Write the script below a root directory; yield each path, and whether it has changed."""
    for kind in KINDS:
        path = root / FOLDER / kind / NAME
        if path.is_file() and path.read_text() == text and os.access(path, os.X_OK):
            yield path, False
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{NAME}.new")
        fresh.write_text(text)
        fresh.chmod(0o755)
        # At once, because libvirt may run it at any time.
        fresh.replace(path)
        yield path, True


def remove(root: Path) -> Iterator[tuple[Path, bool]]:
    """Remove the script below a root directory; yield each path, and whether it was there."""
    for kind in KINDS:
        path = root / FOLDER / kind / NAME
        there = path.exists()
        path.unlink(missing_ok=True)
        yield path, there


def checks(root: Path = Path("/")) -> Iterator[Check]:
    """Yield what is wrong with the installed hook; nothing on a host that has none."""
    paths = [root / FOLDER / kind / NAME for kind in KINDS]
    there = [path for path in paths if path.exists()]
    if not there:
        return
    mends = []
    for path in paths:
        if path not in there:
            mends.append((f"{path} is missing", _MEND))
        elif not os.access(path, os.X_OK):
            mends.append((f"{path} is not executable: libvirt passes it over", f"chmod +x {path}"))
        elif wrong := _cannot_run(path.read_text()):
            mends.append((f"{path}: {wrong}", f"install vifplug again, then {_MEND}"))
    unknown = [kind for kind in _CALLERS if not mends and not _is_seen(root, kind)]
    if unknown:
        words = f"libvirt may not know the hook in {' and '.join(unknown)}: it has not called it"
        mends.append((f"{words} so far", RELOAD))
    for detail, mend in mends:
        yield Check(check="libvirt hook", ok=False, detail=detail, mend=mend)
    if not mends:
        yield Check(check="libvirt hook", ok=True, detail=f"{there[0]} and {', '.join(KINDS[1:])}")


def _cannot_run(text: str) -> str:
    """Return why the command of an installed script can't be run; nothing if it can."""
    said = re.search(r"^VIFPLUG=(.*)$", text, re.MULTILINE)
    command = next(iter(shlex.split(said[1])), "") if said else ""
    if not command or not os.access(command, os.X_OK):
        return f"{command or 'its command'} is missing or can't be run"
    with Path(command).open("rb") as file:
        first = file.readline(4096)
    interpreter = first[2:].split(maxsplit=1)[0].decode() if first.startswith(b"#!") else command
    if shutil.which(interpreter) is None:
        return f"{command} needs {interpreter}, which is missing"
    return ""


def _is_seen(root: Path, kind: str) -> bool:
    """Whether the libvirt that runs has called the script, or has started after it came."""
    caller = _CALLERS[kind]
    written = (root / FOLDER / kind / NAME).stat().st_ctime
    daemons = [path for name in caller.pids if (path := root / name).exists()]
    since = [path.stat().st_mtime for path in (*daemons, root / caller.seen) if path.exists()]
    return not daemons or max(since) >= written
